# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Routine maintenance of one host: what would be cleaned, and cleaning exactly that.

The action plugin ``ops.runbook.maintenance_plan`` sends this file and the maintenance_*.py files as one program that
inspects all hosts at once; the module ``ops.runbook.routine_maintenance`` imports them to clean one. Both decide with
this code, so that what is announced is what happens. Hence the rules for these files: Python 3.9, standard library.

An area plans items and applies them. Planning writes nothing.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Optional

from ansible_collections.ops.runbook.plugins.module_utils import stale

#: Prefix of the line that is the program's answer, among whatever else a login prints.
MARK = "@ops.runbook.maintenance "
REBOOT_FLAG = "/run/reboot-required"
#: A command on the host that takes longer than this hangs, in seconds.
COMMAND_TIMEOUT = 1800.0

Options = dict[str, Any]


class MaintenanceError(Exception):
    """Something cannot be done; the text says what, and what to do next."""


@dataclass(frozen=True)
class Item:
    """One thing that goes, or that is done."""

    area: str
    subject: str
    #: Bytes of disk that it gives back.
    size: int = 0
    why: str = ""


class Area:
    """A kind of maintenance. Subclasses plan their items and apply them."""

    name = ""

    def __init__(self, options: Options) -> None:
        self.options = options
        #: What an operator has to know of what is not done: (finding's check, text).
        self.notes: list[tuple[str, str]] = []
        #: What else was seen, for the report.
        self.seen: dict[str, Any] = {}

    def plan(self) -> list[Item]:
        """What would be done now."""
        raise NotImplementedError

    def apply(self, items: list[Item]) -> None:
        """Do what was planned a moment ago."""
        raise NotImplementedError

    def note(self, check: str, text: str) -> None:
        """Tell the operator."""
        self.notes.append((check, text))


AREAS: dict[str, type[Area]] = {}


def area(kind: type[Area]) -> type[Area]:
    """Register a class as the area of its name."""
    AREAS[kind.name] = kind
    return kind


