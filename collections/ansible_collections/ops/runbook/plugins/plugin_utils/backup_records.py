# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What run records know of stored backups, against what is stored now.

Whoever is root on the store can alter a backup with all that is noted of it there, or remove it without a trace. What a
run has seen of it stands in the controller's ledger, which the store does not reach.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ansible_collections.ops.runbook.plugins.module_utils.backup_basics import PAGE, TOO_LATE, span, stamp
from ansible_collections.ops.runbook.plugins.module_utils.finding import Finding
from ansible_collections.ops.runbook.plugins.module_utils.ledger import Ledger
from ansible_collections.ops.runbook.plugins.module_utils.run_record import records

CONTROLS = ("A.5.33", "A.8.13", "A1.2")
#: So much may the controller's clock be behind that of the store, in seconds.
CLOCK = 300.0
_SHOWN, _NAMED = 20, 3


@dataclass(frozen=True)
class Seen:
    """A backup as a run has seen it."""

    #: When it was complete, in seconds since 1970.
    made: float
    sets: tuple[str, ...]
    #: Hash of its content; empty where no run has read it.
    sha256: str
    #: Which run, such as "run 3f2a… of 2026-11-23".
    source: str = ""

    @classmethod
    def of(cls, row: Mapping[str, Any], source: str = "") -> Seen:
        """From what a host or a record says of it."""
        return cls(float(row["made"]), tuple(row["sets"]), str(row["sha256"]), source)

    @property
    def row(self) -> dict[str, Any]:
        """For a record."""
        return {"made": self.made, "sets": list(self.sets), "sha256": self.sha256}


def remembered(state: Path) -> dict[str, dict[str, Seen]]:
    """Repository → label → the backup as it was seen first, of those that nobody has let go."""
    found: dict[str, dict[str, Seen]] = {}
    for run_id, body in records(Ledger(state / "ledger")).items():
        source = f"run {run_id[:12]} of {body.get('started', '')[:10]}"
        for part in body.get("backups", ()):
            known = found.setdefault(part["repository"], {})
            for label in part["forgotten"]:
                known.pop(label, None)
            known.update({label: Seen.of(row, source) for label, row in part["seen"].items()})
    return found


def last_read_back(state: Path) -> dict[str, str]:
    """Set → the start of the newest run, in check mode or not, that has read files of one of its backups."""
    found: dict[str, str] = {}
    for body in records(Ledger(state / "ledger")).values():
        if body["outcome"] == "succeeded":
            tested = {name for row in body.get("read_back", ()) if row["files"] for name in row["sets"]}
            found.update(dict.fromkeys(tested, str(body["started"])))
    return found


def read_back_in_time(host: str, objective: str, last: str, every: float, now: float) -> Finding:
    """Whether backups under an objective were read back as often as it promises; ``last`` is empty where never."""
    check, expected = f"restore test of {objective}", f"read back within {span(every)}"
    remedy = "backup-recovery/recovery-procedures#files-not-read-back"
    if not last:
        title = "No run has read files of such a backup back yet."
        return Finding(check, host, "unknown", title, expected=expected, remedy=remedy, controls=CONTROLS)
    age = max(0.0, now - datetime.fromisoformat(last).timestamp())
    status = "critical" if age > every * TOO_LATE else "warning" if age > every else "ok"
    title = f"Files of such a backup were read back and compared {span(age)} ago."
    return Finding(
        check,
        host,
        status,
        title,
        observed=round(age),
        unit="s",
        expected=expected,
        remedy="" if status == "ok" else remedy,
        controls=CONTROLS,
        metrics={"age_seconds": round(age), "objective_seconds": every},
    )


def kept_for(sets: Iterable[str], keep: Mapping[str, float]) -> float:
    """Seconds for which a backup is kept at least. Sets that no objective names are never let go."""
    return min((keep[name] for name in sets if name in keep), default=math.inf)


@dataclass
class Comparison:
    """What became of the backups that run records know."""

    #: Label → what is wrong with it.
    wrong: dict[str, str] = field(default_factory=dict)
    #: Backups of which the records know nothing yet, or not their content.
    new: dict[str, Seen] = field(default_factory=dict)
    #: Those whose time is over, and those that somebody has let go.
    forgotten: list[str] = field(default_factory=list)
    same: int = 0


def compare(
    known: Mapping[str, Seen],
    stored: Mapping[str, Seen],
    keep: Mapping[str, float],
    now: float,
    let_go: Sequence[str] = (),
) -> Comparison:
    """Compare one repository. ``let_go`` are patterns of labels that are not to be there as they were."""
    found = Comparison()
    for label, before in known.items():
        today = stored.get(label)
        until = before.made + kept_for(before.sets, keep)
        over = today is None and until <= now + CLOCK
        if over or any(fnmatchcase(label, pattern) for pattern in let_go):
            found.forgotten.append(label)
        elif today is None:
            end = "it is never to be removed" if math.isinf(until) else f"it is to be kept until {stamp(until)}"
            found.wrong[label] = f"is gone: {before.source} has seen it, and {end}"
        elif before.sha256 and today.sha256 and before.sha256 != today.sha256:
            found.wrong[label] = f"was altered: it is not what {before.source} has read"
        else:
            found.same += 1
    for label, today in stored.items():
        earlier = None if label in found.forgotten else known.get(label)
        if earlier is None or (today.sha256 and not earlier.sha256):
            found.new[label] = today
    return found


def judged(host: str, check: str, found: Comparison) -> Finding:
    """The finding of one repository."""
    if not found.wrong:
        title = f"{found.same} are what run records know; {len(found.new)} are new to them"
        return Finding(check, host, "ok", title, controls=CONTROLS)
    lines = [f"{label} {reason}" for label, reason in sorted(found.wrong.items(), reverse=True)]
    more = f"; and {len(lines) - _NAMED} more" if len(lines) > _NAMED else ""
    return Finding(
        check,
        host,
        "critical",
        "; ".join(lines[:_NAMED]) + more,
        expected="as run records know them",
        detail="\n".join(lines[:_SHOWN]),
        remedy=f"{PAGE}#records",
        controls=CONTROLS,
    )


def unsaid(host: str, check: str) -> Finding:
    """The finding of a host that does not say what is stored: its program is another one."""
    title = "the host's program does not say what is stored; backup_procedures.yml installs the one that does"
    return Finding(check, host, "unknown", title, remedy=f"{PAGE}#records", controls=CONTROLS)


def noted(repository: str, found: Comparison) -> dict[str, Any]:
    """What the run's record takes in; empty where there is nothing new."""
    if not (found.new or found.forgotten):
        return {}
    seen = {label: each.row for label, each in found.new.items()}
    return {"repository": repository, "seen": seen, "forgotten": sorted(found.forgotten)}
