# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The program on every host that backs up its files; on the store, also the one that looks after what was stored."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

from ansible_collections.ops.runbook.plugins.module_utils.backup_basics import (
    BackupError,
    History,
    age_status,
    alone,
    amount,
    answer,
    finding,
    growth,
    is_due,
    since,
    span,
    timer_finding,
)
from ansible_collections.ops.runbook.plugins.module_utils.backup_receipt import CLOCK
from ansible_collections.ops.runbook.plugins.module_utils.backup_restic import (
    Restic,
    damage,
    environment,
    explain,
    paths_that_exist,
    summary,
)
from ansible_collections.ops.runbook.plugins.module_utils.backup_store import MOST_NAMED, Store

#: What restic says of a repository that somebody else has locked for himself.
LOCKED = "already locked"
#: What `restic backup` ends with when it could not read some of the files.
INCOMPLETE = 3
#: What one program at a time does: nothing is forgotten while the store backs up its own files.
BUSY = "a backup or the retention of files"


class FileBackup:
    """The files of this host and their repository on the store."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.settings = settings
        self.state = Path(settings["state"])
        self.restic = Restic(environment(Path(settings["environment"])))
        self.history = History(self.state / "history.jsonl")
        self.now = time.time()
        #: All snapshots, asked for once: each call of restic costs the time that guessing its passphrase has to cost.
        self._snapshots: Optional[list[dict[str, Any]]] = None

    def initialise(self, *, dry: bool) -> dict[str, Any]:
        """Make the repository where there is none."""
        done = self.restic.call("cat", "config", "--no-lock", "--no-cache")
        if not done.returncode:
            return {"changed": False, "made": []}
        if "404" not in done.said and "does not exist" not in done.said:
            raise explain(done.said, "the repository of this host")
        if not dry:
            self.restic.demand("init")
        return {"changed": True, "made": ["repository"]}

    def snapshots(self) -> list[dict[str, Any]]:
        """All that the store shows of this host."""
        if self._snapshots is None:
            self._snapshots = self.restic.snapshots()
        return self._snapshots

    def stored(self) -> dict[str, dict[str, Any]]:
        """Each snapshot as whoever keeps records elsewhere compares it. Its id is the hash of all that is in it."""
        return {
            each["id"][:16]: {"made": round(each["made"]), "sets": sorted(each.get("tags") or ()), "sha256": ""}
            for each in self.snapshots()
        }

    def newest(self, name: str) -> Optional[dict[str, Any]]:
        """The newest snapshot of a set that is not from the future."""
        own = [each for each in self.snapshots() if name in (each.get("tags") or ())]
        past = [each for each in own if each["made"] <= self.now + CLOCK]
        return past[-1] if past else None

    def due(self, kind: str) -> list[str]:
        """Names of the sets to back up now."""
        names = []
        for name, wanted in self.settings["sets"].items():
            if not paths_that_exist(wanted["paths"]) and wanted.get("optional"):
                continue
            if kind == "all" or self.is_late(name, wanted["every"]):
                names.append(name)
        return names

    def is_late(self, name: str, every: float) -> bool:
        """Whether the newest snapshot of a set has to be followed by another one."""
        newest = self.newest(name)
        return is_due(None if newest is None else since(newest["made"]), every)

    def make(self, name: str) -> None:
        """Back up one set."""
        wanted = self.settings["sets"][name]
        paths = paths_that_exist(wanted["paths"])
        missing = sorted(set(wanted["paths"]) - set(paths))
        if missing and not wanted.get("optional"):
            raise BackupError(f"the backup of {name}: {', '.join(missing)} is not there, or correct the set", "input")
        excluded = [f"--exclude={pattern}" for pattern in wanted.get("exclude", ())]
        host = f"--host={self.settings['host']}"
        started = time.time()
        words = ["backup", "--json", "--one-file-system", host, "--tag", name, *excluded, *paths]
        done = self.restic.call(*words)
        if done.returncode and LOCKED in done.said:
            self.restic.demand("unlock", "--no-cache")  # what a run that was killed has left
            done = self.restic.call(*words)
        self._snapshots = None
        told = summary(done.output)
        if not told or done.returncode not in (0, INCOMPLETE):
            self.history.add(event="failed", set=name, message=done.errors[-500:])
            raise explain(done.said, f"the backup of {name}")
        self.history.add(
            event="backup",
            set=name,
            label=told["snapshot_id"][:8],  # some versions say all of it
            bytes=told["total_bytes_processed"],
            files=told["total_files_processed"],
            stored=told["data_added"],
            seconds=round(time.time() - started, 1),
            unread=[line for line in done.errors.splitlines() if '"error"' in line][:MOST_NAMED]
            if done.returncode == INCOMPLETE
            else [],
        )

    def check(self, *, read_data: bool, note: bool) -> dict[str, Any]:
        """See that the repository is whole; with ``read_data``, that every byte of it is."""
        started = time.time()
        done = self.restic.call("check", "--no-lock", "--no-cache", *(["--read-data"] if read_data else []))
        damaged = damage(done.said)
        if done.returncode and not damaged:
            raise explain(done.said, "the verification of the repository")
        row = {"event": "verified", "read_data": read_data, "damaged": damaged[:MOST_NAMED]}
        if note:
            self.history.add(**row, seconds=round(time.time() - started, 1))
        return {**row, "time": self.now}

    def read_due(self) -> bool:
        """Whether everything has to be read, and not only the structure."""
        row = self.history.last(event="verified", read_data=True)
        return is_due(None if row is None else since(row["time"]), float(self.settings["read_every"]))

    def findings(self, verified: Optional[Mapping[str, Any]] = None) -> list[dict[str, Any]]:
        """Age, size, duration and growth of each set; the verification; the timer; on the store, its service."""
        sets = [self.about(name, wanted) for name, wanted in self.settings["sets"].items()]
        timer = timer_finding("file backup timer", self.settings["timer"])
        service = Store(self.settings).about_service() if self.settings.get("store") else []
        return [*sets, self.about_verification(verified), timer, *service]

    def about(self, name: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """The newest snapshot of a set."""
        check, every = f"backup of {name}", float(wanted["every"])
        if wanted.get("optional") and not paths_that_exist(wanted["paths"]):
            return finding(check, "ok", f"{', '.join(wanted['paths'])}: nothing is there yet", "age")
        newest = self.newest(name)
        last = self.history.last(event="backup", set=name)
        if last and not any(last["label"].startswith(each["short_id"]) for each in self._snapshots or ()):
            title = f"{last['label'][:8]}, made {span(since(last['time']))} ago, is gone from the store"
            return finding(check, "critical", title, "verification")
        if newest is None:
            return finding(check, "critical", "there is none", "age", expected=f"one every {span(every)}")
        age = since(newest["made"])
        noted = self.history.last(event="backup", label=newest["short_id"]) or {}
        older = [row for row in self.history.rows() if row.get("set") == name and row["event"] == "backup"]
        before = older[-2]["bytes"] if len(older) > 1 else None
        status = age_status(age, every)
        title = f"{newest['short_id']} is {span(age)} old, {amount(noted.get('bytes', 0))}"
        if noted.get("unread"):
            status = "warning" if status == "ok" else status
            title += f"; {len(noted['unread'])} files could not be read"
        metrics = {
            "age_seconds": round(age),
            "size_bytes": noted.get("bytes", 0),
            "stored_bytes": noted.get("stored", 0),
            "duration_seconds": noted.get("seconds", 0),
            "growth_percent": growth(noted.get("bytes", 0), before),
        }
        expected = f"younger than {span(every)}"
        detail = "\n".join(noted.get("unread", ()))
        return finding(
            check,
            status,
            title,
            "age",
            observed=round(age),
            unit="s",
            expected=expected,
            detail=detail,
            metrics=metrics,
        )

    def about_verification(self, verified: Optional[Mapping[str, Any]]) -> dict[str, Any]:
        """What the newest verification found, and how old that is which read every byte."""
        check = "file backup verification"
        row = verified or self.history.last(event="verified")
        if row is None:
            return finding(check, "critical", "the repository was never verified", "verification")
        if row["damaged"]:
            title = f"the repository is damaged: {row['damaged'][0]}"
            return finding(check, "critical", title, "verification", detail="\n".join(row["damaged"]))
        full = row if row.get("read_data") else self.history.last(event="verified", read_data=True)
        age = None if full is None else since(full["time"])
        status = age_status(age, float(self.settings["read_every"]))
        title = "every byte was never read" if age is None else f"whole; every byte was read {span(age)} ago"
        return finding(check, status, title, "verification", metrics={} if age is None else {"age_seconds": round(age)})


def make_backups(backup: FileBackup, kind: str, *, dry: bool) -> dict[str, Any]:
    """Back up the sets that are due, and see that the repository is whole."""
    names = backup.due(kind)
    if dry or not names:
        return {"changed": bool(names), "made": names, "findings": backup.findings()}
    for name in names:
        backup.make(name)
    verified = backup.check(read_data=backup.read_due(), note=True)
    return {"changed": True, "made": names, "findings": backup.findings(verified)}


def let_go(store: Optional[Store], chosen: argparse.Namespace) -> dict[str, Any]:
    """Forget what the objectives allow, on the store alone."""
    if store is None:
        raise BackupError("this host keeps no repositories: files are forgotten on the store", "input")
    if chosen.dry_run:
        return store.expire(dry=True)
    with alone(store.state, BUSY, chosen.wait):
        return store.expire(dry=False)


def main(arguments: Optional[list[str]] = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Backups of the files of this host.")
    parser.add_argument("--settings", default="/etc/ops-runbook/file_backup.json", help="file of the settings")
    actions = parser.add_subparsers(dest="action", required=True)
    making = actions.add_parser("run", help="back up what is due, and verify")
    making.add_argument("--kind", choices=("due", "all"), default="due")
    initialise = actions.add_parser("initialise", help="make the repository where there is none")
    expire = actions.add_parser("expire", help="on the store: forget what the objectives allow")
    for each in (making, expire):
        each.add_argument("--wait", type=float, default=0.0, help="seconds to wait for another run to end")
    for each in (making, initialise, expire):
        each.add_argument("--dry-run", action="store_true", help="say what would be done")
    looking = actions.add_parser("verify", help="read every byte that is stored")
    looking.add_argument("--note", action="store_true", help="record the result in the history")
    actions.add_parser("status", help="age and size, without reading what is stored")
    chosen = parser.parse_args(arguments)
    try:
        settings = json.loads(Path(chosen.settings).read_text(encoding="utf-8"))
        return answer(perform(settings, chosen))
    except BackupError as error:
        return answer({"changed": False, "failure": str(error), "cause": error.cause})


def perform(settings: Mapping[str, Any], chosen: argparse.Namespace) -> dict[str, Any]:
    """Do what the command line says."""
    store = Store(settings) if settings.get("store") else None
    if chosen.action == "expire":
        return let_go(store, chosen)
    backup = FileBackup(settings)
    if chosen.action == "initialise":
        return backup.initialise(dry=chosen.dry_run)
    return {**work(backup, store, chosen), "stored": backup.stored()}


def work(backup: FileBackup, store: Optional[Store], chosen: argparse.Namespace) -> dict[str, Any]:
    """Make, read or look at backups."""
    of_all = store.findings if store else list
    if chosen.action == "status":
        return {"changed": False, "findings": [*backup.findings(), *of_all()]}
    if chosen.action == "verify":
        verified = backup.check(read_data=True, note=chosen.note)
        return {"changed": False, "findings": [*backup.findings(verified), *of_all()]}
    if chosen.dry_run:
        return make_backups(backup, chosen.kind, dry=True)
    with alone(backup.state, BUSY, chosen.wait):
        if store is not None:
            store.note_configs()
        return make_backups(backup, chosen.kind, dry=False)
