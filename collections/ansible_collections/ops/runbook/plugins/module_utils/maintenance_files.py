# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Areas of files: journals, rotated logs, temporary files, old releases."""

from __future__ import annotations

import fnmatch
import os
import re
import shutil
import stat
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

from ansible_collections.ops.runbook.plugins.module_utils.maintenance import (
    Area,
    Busy,
    Item,
    MaintenanceError,
    Remover,
    area,
    days,
    entries,
    occupied,
    real_root,
)

JOURNALS = ("/var/log/journal", "/run/log/journal")
#: A rotated log: a number, a date or ".old" at the end, or a compressed file.
ROTATED = re.compile(r"(\.\d+|[-.]\d{8}(-\d+|\d{2})?|\.old)(\.(gz|xz|bz2|zst|lz4))?$|\.(gz|xz|bz2|zst|lz4)$")
#: What systemd and the X server keep in temporary folders has its own cleaner.
NEVER = ("systemd-private-*", "snap-private-tmp", ".X11-unix", ".ICE-unix", ".XIM-unix", ".font-unix", "lost+found")
LOGROTATE_STATE = "/var/lib/logrotate/status"
LOGROTATE_STALE = 8 * 86400
#: A release that is being removed bears this before its name, so that half of it never looks like a release.
GOING = ".removing-"
#: Beside the releases while one is being changed: an update of dependencies writes it.
UNFINISHED = "change.json"
#: In a release that is being built, or that nobody has finished: it neither counts nor goes.
INCOMPLETE = ".incomplete"

_JOURNAL_SIGNATURE = b"LPKSHHRH"
#: Offsets of the header's entry count and of the time of the newest entry (systemd's journal-def.h).
_JOURNAL_COUNT, _JOURNAL_TAIL, _JOURNAL_HEADER = 152, 192, 200


def newest_entry(path: str) -> Optional[float]:
    """When the newest entry of a journal file was written; None where it is empty or no journal."""
    with open(path, "rb") as file:  # noqa: PTH123 - pathlib has no use for a descriptor
        header = file.read(_JOURNAL_HEADER)
    if len(header) < _JOURNAL_HEADER or not header.startswith(_JOURNAL_SIGNATURE):
        return None
    (count,) = struct.unpack_from("<Q", header, _JOURNAL_COUNT)
    (tail,) = struct.unpack_from("<Q", header, _JOURNAL_TAIL)
    return float(tail / 1e6) if count and tail else None


@area
class Journal(Area):
    """Archived files of systemd's journal.

    Not by ``journalctl --vacuum-time``: that judges a file by its oldest entry, and removes younger ones with it.
    """

    name = "journal"

    def plan(self) -> list[Item]:
        """Files whose newest entry is past the limit; over the size, the oldest that are past the promise."""
        now = time.time()
        archived = sorted(self._archived(now))
        total = self._all_bytes()
        items = []
        for written, path, size in archived:
            age = now - written
            if age > self.options["keep"]:
                items.append(Item(self.name, path, size, f"newest entry {days(age)} old"))
            elif age > self.options["promise"] and total > self.options["size"]:
                items.append(Item(self.name, path, size, f"journal over its size, newest entry {days(age)} old"))
            else:
                continue
            total -= size
        if total > self.options["size"]:
            self.note(
                "log retention",
                f"the journal takes {total // 2**20} MiB, over routine_maintenance_journal_size, and no more may go: "
                "every file holds entries younger than promised",
            )
        return items

    def apply(self, items: list[Item]) -> None:
        """Remove the files; the journal's service notices by itself."""
        for item in items:
            Remover(next(root for root in JOURNALS if item.subject.startswith(root))).remove(item.subject)

    @staticmethod
    def _files() -> Iterator[tuple[str, os.stat_result]]:
        for root in JOURNALS:
            for machine, status in entries(root):
                if stat.S_ISDIR(status.st_mode):
                    for entry, found in entries(machine.path):
                        if entry.name.endswith((".journal", ".journal~")) and stat.S_ISREG(found.st_mode):
                            yield entry.path, found

    def _archived(self, now: float) -> Iterator[tuple[float, str, int]]:
        for path, status in self._files():
            if "@" in Path(path).name or path.endswith("~"):
                # What cannot be read is judged by when it was last written.
                written = newest_entry(path) or status.st_mtime
                yield min(written, now), path, occupied(status)

    def _all_bytes(self) -> int:
        return sum(occupied(status) for _path, status in self._files())


@area
class Logs(Area):
    """Rotated logs. The log that is being written is never touched."""

    name = "logs"

    def plan(self) -> list[Item]:
        """Rotated logs that were last written before the limit and that no process has open."""
        self._look_at_logrotate()
        roots = [
            real_root(path, self.options["roots"], "routine_maintenance_log_paths") for path in self.options["paths"]
        ]
        busy, now = Busy(roots), time.time()
        items = {}
        for root in roots:
            for path, status in self._rotated(root):
                age = now - status.st_mtime
                if age > self.options["keep"] and not busy.uses(path, status):
                    items[path] = Item(self.name, path, occupied(status), f"last written {days(age)} ago")
        return list(items.values())

    def apply(self, items: list[Item]) -> None:
        """Remove the files."""
        for item in items:
            Remover("/").remove(item.subject)

    def _rotated(self, folder: str) -> Iterator[tuple[str, os.stat_result]]:
        for entry, status in entries(folder):
            if stat.S_ISDIR(status.st_mode):
                if entry.path not in JOURNALS:
                    yield from self._rotated(entry.path)
            elif stat.S_ISREG(status.st_mode) and ROTATED.search(entry.name):
                yield entry.path, status

    def _look_at_logrotate(self) -> None:
        if not Path("/usr/sbin/logrotate").exists():
            self.seen["logrotate"] = "not installed"
            return
        try:
            age = time.time() - Path(LOGROTATE_STATE).stat().st_mtime
        except FileNotFoundError:
            self.seen["logrotate"] = "has never run"
            return
        self.seen["logrotate"] = f"ran {days(age)} ago"
        if age > LOGROTATE_STALE:
            self.note("log rotation", f"logrotate last ran {days(age)} ago: logs grow until the disk is full")


