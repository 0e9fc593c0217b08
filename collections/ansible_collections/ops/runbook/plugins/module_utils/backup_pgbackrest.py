# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What pgBackRest says, in words that an operator can act on; what it does not say, found out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from ansible_collections.ops.runbook.plugins.module_utils.backup_basics import BackupError, Done, amount, run, space
from ansible_collections.ops.runbook.plugins.module_utils.backup_retention import Backup

#: A repository with fewer bytes free is the reason why something could not be written.
_NO_ROOM = 16 * 1024 * 1024
#: The status of a stanza whose repository cannot be read.
_OTHER = 99
NO_STANDBY = "unable to find standby"
#: Words of its messages, what they mean, and what to do; the first that fits.
_CAUSES = (
    (
        r"No space left on device",
        "full",
        "the repository {repository} is full ({free} are free). Enlarge its file system or shorten a retention; nothing"
        " was expired to make room",
    ),
    (
        r"certificate has expired|certificate expired",
        "certificate",
        "a certificate has expired, so repository and database hosts do not trust each other. Renew it and run"
        " backup_procedures.yml again",
    ),
    (
        r"certificate verify failed|unable to get local issuer|alert (?:unknown ca|bad certificate|certificate)",
        "certificate",
        "a certificate is not accepted. Compare /etc/pgbackrest/tls on both hosts with the authority",
    ),
    (
        r"\[050\]|unable to acquire lock",
        "busy",
        "another pgBackRest holds the lock of the stanza: two backups at once. Wait for its end",
    ),
    (
        r"key/value found outside of section|CryptoError|cipher|unable to flush|bad decrypt",
        "cipher",
        "the repository cannot be decrypted: the passphrase is not the one that it was made with, or backup.info and"
        " its copy are both damaged. Put the right database_backup_cipher_passphrase back, and never make a new"
        " stanza over it",
    ),
    (
        r"\[082\]|was not archived before|archive.*timeout",
        "archive",
        "the archive falls behind: the log that the backup needs has not arrived. Look at the primary's archive_command"
        " (pg_stat_archiver) and at pgbackrest.service on this host",
    ),
    (
        r"unable to find primary|shut ?down|terminating connection|recovery is in progress|"
        r"server closed the connection|the database system is|unable to connect to '?(?:dbname|host)",
        "database",
        "the database went away or did not answer. Bring it back and run again: what is incomplete is never listed as a"
        " backup, and the next one goes on from it",
    ),
    (
        r"\[049\]|\[103\]|unable to connect|connection refused|unable to get address|timed? ?out|unexpected eof|"
        r"remote-\d+ process.*(?:terminated|closed)|HostConnect",
        "unreachable",
        "a host that the backup needs does not answer. Look at pgbackrest.service there, and at the network",
    ),
    (
        r"\[028\]|\[051\]|stanza-upgrade|do not match the database",
        "mismatch",
        "the stanza belongs to another database cluster. If this one is right, run pgbackrest stanza-upgrade by hand",
    ),
)


def explain(said: str, repository: Path, what: str) -> BackupError:
    """The error that a message of pgBackRest stands for."""
    # The first line repeats all options, whose names are words of other messages.
    said = "\n".join(line for line in said.splitlines() if " command begin " not in line)
    lines = [line.split("ERROR: ", 1)[-1].strip() for line in said.splitlines() if "ERROR" in line]
    words = "; ".join(lines)[:500] or said.strip()[-500:] or "it said nothing"
    if "unable to write" in said and repository.exists() and space(repository)[0] < _NO_ROOM:
        said += "\nNo space left on device"
    for pattern, cause, meaning in _CAUSES:
        if re.search(pattern, said, re.IGNORECASE):
            free = amount(space(repository)[0]) if repository.exists() else "0 B"
            return BackupError(f"{what}: {meaning.format(repository=repository, free=free)}. It said: {words}", cause)
    return BackupError(f"{what}: pgBackRest said: {words}")


