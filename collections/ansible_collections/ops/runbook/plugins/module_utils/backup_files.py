# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The program on every host that backs up its files; on the store, also the one that looks after what was stored."""

from __future__ import annotations

import argparse
import functools
import json
import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Optional

from ansible_collections.ops.runbook.plugins.module_utils.backup_basics import (
    BackupError,
    History,
    age_status,
    alone,
    amount,
    answer,
    certificate_finding,
    finding,
    growth,
    is_due,
    replace,
    served_certificate,
    since,
    space,
    span,
    timer_finding,
)
from ansible_collections.ops.runbook.plugins.module_utils.backup_objects import digest, unlike_their_names
from ansible_collections.ops.runbook.plugins.module_utils.backup_receipt import CLOCK, ahead, behind
from ansible_collections.ops.runbook.plugins.module_utils.backup_restic import (
    Restic,
    damage,
    environment,
    explain,
    paths_that_exist,
    summary,
)
from ansible_collections.ops.runbook.plugins.module_utils.backup_retention import Backup, expirable_snapshots

#: What restic says of a repository that somebody else has locked for himself.
LOCKED = "already locked"
#: What `restic backup` ends with when it could not read some of the files.
INCOMPLETE = 3
MOST_NAMED = 20
#: What restic writes when all that it names is stored.
LAST = ("index", "snapshots")
#: Seconds after which an object that is not whole is none that is still coming in.
LONGEST_UPLOAD = 3600.0
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