def run(argv: list[str], stdin: str = "", env: Optional[dict[str, str]] = None) -> str:
    """A program's output. MaintenanceError where it fails."""
    try:
        # pylint: disable-next=ansible-bad-function
        done = subprocess.run(
            argv,
            input=stdin,
            capture_output=True,
            check=False,
            text=True,
            cwd="/",
            timeout=COMMAND_TIMEOUT,
            env={**os.environ, "LC_ALL": "C.UTF-8", **(env or {})},
        )
    except OSError as error:
        raise MaintenanceError(f"{argv[0]}: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise MaintenanceError(f"{' '.join(argv[:3])} did not end within {COMMAND_TIMEOUT:g} s") from error
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()
        raise MaintenanceError(f"{' '.join(argv[:3])} ended with {done.returncode}: {' / '.join(said[-8:])}")
    return done.stdout


def days(seconds: float) -> str:
    """An age for people."""
    return f"{seconds / 86400:.0f} days" if seconds >= 2 * 86400 else f"{seconds / 3600:.1f} h"


def occupied(status: os.stat_result) -> int:
    """Bytes of disk that removing the file gives back."""
    return status.st_blocks * 512 if status.st_nlink == 1 or stat.S_ISDIR(status.st_mode) else 0


class Busy:
    """What processes use now: open files, mapped files, programs and working directories."""

    def __init__(self, roots: Iterable[str]) -> None:
        self._roots = tuple(f"{root.rstrip('/')}/" for root in roots)
        self._files: set[tuple[int, int]] = set()
        self._paths: set[str] = set()
        for process in Path("/proc").iterdir():
            if process.name.isdigit():
                self._look(process)

    def uses(self, path: str, status: os.stat_result) -> bool:
        """Whether a process uses this file or directory."""
        return (status.st_dev, status.st_ino) in self._files or path in self._paths

    def uses_below(self, folder: str) -> bool:
        """Whether a process uses anything in the folder, or the folder itself."""
        return any(path == folder or path.startswith(f"{folder}/") for path in self._paths)

    def _look(self, process: Path) -> None:
        links = [process / name for name in ("cwd", "root", "exe")]
        try:
            links += (process / "fd").iterdir()
            mapped = (process / "maps").read_text(encoding="utf-8", errors="replace")
        except OSError:
            mapped = ""  # a process that ended meanwhile, or a thread of the kernel
        for link in links:
            try:
                status = link.stat()
                target = str(link.readlink())
            except OSError:
                continue
            self._files.add((status.st_dev, status.st_ino))
            self._add(target)
        for line in mapped.splitlines():
            fields = line.split(None, 5)
            if len(fields) > 5:  # noqa: PLR2004
                self._add(fields[5])

    def _add(self, path: str) -> None:
        if f"{path}/".startswith(self._roots):
            self._paths.add(path)


class Remover:
    """Removes what lies below a root, and never follows a symbolic link on the way there."""

    def __init__(self, root: str) -> None:
        self.root = root

    def remove(self, path: str) -> None:
        """Remove a file, a symbolic link or an empty directory.

        What has gone already is no error, nor is a directory that somebody has put something into: it stays.
        """
        try:
            folder = self._open(Path(path).relative_to(self.root).parts[:-1])
        except FileNotFoundError:
            return
        except OSError as error:
            raise MaintenanceError(f"{path} cannot be reached: {error.strerror}") from error
        name = Path(path).name
        try:
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            (os.rmdir if stat.S_ISDIR(status.st_mode) else os.unlink)(name, dir_fd=folder)
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno == errno.ENOTEMPTY:
                return
            raise MaintenanceError(f"{path} cannot be removed: {error.strerror}") from error
        finally:
            os.close(folder)

    def _open(self, parts: Iterable[str]) -> int:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        folder = os.open(self.root, flags)
        for part in parts:
            try:
                below = os.open(part, flags | os.O_NOFOLLOW, dir_fd=folder)
            finally:
                os.close(folder)
            folder = below
        return folder


def real_root(path: str, allowed: Iterable[str], variable: str) -> str:
    """The folder without symbolic links; MaintenanceError where they lead out of the allowed roots."""
    real = os.path.realpath(path)
    if not any(real == root or real.startswith(f"{root}/") for root in allowed):
        raise MaintenanceError(
            f"{variable}: {path} leads to {real}, outside {', '.join(allowed)}; name a folder in one of them"
        )
    return real


def entries(folder: str) -> Iterator[tuple[os.DirEntry[str], os.stat_result]]:
    """What a folder holds, by name; what goes away meanwhile is left out."""
    try:
        found = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    for entry in found:
        try:
            yield entry, entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue


def filesystems(paths: Iterable[str]) -> dict[str, dict[str, int]]:
    """Mount point → bytes in all and in use, of the file systems that the paths are on."""
    found = {}
    for path in paths:
        folder = Path(os.path.realpath(path))
        while not folder.exists():
            folder = folder.parent
        while not folder.is_mount():
            folder = folder.parent
        seen = os.statvfs(folder)
        found[str(folder)] = {
            "size": seen.f_blocks * seen.f_frsize,
            "used": (seen.f_blocks - seen.f_bfree) * seen.f_frsize,
        }
    return dict(sorted(found.items()))


def _planned(job: dict[str, Any]) -> Iterator[tuple[Area, list[Item]]]:
    for name, options in job["areas"].items():
        planner = AREAS[name](options)
        yield planner, planner.plan()


def _told(planner: Area, items: list[Item]) -> dict[str, Any]:
    return {
        "items": [asdict(item) for item in items],
        "bytes": sum(item.size for item in items),
        "notes": planner.notes,
        "seen": planner.seen,
    }


def _observed(job: dict[str, Any], removed: list[str]) -> dict[str, Any]:
    """What only a restart or a reboot solves."""
    seen: dict[str, Any] = {}
    observe = job["observe"]
    if "restarts" in observe:
        found = stale.stale_units(removed)
        methods = {unit: stale.method_for(unit, observe["restarts"]) for unit in found}
        seen["stale"] = {unit: files for unit, files in found.items() if methods[unit] != "never"}
        seen["waiting"] = {unit: files for unit, files in found.items() if methods[unit] == "never"}
    if "reboot" in observe:
        packages = Path(f"{REBOOT_FLAG}.pkgs")
        seen["reboot"] = Path(REBOOT_FLAG).exists()
        seen["reboot_for"] = sorted(set(packages.read_text(encoding="utf-8").split())) if packages.exists() else []
    return seen


def _lock(path: str) -> dict[str, Any]:
    """The lock of a change on this host; empty where there is none that can be read."""
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def inspect(job: dict[str, Any]) -> dict[str, Any]:
    """What would be done on this host. Nothing is written."""
    areas = {planner.name: _told(planner, items) for planner, items in _planned(job)}
    removed = [item["subject"].split()[0] for item in areas.get("orphans", {}).get("items", ())]
    return {
        "areas": areas,
        "filesystems": filesystems(job["paths"]),
        **_observed(job, removed),
        "lock": _lock(job["lock"]),
    }


def clean(job: dict[str, Any]) -> dict[str, Any]:
    """Do it, area by area, and stop at the first that fails: its reason is in ``failure``."""
    before = filesystems(job["paths"])
    areas: dict[str, Any] = {}
    failure = ""
    try:
        for planner, items in _planned(job):
            areas[planner.name] = _told(planner, items)
            try:
                if items:
                    planner.apply(items)
            except MaintenanceError as error:
                areas[planner.name]["failed"] = True
                failure = f"{planner.name}: {error}"
                break
    except MaintenanceError as error:
        failure = str(error)
    os.sync()  # so that the file systems' numbers are those after the cleaning
    return {"areas": areas, "filesystems": filesystems(job["paths"]), "before": before, "failure": failure}


def main(job: dict[str, Any]) -> None:
    """Answer as a program: what would be done, or why that cannot be told."""
    try:
        answer = inspect(job)
    except (MaintenanceError, OSError) as error:
        answer = {"error": str(error)}
    sys.stdout.write(f"{MARK}{json.dumps(answer)}\n")
