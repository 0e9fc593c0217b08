# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The program on the store that makes, verifies and expires backups of the database, whoever starts it."""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Optional

from ansible_collections.ops.runbook.plugins.module_utils.backup_basics import (
    BackupError,
    Done,
    History,
    age_status,
    alone,
    amount,
    answer,
    certificate_finding,
    finding,
    growth,
    is_due,
    run,
    served_certificate,
    since,
    space,
    span,
    timer_finding,
)
from ansible_collections.ops.runbook.plugins.module_utils.backup_objects import (
    Comparison,
    Inventory,
    Noted,
    hash_over,
)
from ansible_collections.ops.runbook.plugins.module_utils.backup_pgbackrest import (
    NO_STANDBY,
    Tool,
    archived,
    as_backups,
    explain,
    gaps,
    newest,
    parse_verify,
)
from ansible_collections.ops.runbook.plugins.module_utils.backup_retention import expirable_databases

KINDS = ("due", "full", "diff", "incr")
WORDS = {"full": "full", "diff": "differential", "incr": "incremental"}
#: Changed by every backup and every removal, so their hashes count from one run to the next only.
_INDEX = re.compile(r"(?:backup|archive)/[^/]+/(?:backup|archive)\.info(?:\.copy)?")
#: A segment of the log in the archive.
_LOGGED = re.compile(r"archive/[^/]+/[^/]+/[^/]+/([0-9A-F]{24})(?:-[^/]*)?")
MOST_NAMED = 20
#: A file that cannot be copied is tried once more at once, and not again after a quarter of a minute.
ONCE = ("--job-retry=1",)