class Store:
    """What all hosts have stored, seen by who keeps it."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.settings = settings["store"]
        self.root = Path(self.settings["repositories"])
        self.state = Path(settings["state"])
        self.history = History(self.state / "history.jsonl")
        self.now = time.time()

    def hosts(self) -> list[str]:
        """Hosts that have a repository."""
        return sorted(path.parent.name for path in self.root.glob("*/config"))

    def restic(self, host: str) -> Restic:
        """Restic on the repository of a host, past the server that removes nothing."""
        passphrase = Path(self.settings["passphrases"], host).read_text(encoding="utf-8").strip()
        variables = {"RESTIC_REPOSITORY": str(self.root / host), "RESTIC_PASSWORD": passphrase, "HOME": str(self.root)}
        return Restic({**variables, "RESTIC_CACHE_DIR": "/var/cache/restic-store"}, str(self.settings["user"]))

    def snapshots(self, host: str) -> list[dict[str, Any]]:
        """The snapshots of a host, each with the time at which it came in: the store's clock, which no host sets."""
        found = self.restic(host).snapshots()
        for each in found:
            path = self.root / host / "snapshots" / each["id"]
            each["received"] = path.stat().st_mtime if path.exists() else each["made"]
        return found

    def expire(self, *, dry: bool) -> dict[str, Any]:
        """Forget what may go, by the clock of the store. A host whose objects are damaged keeps everything."""
        damaged = {name.split("/")[0] for name in self.damaged}
        made, findings = [], []
        for host in self.hosts():
            snapshots, said = self.looked(host)
            cut, gone = ([], []) if host in damaged else (self.abandoned(host), self.expirable(snapshots))
            for name in [] if dry else cut:
                (self.root / name).unlink()
            if gone and not dry:
                self.restic(host).demand("unlock")
                self.restic(host).demand("forget", "--prune", *gone)
                self.history.add(event="expired", host=host, labels=gone)
            made += [f"{host}: {name.rsplit('/', 1)[-1][:8]} removed, it was never finished" for name in cut]
            made += [f"{host}: {label[:8]} forgotten" for label in gone]
            findings.append(said)
        return {"changed": bool(made), "made": made, "findings": [*findings, self.about_objects()]}

    @functools.cached_property
    def unlike(self) -> list[str]:
        """Stored objects that are not what their names say, read once: nobody's passphrase is needed for it."""
        return unlike_their_names(self.root, self.configs)

    @functools.cached_property
    def unfinished(self) -> list[str]:
        """Those of them that never were whole: a full disk or a lost connection has ended their upload.

        An append-only server keeps them for ever, and no backup depends on them: what is written last names what is
        needed, so it names none of these, or is one of them and empty.
        """
        found = []
        for host in sorted({name.split("/")[0] for name in self.unlike}):
            own = [name for name in self.unlike if name.startswith(f"{host}/")]
            empty = [name for name in own if name.split("/")[1] in LAST and not (self.root / name).stat().st_size]
            packs = [name for name in own if name.startswith(f"{host}/data/")]
            try:
                needed = self.packs(host) if packs else set()
            except BackupError:
                continue  # nobody knows what is needed, so all of it is
            found += [*empty, *(name for name in packs if name.rsplit("/", 1)[-1] not in needed)]
        return found

    def packs(self, host: str) -> set[str]:
        """The packs that the indexes of a repository name."""
        restic, folder = self.restic(host), self.root / host / "index"
        whole = [path.name for path in sorted(folder.iterdir()) if path.stat().st_size]
        indexes = [json.loads(restic.demand("cat", "index", name, "--no-lock", "--no-cache")) for name in whole]
        return {pack["id"] for index in indexes for pack in index["packs"]}

    def abandoned(self, host: str) -> list[str]:
        """What was not finished, and no longer can be."""
        own = [name for name in self.unfinished if name.startswith(f"{host}/")]
        return [name for name in own if self.now - (self.root / name).stat().st_mtime > LONGEST_UPLOAD]

    @functools.cached_property
    def damaged(self) -> list[str]:
        """Stored objects that are not what they were."""
        return [name for name in self.unlike if name not in self.unfinished]

    @functools.cached_property
    def configs(self) -> dict[str, str]:
        """The config of each repository to its hash when it was first seen: its name says nothing of it."""
        path = self.state / "configs.json"
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}

    def note_configs(self) -> None:
        """Note the configs of repositories that are new."""
        names = [f"{host}/config" for host in self.hosts()]
        new = {name: digest(self.root / name)[1] for name in names if name not in self.configs}
        if new:
            self.configs.update(new)
            replace(self.state / "configs.json", json.dumps(self.configs))

    def looked(self, host: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """The snapshots of a host, and what there is to say of them; none of a repository that cannot be read."""
        try:
            snapshots = self.snapshots(host)
        except BackupError as error:
            return [], finding(f"snapshots of {host}", "critical", str(error), "verification")
        return snapshots, self.about(host, snapshots)

    def expirable(self, snapshots: list[dict[str, Any]]) -> list[str]:
        """Ids of what may be forgotten, set by set; a set that no objective names keeps everything.

        What bears a time that its receipt belies is no proof of a good backup, now or later.
        """
        gone: list[str] = []
        for name, keep in self.settings["keep"].items():
            own = [
                Backup(each["id"], max(each["made"], each["received"]), good=not (ahead(each) or behind(each)))
                for each in snapshots
                if name in (each.get("tags") or ())
            ]
            gone += expirable_snapshots(own, self.now, float(keep))
        return gone

    def about(self, host: str, snapshots: list[dict[str, Any]]) -> dict[str, Any]:
        """Snapshots that a host cannot have made at the time that they bear."""
        check = f"snapshots of {host}"
        late, early = ([each["short_id"] for each in snapshots if wrong(each)] for wrong in (ahead, behind))
        if late:
            names = ", ".join(late[:MOST_NAMED])
            title = f"{names} bear a time after they came in: the host's clock is wrong, or they are forged"
            return finding(check, "critical", title, "forged")
        if early:
            names = ", ".join(early[:MOST_NAMED])
            title = f"{names} bear a time long before they came in: copied to this store, or forged"
            return finding(check, "warning", title, "forged")
        return finding(check, "ok", f"{len(snapshots)} snapshots", "forged", metrics={"snapshots": len(snapshots)})

    def about_objects(self) -> dict[str, Any]:
        """Whether each stored object is what its name says."""
        wrong = self.damaged
        free, whole = space(self.root)
        metrics = {"free_bytes": free, "used_percent": round(100 - 100 * free / whole, 1) if whole else 0.0}
        if wrong:
            title = f"{len(wrong)} stored objects are damaged: {', '.join(wrong[:3])}"
            detail = "\n".join(wrong[:MOST_NAMED])
            return finding("stored files", "critical", title, "verification", detail=detail, metrics=metrics)
        title = f"every object is what its name says; {amount(free)} are free"
        if self.unfinished:
            title += f"; {len(self.unfinished)} uploads were never finished: no backup needs them, and they are removed"
        return finding("stored files", "ok", title, "verification", metrics=metrics)

    def about_service(self) -> list[dict[str, Any]]:
        """Whether hosts can go on to store, and whether anything is let go."""
        address = f"localhost:{self.settings['port']}"
        timer = timer_finding("file backup retention timer", self.settings["timer"], "nothing is let go by itself")
        return [timer, certificate_finding("file backup certificate", address, served_certificate(address))]

    def findings(self) -> list[dict[str, Any]]:
        """What there is to say of what is stored, without changing anything."""
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            found = [said for _snapshots, said in pool.map(self.looked, self.hosts())]
        return [*found, self.about_objects()]


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
