# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Services whose processes run files that have been replaced since they started.

Runs on managed hosts: Python 3.9, the standard library alone. An inspection also sends it through a pipe, so it imports
nothing of this collection.
"""

# The inspection starts faster without pathlib.
# ruff: noqa: PTH119, PTH207, PTH208

from __future__ import annotations

import fnmatch
import glob
import os
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Optional

#: How a unit can be restarted.
METHODS = ("restart", "try-reload-or-restart", "upgrade", "reexec", "never")
DELETED = " (deleted)"
#: Deleted files that are no programs or libraries: shared memory, temporary files.
_NO_CODE = re.compile(r"^/(?:dev|tmp|run|proc|memfd:|SYSV|var/tmp|var/run|anon_hugepage|\[aio\])")
#: Sessions end by themselves; they are never restarted.
_SESSION = re.compile(r"^session-.*\.scope$")
_DPKG = "/var/lib/dpkg/info"


def code_files(maps: str) -> set[str]:
    """The programs and libraries in the text of a /proc/*/maps, with the mark of those that are deleted."""
    found = set()
    for line in maps.splitlines():
        fields = line.split(None, 5)
        if len(fields) == 6 and fields[5].startswith("/"):  # noqa: PLR2004
            path = fields[5]
            if ("x" in fields[1] or ".so" in path) and not _NO_CODE.match(path):
                found.add(path)
    return found


def unit_of(cgroups: str) -> str:
    """The unit that the text of a /proc/*/cgroup names; empty where there is none."""
    for line in cgroups.splitlines():
        number, controllers, path = line.split(":", 2)
        if number == "0" or controllers == "name=systemd":
            for part in path.split("/"):
                # A container's own scope lies above the units of the system in it.
                if part.endswith((".service", ".scope")) and not part.startswith("libpod-"):
                    return part
    return ""


class Process:
    """What /proc says about one process."""

    def __init__(self, pid: int, parent: int, unit: str, files: set[str]) -> None:
        self.pid = pid
        self.parent = parent
        self.unit = unit
        self.files = files

    @property
    def deleted(self) -> list[str]:
        """The files it runs that are no longer there."""
        return sorted(path[: -len(DELETED)] for path in self.files if path.endswith(DELETED))


def _text(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as handle:  # noqa: PTH123
        return handle.read()


def processes() -> dict[int, Process]:
    """All processes with code of their own (kernel threads have none)."""
    found = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            files = code_files(_text("/proc/%s/maps" % name))
            if files:
                parent = int(_text("/proc/%s/stat" % name).rpartition(")")[2].split()[1])
                found[int(name)] = Process(int(name), parent, unit_of(_text("/proc/%s/cgroup" % name)), files)
        except OSError:
            continue  # it has ended meanwhile
    return found


def _without_usr(path: str) -> str:
    """/usr/lib/x and /lib/x are one file on a merged system; package lists name either."""
    return path[4:] if path.startswith("/usr/") else path


def package_files(packages: Iterable[str]) -> set[str]:
    """The files of installed packages, without /usr."""
    found: set[str] = set()
    for package in packages:
        for path in [*glob.glob("%s/%s.list" % (_DPKG, package)), *glob.glob("%s/%s:*.list" % (_DPKG, package))]:
            found.update(_without_usr(line) for line in _text(path).splitlines())
    return found


def show_units(units: Iterable[str], *properties: str) -> dict[str, dict[str, str]]:
    """Properties of units as systemd has them, by the name that was asked for."""
    names = list(units)
    if not names:
        return {}
    # Each has an Id: systemd leaves out what is not set, and an empty block would be lost among the others.
    command = ["systemctl", "show", "--property", ",".join(("Id", *properties)), "--", *names]
    # pylint: disable-next=ansible-bad-function
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    blocks = out.strip("\n").split("\n\n")
    return {
        name: dict(line.partition("=")[::2] for line in block.splitlines())
        for name, block in zip(names, blocks)  # noqa: B905 - Python 3.9
    }


def running_services() -> list[str]:
    """The services that have processes now."""
    command = ["systemctl", "list-units", "--type=service", "--state=running", "--plain", "--no-legend"]
    # pylint: disable-next=ansible-bad-function
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return sorted(line.split()[0] for line in out.splitlines() if line.strip())


def dead_services(expected: Iterable[str], packages: Iterable[str]) -> list[str]:
    """Those of the services that do not run, and are not about to.

    Static ones come and go with whoever needs them, but for those of these packages.
    """
    properties = ("LoadState", "ActiveState", "SubState", "UnitFileState", "FragmentPath")
    files = package_files(packages)
    return [
        unit
        for unit, shown in show_units(expected, *properties).items()
        if shown.get("LoadState") == "loaded"
        and (shown["ActiveState"] in ("inactive", "failed") or shown.get("SubState") == "auto-restart")
        and (shown.get("UnitFileState") != "static" or _without_usr(shown.get("FragmentPath", "")) in files)
    ]


def loaded_units(patterns: Sequence[str]) -> list[str]:
    """The units that are named or match: packages ask for `postgresql@15-*.service`."""
    names = {name for name in patterns if not re.search(r"[*?[]", name)}
    globs = [pattern for pattern in patterns if pattern not in names]
    if globs:
        command = ["systemctl", "list-units", "--all", "--plain", "--no-legend", "--", *globs]
        # pylint: disable-next=ansible-bad-function
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        names.update(line.split()[0] for line in out.splitlines() if line.strip())
    return sorted(names)


def _below(process: Process, main: int, table: Mapping[int, Process]) -> bool:
    """Whether the process is the main process or one of its descendants."""
    seen: Optional[Process] = process
    while seen is not None:
        if seen.pid == main:
            return True
        seen = table.get(seen.parent) if seen.parent != seen.pid else None
    return False


def stale_units(packages: Optional[Iterable[str]] = None) -> dict[str, list[str]]:
    """Unit to the replaced files that it runs. With packages: what will be so when they are updated, besides.

    Where a unit has a main process, only that and its descendants count: log-ins that have outlived a restart of the
    SSH server are not the SSH server.
    """
    table = processes()
    updated = package_files(packages or ())
    found: dict[str, dict[int, list[str]]] = {}
    for process in table.values():
        files = process.deleted
        if updated:
            files += sorted(path for path in process.files if _without_usr(path) in updated)
        if files and process.unit and not _SESSION.match(process.unit):
            found.setdefault(process.unit, {})[process.pid] = files
    for unit in _active_units_of(updated):
        found.setdefault(unit, {0: ["its unit belongs to an updated package"]})
    shown = show_units([unit for unit in found if unit.endswith(".service")], "MainPID")
    result = {}
    for unit, pids in sorted(found.items()):
        main = int(shown.get(unit, {}).get("MainPID", "0") or 0)
        running = {
            path for pid, some in pids.items() if not (main and pid) or _below(table[pid], main, table) for path in some
        }
        if running:
            result[unit] = sorted(running)
    return result


def _active_units_of(files: Iterable[str]) -> list[str]:
    """The services that run from unit files among these."""
    names = [os.path.basename(path) for path in files if re.search(r"/systemd/system/[^/@]+\.service$", path)]
    return [name for name, shown in show_units(sorted(names), "ActiveState", "MainPID").items() if _runs(shown)]


def _runs(shown: Mapping[str, str]) -> bool:
    return shown.get("ActiveState") == "active" and shown.get("MainPID", "0") != "0"


def method_for(unit: str, methods: Mapping[str, str]) -> str:
    """How the unit is restarted: the longest pattern that matches decides."""
    matching = [pattern for pattern in methods if fnmatch.fnmatchcase(unit, pattern)]
    return methods[max(matching, key=len)] if matching else "restart"


def inspect() -> dict[str, Any]:
    """What an inspection reports."""
    return {"stale": stale_units()}