class DatabaseBackup:
    """The backups of one stanza, on the host that keeps them."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.settings = settings
        self.repository = Path(settings["repository"])
        self.state = Path(settings["state"])
        self.tool = Tool(settings["stanza"], self.repository)
        self.history = History(self.state / "history.jsonl")
        self.now = time.time()
        #: Each backup that was read in this run and is whole, to the hash of all that it needs of its own.
        self.contents: dict[str, str] = {}

    # What there is

    def damaged_labels(self) -> list[str]:
        """Backups that the newest verification found not to be whole."""
        row = self.history.last(event="verified")
        return list(row["invalid"]) if row else []

    def sound(self, known: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """The rows of `info` that are known to be whole."""
        bad = set(self.damaged_labels())
        return [row for row in known.get("backup", ()) if row["label"] not in bad]

    def age(self, row: Optional[Mapping[str, Any]]) -> Optional[float]:
        """How old a backup is."""
        return None if row is None else since(float(row["timestamp"]["stop"]))

    def due(self, known: Mapping[str, Any], kind: str) -> str:
        """The kind of backup to make now; empty where none is due."""
        rows = self.sound(known)
        full = newest(rows, full=True)
        if kind != "due":
            return kind if full is not None else "full"
        if is_due(self.age(full), self.settings["full"]["every"]):
            return "full"
        return "diff" if is_due(self.age(newest(rows, full=False)), self.settings["differential"]["every"]) else ""

    # Making one

    def make(self, kind: str) -> dict[str, Any]:
        """Make a backup of that kind; verify it; expire what may go."""
        known = self.tool.info()
        self.demand_room(known, kind)
        started = time.time()
        done, without = self.backup(kind)
        known_after = self.tool.info()
        labels = {row["label"] for row in known["backup"]}
        made = [row for row in known_after["backup"] if row["label"] not in labels]
        if done.returncode or not made:
            raise explain(done.said, self.repository, f"the {WORDS[kind]} backup of stanza {self.tool.stanza}")
        row = made[-1]
        self.history.add(
            event="backup",
            label=row["label"],
            kind=row["type"],
            bytes=row["info"]["size"],
            stored=row["info"]["repository"]["delta"],
            seconds=round(time.time() - started, 1),
            standby=not without,
            without=without,
        )
        return dict(row)

    def backup(self, kind: str) -> tuple[Done, str]:
        """Run it, from the standby where there is one; also say why there was none."""
        done = self.tool.call("backup", f"--type={kind}", "--backup-standby", *ONCE)
        if done.returncode and NO_STANDBY in done.said:
            warnings = [line.split("WARN: ", 1)[1].strip() for line in done.said.splitlines() if "WARN: " in line]
            reason = "; ".join(warnings)[:300] or "no host of the database is one"
            return self.tool.call("backup", f"--type={kind}", "--no-backup-standby", *ONCE), reason
        return done, ""

    def demand_room(self, known: Mapping[str, Any], kind: str) -> None:
        """Refuse a backup that the file system cannot hold, going by those before it."""
        sizes = [row["info"]["repository"]["delta"] for row in known["backup"] if row["type"] == kind]
        needed = int(sizes[-1] * float(self.settings["headroom"])) if sizes else 0
        free, _all = space(self.repository)
        if free < needed:
            raise BackupError(
                f"the {WORDS[kind]} backup of stanza {self.tool.stanza}: the repository {self.repository} is full:"
                f" about {amount(needed)} are needed and {amount(free)} are free. Enlarge its file system or shorten a"
                " retention; nothing was expired to make room",
                "full",
            )

    # Looking at what was made

    def inventory(self, known: Mapping[str, Any]) -> Inventory:
        """The objects that belong to listed backups and to the archive."""
        labels = {row["label"] for row in known.get("backup", ())}
        prefix = f"backup/{self.tool.stanza}/"
        noted = self.state / "objects.json"

        def keep(name: str) -> bool:
            if name.endswith((".pgbackrest.tmp", ".lock")):
                return False
            folder, _slash, inside = (
                name.removeprefix(prefix).partition("/") if name.startswith(prefix) else ("", "", "")
            )
            if inside:
                return folder in labels or folder == "backup.history"
            return name.startswith((prefix, f"archive/{self.tool.stanza}/"))

        return Inventory(noted, self.repository, keep)

    def verify(self, *, note: bool, own: tuple[str, ...] = ()) -> dict[str, Any]:
        """Read everything. ``own`` are labels that this very run has made; with ``note``, take in what is new."""
        started = time.time()
        known = self.tool.info()
        done = self.tool.call("verify", "--output=text", "--verbose", "--job-retry=0")
        verdict = parse_verify(done.said)
        if done.returncode:
            raise explain(done.said, self.repository, f"verify of stanza {self.tool.stanza}")
        inventory = self.inventory(known)
        compared = self.without_index(inventory.compare(), known, own)
        damaged = [*verdict.damaged, *compared.damaged]
        missing = self.missing_log(known)
        damaged += [f"log segments missing: {first} to {last}" for first, last in missing]
        invalid = {*verdict.invalid, *self.labels_of(known, damaged)}
        self.contents = {label: text for label, text in contents(known, compared.found).items() if label not in invalid}
        if note:
            # What is damaged is not taken in: it stays named until it is what it was, or has been replaced.
            bad = {line.rsplit(" ", 1)[-1] for line in damaged}
            inventory.note({name: row for name, row in compared.new.items() if not _among(name, bad)})
            self.history.add(
                event="verified",
                invalid=sorted(invalid),
                damaged=damaged[:MOST_NAMED],
                seconds=round(time.time() - started, 1),
                objects=len(inventory.noted),
                root_hash=inventory.root_hash,
            )
        return {"damaged": damaged, "invalid": sorted(invalid), "objects": len(inventory.noted) or len(compared.new)}

    def without_index(self, compared: Comparison, known: Mapping[str, Any], own: tuple[str, ...]) -> Comparison:
        """Leave out index files that a backup has changed, this one or one that somebody made by hand."""
        before = self.history.last(event="index")
        labels = sorted(row["label"] for row in known["backup"])
        if before is not None and before["labels"] == labels and not own:
            return compared
        changed = tuple(name for name in compared.changed if not _INDEX.fullmatch(name))
        return Comparison(changed, compared.missing, compared.new, compared.found)

    def note_index(self) -> None:
        """Take in the index files as they are now, after a run that has changed them."""
        known = self.tool.info()
        inventory = self.inventory(known)
        inventory.note(inventory.read([name for name in inventory.names() if _INDEX.fullmatch(name)]))
        self.history.add(event="index", labels=sorted(row["label"] for row in known["backup"]))

    def missing_log(self, known: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Log that a point in time since the oldest backup needs, and that the archive does not have."""
        starts = [row["archive"]["start"] for row in known["backup"] if row["archive"]["start"]]
        if not starts or not known["archive"]:
            return []
        segments: dict[str, Path] = {}
        for archive in known["archive"]:
            segments.update(archived(self.repository, self.tool.stanza, archive["id"]))
        return gaps(segments, min(starts), int(self.settings["segment_bytes"]))

    @staticmethod
    def labels_of(known: Mapping[str, Any], damaged: list[str]) -> set[str]:
        """Backups that cannot be restored as they are, because something of theirs or of what they need is damaged."""
        found = set()
        for row in known["backup"]:
            needs = {row["label"], *(row.get("reference") or ())}
            segments = range(int(row["archive"]["start"] or "0", 16), int(row["archive"]["stop"] or "0", 16) + 1)
            for line in damaged:
                folder = re.search(r"(\d{8}-\d{6}F(?:_\d{8}-\d{6}[DI])?)/", line)
                segment = re.findall(r"\b[0-9A-F]{24}\b", line)
                inside = segment and int(segment[0], 16) <= segments[-1] and int(segment[-1], 16) >= segments[0]
                if (folder and folder[1] in needs and "backup.history" not in line) or inside:
                    found.add(row["label"])
        return found

    # Letting go

    def expire(self) -> list[str]:
        """Remove what the objectives allow. Nothing, while anything is damaged: the last good one may be old."""
        if self.damaged_labels():
            return []
        known = self.tool.info()
        keep = self.settings["full"]["keep"], self.settings["differential"]["keep"]
        labels = expirable_databases(as_backups(known, self.damaged_labels()), self.now, *keep)
        for label in labels:
            if any(row["label"] == label for row in self.tool.info()["backup"]):
                self.tool.demand("expire", f"--set={label}")
        left = self.tool.info()
        fulls = sum(1 for row in left["backup"] if row["type"] == "full")
        if labels and fulls:
            # As many as there are: only the log before the oldest of them goes.
            self.tool.demand("expire", "--repo1-retention-full-type=count", f"--repo1-retention-full={fulls}")
        if labels:
            inventory = self.inventory(left)
            inventory.note({}, set(inventory.noted) - set(inventory.names()))
            self.history.add(event="expired", labels=list(labels))
        return list(labels)

    # What is said about it

    def stored(self) -> dict[str, dict[str, Any]]:
        """Each listed backup as whoever keeps records elsewhere compares it."""
        return {
            row["label"]: {
                "made": round(float(row["timestamp"]["stop"])),
                "sets": ["full" if row["type"] == "full" else "differential"],
                "sha256": self.contents.get(row["label"], ""),
            }
            for row in self.tool.info()["backup"]
        }

    def findings(self, verified: Optional[Mapping[str, Any]] = None) -> list[dict[str, Any]]:
        """Age, size, duration and growth; the archive, the verification, the room, certificates and the timer."""
        known = self.tool.info()
        return [
            self.about(known, full=True),
            self.about(known, full=False),
            self.about_log(known),
            self.about_verification(verified),
            self.about_room(known),
            *self.about_certificates(),
            timer_finding("database backup timer", self.settings["timer"]),
        ]

    def about(self, known: Mapping[str, Any], *, full: bool) -> dict[str, Any]:
        """The newest full backup, or the newest of any kind."""
        check = "database full backup" if full else "database backup"
        every = float(self.settings["full" if full else "differential"]["every"])
        rows = self.sound(known)
        row = newest(rows, full=full)
        age = self.age(row)
        if row is None or age is None:
            return finding(check, "critical", "there is no good one", "age", expected=f"one every {span(every)}")
        noted = self.history.last(event="backup", label=row["label"]) or {}
        size, stored = row["info"]["size"], row["info"]["repository"]["delta"]
        same = [each for each in rows if each["type"] == row["type"] and each["label"] != row["label"]]
        before = same[-1]["info"]["size"] if same else None
        source = "" if noted.get("standby", True) else ", from the primary: no standby could be used"
        status = age_status(age, every)
        return finding(
            check,
            "warning" if source and status == "ok" else status,
            f"{row['label']} is {span(age)} old, {amount(size)}, {amount(stored)} stored{source}",
            "age",
            observed=round(age),
            unit="s",
            expected=f"younger than {span(every)}",
            detail=noted.get("without", ""),
            metrics={
                "age_seconds": round(age),
                "size_bytes": size,
                "stored_bytes": stored,
                "duration_seconds": noted.get("seconds", row["timestamp"]["stop"] - row["timestamp"]["start"]),
                "growth_percent": growth(size, before),
            },
        )

    def about_log(self, known: Mapping[str, Any]) -> dict[str, Any]:
        """The archive of the log: whether it is whole since the oldest backup."""
        check, expected = "database log archive", "no gap since the oldest backup"
        if not known["archive"] or not known["archive"][-1]["max"]:
            return finding(check, "critical", "the archive is empty", "log", expected=expected)
        missing = self.missing_log(known)
        archive = known["archive"][-1]
        files = archived(self.repository, self.tool.stanza, archive["id"])
        metrics = {"segments": len(files), "size_bytes": sum(path.stat().st_size for path in files.values())}
        if missing:
            named = ", ".join(f"{first} to {last}" for first, last in missing[:MOST_NAMED])
            title = f"log segments are missing: {named}. No point in time behind them can be restored"
            return finding(check, "critical", title, "log", expected=expected, metrics=metrics)
        age = since(files[archive["max"]].stat().st_mtime) if archive["max"] in files else 0.0
        title = f"whole up to {archive['max']}, {span(age)} old"
        return finding(check, "ok", title, "log", expected=expected, metrics={**metrics, "age_seconds": round(age)})

    def about_verification(self, verified: Optional[Mapping[str, Any]]) -> dict[str, Any]:
        """What was found when everything was read, now or the last time."""
        check = "database backup verification"
        row = verified or self.history.last(event="verified")
        if row is None:
            return finding(check, "critical", "no backup was ever verified", "verification")
        if row["damaged"] or row["invalid"]:
            names = "\n".join(row["damaged"][:MOST_NAMED])
            count = len(row["damaged"])
            backups = ", ".join(row["invalid"]) or "none"
            title = f"{count} objects of the repository are damaged; backups concerned: {backups}"
            return finding(check, "critical", title, "verification", detail=names)
        age = 0.0 if verified else since(row["time"])
        status = age_status(age, float(self.settings["differential"]["every"]))
        title = f"{row['objects']} objects are what they were; looked {'now' if verified else span(age) + ' ago'}"
        last = self.history.last(event="verified") or {}
        metrics = {"age_seconds": round(age), "objects": row["objects"]}
        return finding(check, status, title, "verification", detail=last.get("root_hash", ""), metrics=metrics)

    def about_room(self, known: Mapping[str, Any]) -> dict[str, Any]:
        """Whether the next full backup finds room."""
        free, whole = space(self.repository)
        row = newest(known["backup"], full=True)
        need = row["info"]["repository"]["delta"] * float(self.settings["headroom"]) if row else 0
        status = "critical" if free < need else "warning" if free < 2 * need else "ok"
        title = f"{amount(free)} of {amount(whole)} are free; the next full backup needs about {amount(need)}"
        metrics = {"free_bytes": free, "used_percent": round(100 - 100 * free / whole, 1) if whole else 0.0}
        return finding("database backup repository", status, title, "room", metrics=metrics)

    def about_certificates(self) -> list[dict[str, Any]]:
        """How long the certificate of this host is valid, and those that the hosts of the database show."""
        check, path = "database backup certificate", self.settings["certificate"]
        own = run(["openssl", "x509", "-noout", "-enddate", "-in", path])
        servers = self.settings["servers"]
        with ThreadPoolExecutor(max(1, len(servers))) as pool:
            shown = list(pool.map(served_certificate, servers))
        return [
            certificate_finding(check, path, own.output or own.errors),
            *(
                certificate_finding(f"{check} of {server.split(':')[0]}", server, said, "warning")
                for server, said in zip(servers, shown)  # noqa: B905 - Python 3.9
            ),
        ]