@area
class Temporary(Area):
    """Files in temporary folders that nobody has touched for long."""

    name = "temporary"

    def __init__(self, options: dict[str, object]) -> None:
        super().__init__(options)
        self._items: list[Item] = []
        self._now = time.time()

    def plan(self) -> list[Item]:
        """Old files that no process has open, then the folders that this leaves empty, if they are old too."""
        for path, age in self.options["paths"].items():
            root = real_root(path, self.options["roots"], "routine_maintenance_temporary")
            if Path(root).is_dir():
                self._visit(root, age, Busy([root]), Path(root).stat().st_dev)
        return self._items

    def apply(self, items: list[Item]) -> None:
        """Remove them, except what a process has opened since."""
        roots = [os.path.realpath(path) for path in self.options["paths"]]
        busy = Busy(roots)
        for item in items:
            try:
                status = os.lstat(item.subject)
            except FileNotFoundError:
                continue
            if not busy.uses(item.subject, status):
                Remover(next(root for root in roots if item.subject.startswith(f"{root}/"))).remove(item.subject)

    def _visit(self, folder: str, age: float, busy: Busy, device: int) -> bool:
        """Plan what is old below the folder; whether that is everything in it."""
        everything = True
        for entry, status in entries(folder):
            goes = False
            if not self._excluded(entry.name) and not busy.uses(entry.path, status):
                if stat.S_ISDIR(status.st_mode):
                    # Never into another file system.
                    goes = status.st_dev == device and self._visit(entry.path, age, busy, device)
                else:
                    goes = stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)
                goes = goes and self._age(status) > age
            if goes:
                why = f"not touched for {days(self._age(status))}"
                self._items.append(Item(self.name, entry.path, occupied(status), why))
            everything = everything and goes
        return everything

    def _excluded(self, name: str) -> bool:
        return any(fnmatch.fnmatch(name, pattern) for pattern in (*NEVER, *self.options["exclude"]))

    def _age(self, status: os.stat_result) -> float:
        """Since anything was done with it. To look into a folder is nothing, or this would keep it young."""
        times = [status.st_mtime, status.st_ctime]
        if stat.S_ISREG(status.st_mode):
            times.append(status.st_atime)  # a copy may bring an old time of its own; it has been made, and read, now
        return self._now - max(times)


@area
class Releases(Area):
    """Old releases of applications: the newest stay, and always the current, the previous and those in use."""

    name = "releases"

    def plan(self) -> list[Item]:
        """Releases beyond the number that is kept."""
        items = []
        for name, application in self.options["applications"].items():
            variable = f"routine_maintenance_releases['{name}']"
            root = real_root(application["path"], self.options["roots"], variable)
            if Path(root).is_dir():
                items += self._plan(root, application, variable)
        return items

    def apply(self, items: list[Item]) -> None:
        """Rename, then remove: a release is there or it is not."""
        for item in items:
            release = Path(item.subject)
            going = release if release.name.startswith(GOING) else release.with_name(f"{GOING}{release.name}")
            try:
                if going != release:
                    release.rename(going)
                shutil.rmtree(going)
            except OSError as error:
                raise MaintenanceError(f"{item.subject} cannot be removed: {error}") from error

    def _plan(self, root: str, application: dict[str, object], variable: str) -> list[Item]:
        found = [(entry, status) for entry, status in entries(root) if stat.S_ISDIR(status.st_mode)]
        paths = [
            entry.path
            for entry, _status in sorted(found, key=lambda pair: pair[1].st_mtime, reverse=True)
            if not entry.name.startswith(".") and not (Path(entry.path) / INCOMPLETE).exists()
        ]
        current = os.path.realpath(str(application["current"]))
        reason = f"{application['current']} names no release in {root}" if paths and current not in paths else ""
        if (Path(root).parent / UNFINISHED).exists():
            reason = f"an update in {Path(root).parent} is not finished"
        if reason:
            self.note("releases", f"{variable}: {reason}; no release is removed")
            return []
        kept = _kept(paths, {current, os.path.realpath(str(application["previous"]))}, int(str(application["keep"])))
        gone = [entry.path for entry, _status in found if entry.name.startswith(GOING)]
        return [Item(self.name, path, _tree_bytes(path), "half removed") for path in gone] + [
            Item(self.name, path, _tree_bytes(path), "older than those that are kept")
            for path in reversed(paths)
            if path not in kept
        ]


def _kept(paths: list[str], named: set[str], number: int) -> set[str]:
    """Of the releases, newest first: those that are named or in use, and the newest up to the number."""
    busy = Busy([str(Path(path).parent) for path in paths[:1]])
    kept = {path for path in paths if path in named or busy.uses_below(path)}
    for path in paths:
        if len(kept) >= number:
            break
        kept.add(path)
    return kept


def _tree_bytes(folder: str) -> int:
    total = 0
    for entry, status in entries(folder):
        total += _tree_bytes(entry.path) if stat.S_ISDIR(status.st_mode) else occupied(status)
    return total
