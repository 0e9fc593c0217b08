# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Asks an advisory source about every package of a lock. What was not asked about is never taken for good."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from ansible_collections.ops.runbook.plugins.plugin_utils.dependency_lock import Lock, canonical

#: How long the whole audit may take, and how long one answer, in seconds.
LIMIT = 180
ANSWER = 15
#: How much of an error is shown.
SHOWN = 300
#: The fewest words that are a reason.
WORDS = 3


class AuditError(Exception):
    """The source did not answer for every package: nothing is known about them."""


@dataclass(frozen=True)
class Advisory:
    """A known vulnerability of a package in the lock."""

    package: str
    version: str
    id: str
    aliases: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that the advisory goes by."""
        return (self.id, *self.aliases)

    def __str__(self) -> str:
        fixed = f"; fixed in {', '.join(self.fixed)}" if self.fixed else "; no fixed version is known"
        also = f" ({', '.join(self.aliases)})" if self.aliases else ""
        return f"{self.package} {self.version}: {self.id}{also}{fixed}"


@dataclass(frozen=True)
class Acceptance:
    """An advisory that somebody has decided to live with, until a day."""

    id: str
    reason: str
    until: date
    package: str = ""

    def covers(self, advisory: Advisory) -> bool:
        """Whether this is the advisory that was accepted."""
        return self.id in advisory.names and self.package in ("", advisory.package)


@dataclass(frozen=True)
class Verdict:
    """What the advisories mean for an update: those that forbid it, with why, and those that were accepted."""

    forbidding: tuple[tuple[Advisory, str], ...]
    accepted: tuple[tuple[Advisory, Acceptance], ...]


def acceptances(entries: Iterable[Mapping[str, Any]], where: str) -> list[Acceptance]:
    """Read the accepted advisories of the inventory. Raises ValueError that names the entry that is wrong."""
    found = []
    for number, entry in enumerate(entries):
        place = f"{where}[{number}]"
        unknown = sorted(set(entry) - {"id", "package", "reason", "until"})
        missing = [key for key in ("id", "reason", "until") if not str(entry.get(key) or "").strip()]
        if unknown or missing:
            problem = f"has no {', '.join(missing)}" if missing else f"has {', '.join(unknown)}"
            raise ValueError(f"{place} {problem}; an entry has id, reason, until, and package if it is for one only")
        if len(str(entry["reason"]).split()) < WORDS:
            raise ValueError(f"{place}: reason {entry['reason']!r} explains nothing; use at least {WORDS} words")
        try:
            until = date.fromisoformat(str(entry["until"]))
        except ValueError as error:
            raise ValueError(f"{place}: until is {entry['until']!r}, not a day such as 2027-01-31") from error
        package = canonical(str(entry["package"])) if entry.get("package") else ""
        found.append(Acceptance(str(entry["id"]), str(entry["reason"]), until, package))
    return found


def judge(advisories: Iterable[Advisory], accepted: Sequence[Acceptance], today: date | None = None) -> Verdict:
    """Hold the advisories against what was accepted."""
    now = today or datetime.now(UTC).date()
    forbidding, covered = [], []
    for advisory in advisories:
        fitting = [item for item in accepted if item.covers(advisory)]
        in_force = [item for item in fitting if item.until >= now]
        if in_force:
            covered.append((advisory, max(in_force, key=lambda item: item.until)))
        else:
            past = max((item.until for item in fitting), default=None)
            forbidding.append((advisory, f"accepted until {past}, which is over" if past else ""))
    return Verdict(tuple(forbidding), tuple(covered))


def audit(lock: Lock, program: Path, service: str, url: str) -> list[Advisory]:
    """Every advisory about the lock's packages.

    Raises AuditError where the source cannot be asked, or leaves out one package.
    """
    with tempfile.TemporaryDirectory(prefix="audit-") as folder:
        listing = Path(folder) / "requirements.lock"
        # Without markers: those are the hosts', and pip-audit would silently leave out what is not for the controller.
        listing.write_text(lock.text, encoding="utf-8")
        command = [str(program), "--strict", "--require-hashes", "--disable-pip", "--progress-spinner=off"]
        # An empty cache: an answer from yesterday is none about today.
        command += ["--format=json", f"--timeout={ANSWER}", f"--cache-dir={folder}/cache"]
        command += [f"--vulnerability-service={service}", f"--requirement={listing}"]
        command += [f"--osv-url={url}"] if url else []
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT)
        except FileNotFoundError as error:
            raise AuditError(f"{program} is missing: run `make setup`, or install pip-audit") from error
        except subprocess.TimeoutExpired as error:
            raise AuditError(f"{service} did not answer within {LIMIT} s") from error
    return read(done.stdout, done.stderr, lock, service)


def read(stdout: str, stderr: str, lock: Lock, service: str) -> list[Advisory]:
    """What pip-audit printed. Its exit status is 1 for advisories and for failures alike, so its words count."""
    try:
        answered = json.loads(stdout)["dependencies"]
    except (ValueError, KeyError, TypeError) as error:
        said = [line for line in stderr.strip().splitlines() if line and not line.startswith("WARNING")]
        reason = said[-1][:SHOWN] if said else "it printed nothing"
        raise AuditError(f"{service}: {reason}") from error
    found, asked = [], set()
    for entry in answered:
        name = canonical(entry["name"])
        if "version" not in entry:
            raise AuditError(f"{service} was not asked about {name}: {entry.get('skip_reason', 'no reason given')}")
        asked.add(f"{name}=={entry['version']}")
        found += [
            Advisory(name, entry["version"], item["id"], tuple(item["aliases"]), tuple(item["fix_versions"]))
            for item in entry["vulns"]
        ]
    missing = [line for line in lock.lines if line not in asked]
    if missing:
        raise AuditError(f"{service} said nothing about {', '.join(missing)}")
    return found