def contents(known: Mapping[str, Any], found: Mapping[str, Noted]) -> dict[str, str]:
    """Each backup to one hash over what never changes: its own objects, and the log from its beginning to its end."""
    own: dict[str, dict[str, Noted]] = {row["label"]: {} for row in known["backup"]}
    log: list[tuple[int, str]] = []
    for name, row in found.items():
        folder = name.split("/")[2] if name.startswith("backup/") else ""
        segment = _LOGGED.fullmatch(name)
        if folder in own:
            own[folder][name] = row
        elif segment:
            log.append((int(segment[1], 16), name))
    for backup in known["backup"]:
        first, last = (int(backup["archive"][end] or "0", 16) for end in ("start", "stop"))
        own[backup["label"]].update({name: found[name] for number, name in log if first <= number <= last})
    return {label: hash_over(objects) for label, objects in own.items()}


def _among(name: str, bad: set[str]) -> bool:
    return any(name.endswith(each) for each in bad)


def prepare_stanza(backup: DatabaseBackup, *, dry: bool) -> dict[str, Any]:
    """Make the stanza where there is none, and see that the log arrives."""
    try:
        codes = {each["status"]["code"] for each in backup.tool.info().get("repo", ())}
    except BackupError as error:
        if error.cause == "cipher":
            raise
        codes = {1}
    new = bool(codes & {1, 3})
    if not dry:
        if new:
            backup.tool.demand("stanza-create")
        backup.tool.demand("check")
    return {"changed": new, "made": ["stanza"] if new else []}