class Tool:
    """pgBackRest with the configuration of this host."""

    def __init__(self, stanza: str, repository: Path) -> None:
        self.stanza, self.repository = stanza, repository

    def call(self, command: str, *options: str) -> Done:
        """Run a command of it."""
        return run(["pgbackrest", f"--stanza={self.stanza}", "--log-level-console=info", *options, command])

    def demand(self, command: str, *options: str) -> str:
        """Run a command that has to succeed."""
        done = self.call(command, *options)
        if done.returncode:
            raise explain(done.said, self.repository, f"{command} of stanza {self.stanza}")
        return done.said

    def info(self) -> dict[str, Any]:
        """What the repository holds of the stanza. Its status code is not 0 where there is no backup."""
        done = run(["pgbackrest", f"--stanza={self.stanza}", "--output=json", "--log-level-console=off", "info"])
        try:
            known: dict[str, Any] = json.loads(done.output)[0]
        except (ValueError, IndexError) as error:
            raise explain(done.said, self.repository, f"info of stanza {self.stanza}") from error
        code = known["status"]["code"]
        if code == _OTHER:
            messages = " ".join(repo["status"]["message"] for repo in known.get("repo", ()))
            raise explain(messages, self.repository, f"the repository of stanza {self.stanza}")
        return known


@dataclass
class Verdict:
    """What `verify` found."""

    #: Labels of backups that are not whole.
    invalid: list[str] = field(default_factory=list)
    #: A line for each object that is not what it should be.
    damaged: list[str] = field(default_factory=list)


def parse_verify(said: str) -> Verdict:
    """Read the output of `verify --output=text`, which ends with 0 whatever it finds."""
    verdict = Verdict()
    verdict.invalid = re.findall(r"backup: (\S+), status: (?!valid)", said)
    for kind, name in re.findall(r"INFO: (invalid (?:checksum|size|result)|file missing) '?([^\s':]+)", said):
        verdict.damaged.append(f"{kind}: {name}")
    verdict.damaged += [f"unusable: {line}" for line in re.findall(r"No usable \S+ file", said)]
    if re.search(r"status: error", said) and not (verdict.damaged or verdict.invalid):
        verdict.damaged.append("pgBackRest says that the stanza has errors and not which: pgbackrest verify")
    return verdict


#: Log segments of 16 MiB in one file number of the log's address.
_SEGMENT = 16 * 1024 * 1024


def _number(name: str, per_log: int) -> int:
    return int(name[8:16], 16) * per_log + int(name[16:24], 16)


def _name(timeline: str, number: int, per_log: int) -> str:
    return f"{timeline}{number // per_log:08X}{number % per_log:08X}"


def gaps(segments: Iterable[str], start: str, segment_bytes: int = _SEGMENT) -> list[tuple[str, str]]:
    """First and last name of each run of log segments that is missing between the start and the newest one.

    A new timeline begins in the segment in which the one before ends.
    """
    per_log = 0x100000000 // segment_bytes
    timelines: dict[str, list[int]] = {}
    for name in segments:
        timelines.setdefault(name[:8], []).append(_number(name, per_log))
    found = []
    expected = _number(start, per_log)
    for timeline in sorted(timelines):
        if timeline < start[:8]:
            continue
        numbers = sorted(number for number in set(timelines[timeline]))
        # A new timeline repeats the segment in which the one before ended.
        expected = min(expected, numbers[0]) if timeline > start[:8] else expected
        for number in numbers:
            if number < expected:
                continue
            if number > expected:
                found.append((_name(timeline, expected, per_log), _name(timeline, number - 1, per_log)))
            expected = number + 1
    return found


def archived(repository: Path, stanza: str, archive_id: str) -> dict[str, Path]:
    """Name of every log segment in the archive, without history and backup files, to its file."""
    found = {}
    for path in (repository / "archive" / stanza / archive_id).glob("*/*"):
        name = re.match(r"[0-9A-F]{24}(?=-|$)", path.name)
        if name:
            found[name[0]] = path
    return found


def as_backups(known: Mapping[str, Any], damaged: Iterable[str] = ()) -> list[Backup]:
    """The backups of `info`, for their retention."""
    bad = set(damaged)
    return [
        Backup(
            row["label"],
            float(row["timestamp"]["stop"]),
            row["type"] == "full",
            not row.get("error") and row["label"] not in bad,
            frozenset(row.get("reference") or ()) - {row["label"]},
        )
        for row in known.get("backup", ())
    ]


def newest(rows: Iterable[Mapping[str, Any]], *, full: bool) -> Optional[Mapping[str, Any]]:
    """The newest backup that has no error; only full ones, or any."""
    good = [row for row in rows if not row.get("error") and (row["type"] == "full" or not full)]
    return max(good, key=lambda row: float(row["timestamp"]["stop"]), default=None)