def make_backup(backup: DatabaseBackup, kind: str, *, dry: bool, check: bool = False) -> dict[str, Any]:
    """Make what is due or asked for, verify it, and let go what may go."""
    due = backup.due(backup.tool.info(), kind)
    if check and not due and not dry:
        backup.tool.demand("check")
    if not due or dry:
        return {"changed": bool(due), "made": [due] if due else [], "findings": backup.findings()}
    try:
        row = backup.make(due)
    except BackupError as error:
        backup.history.add(event="failed", kind=due, cause=error.cause, message=str(error))
        raise
    verified = backup.verify(note=True, own=(row["label"],))
    expired = backup.expire()
    backup.note_index()
    found = backup.findings(verified)
    return {"changed": True, "made": [due], "label": row["label"], "expired": expired, "findings": found}


def main(arguments: Optional[list[str]] = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Backups of the database in the repository of this host.")
    parser.add_argument("--settings", default="/etc/ops-runbook/database_backup.json", help="file of the settings")
    actions = parser.add_subparsers(dest="action", required=True)
    making = actions.add_parser("run", help="make a backup if it is due, verify it, expire what may go")
    making.add_argument("--kind", choices=KINDS, default="due")
    making.add_argument("--wait", type=float, default=0.0, help="seconds to wait for another run to end")
    making.add_argument(
        "--check", action="store_true", help="see that the log arrives, where no backup is due to prove it"
    )
    stanza = actions.add_parser("stanza", help="make the stanza where there is none, and check the archive")
    for each in (making, stanza):
        each.add_argument("--dry-run", action="store_true", help="say what would be done")
    looking = actions.add_parser("verify", help="read everything that is stored")
    looking.add_argument("--note", action="store_true", help="record the result in the history")
    actions.add_parser("status", help="age, size and the last verification, without reading the backups")
    chosen = parser.parse_args(arguments)
    try:
        backup = DatabaseBackup(json.loads(Path(chosen.settings).read_text(encoding="utf-8")))
        return answer(perform(backup, chosen))
    except BackupError as error:
        return answer({"changed": False, "failure": str(error), "cause": error.cause})


def perform(backup: DatabaseBackup, chosen: argparse.Namespace) -> dict[str, Any]:
    """Do what the command line says."""
    if chosen.action == "stanza":
        return prepare_stanza(backup, dry=chosen.dry_run)
    return {**work(backup, chosen), "stored": backup.stored()}


def work(backup: DatabaseBackup, chosen: argparse.Namespace) -> dict[str, Any]:
    """Make, read or look at backups."""
    if chosen.action == "status":
        return {"changed": False, "findings": backup.findings()}
    if chosen.action == "run" and chosen.dry_run:
        return make_backup(backup, chosen.kind, dry=True)
    looks = chosen.action == "verify"
    with alone(backup.state, "a backup of the database", 0.0 if looks else chosen.wait, writes=not looks):
        if looks:
            return {"changed": False, "findings": backup.findings(backup.verify(note=chosen.note))}
        return make_backup(backup, chosen.kind, dry=False, check=chosen.check)
