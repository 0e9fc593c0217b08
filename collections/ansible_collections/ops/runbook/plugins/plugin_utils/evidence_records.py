# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is done with sealed evidence, written as evidence itself: holds, deletions and the chain of custody."""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

from ansible_collections.ops.runbook.plugins.module_utils.evidence_checkpoint import (
    CONTROL,
    CUSTODY,
    DELETIONS,
    HOLDS,
    LEDGER,
    NOTHING_BEFORE,
    Item,
    moment,
    safe_path,
)
from ansible_collections.ops.runbook.plugins.module_utils.evidence_log import Log
from ansible_collections.ops.runbook.plugins.module_utils.ledger_entry import utc_now
from ansible_collections.ops.runbook.plugins.plugin_utils.evidence_memory import as_json
from ansible_collections.ops.runbook.plugins.plugin_utils.evidence_store import (
    Candidate,
    EvidenceError,
    EvidenceStore,
    now,
    of_bytes,
)
from ansible_collections.ops.runbook.plugins.plugin_utils.run_record import Run

_FEWEST_WORDS = 3
_SHOWN = 5


@dataclass(frozen=True)
class Why:
    """Who does something, and for what reason."""

    reason: str
    ticket: str = ""

    def checked(self) -> Why:
        """Refuse what nobody will understand in a year."""
        if len(self.reason.split()) < _FEWEST_WORDS:
            raise EvidenceError(
                f"the reason is {self.reason!r}; it has to say in at least three words why (runbook_reason)"
            )
        return self

    def record(self, **facts: Any) -> dict[str, Any]:
        """A record of it."""
        run = Run.current
        who = dict(run.record.who) if run else {"user": getpass.getuser()}
        origin = {"run": os.environ.get("RUNBOOK_RUN_ID", ""), "ticket": self.ticket}
        return {"time": utc_now(), "who": who, "because": self.reason, **origin, **facts}


def holds(log: Log) -> dict[str, dict[str, Any]]:
    """Name → record of each hold that is in force."""
    found: dict[str, dict[str, Any]] = {}
    for record in sorted(log.records(HOLDS), key=lambda record: record["number"]):
        if record["action"] == "placed":
            found[record["hold"]] = record
        else:
            found.pop(record["hold"], None)
    return found


def hold(log: Log, name: str, patterns: Sequence[str], why: Why) -> Candidate:
    """The record that places a hold."""
    _name(name)
    if name in holds(log):
        raise EvidenceError(f"the hold {name} is in force already; give another name, or release it first")
    if not patterns or not chosen(log, patterns):
        raise EvidenceError(f"evidence_store_items is {list(patterns)}, which matches no sealed item")
    return _hold_record(log, why.checked().record(hold=name, action="placed", items=list(patterns)))


def release(log: Log, name: str, why: Why) -> Candidate:
    """The record that ends a hold."""
    _name(name)
    active = holds(log)
    if name not in active:
        raise EvidenceError(f"there is no hold {name}. In force: {', '.join(sorted(active)) or 'none'}")
    items = active[name]["items"]
    return _hold_record(log, why.checked().record(hold=name, action="released", items=items))


def _name(name: str) -> None:
    if not name or safe_path(name) != name or "/" in name:
        raise EvidenceError(f"evidence_store_hold is {name!r}; give a name of letters, digits, hyphens and underscores")


def _hold_record(log: Log, record: dict[str, Any]) -> Candidate:
    number = 1 + len(log.records(HOLDS))
    path = f"{HOLDS}/{number:06}-{record['hold']}-{record['action']}.json"
    return of_bytes(path, as_json({**record, "number": number}))


def custody(
    log: Log, action: str, items: Sequence[Item], why: Why, after: Sequence[Candidate] = (), **facts: Any
) -> Candidate:
    """The next record in the chain of custody, ``after`` those that are sealed together with it."""
    sealed = [item for item in log.items if item.collection == CUSTODY] + [candidate.item for candidate in after]
    previous = sealed[-1].sha256 if sealed else NOTHING_BEFORE
    rows = [{"path": item.path, "sha256": item.sha256} for item in items]
    record = why.checked().record(action=action, items=rows, previous=previous, **facts)
    return of_bytes(f"{CUSTODY}/{len(sealed) + 1:06}.json", as_json(record))


def chosen(log: Log, patterns: Sequence[str]) -> list[Item]:
    """Items that were not deleted and match one of the patterns."""
    deleted = log.deleted()
    return [
        item
        for item in log.items
        if item.path not in deleted and any(fnmatchcase(item.path, pattern) for pattern in patterns)
    ]


def kept_until(store: EvidenceStore, log: Log, index: int) -> datetime:
    """Until when an item is kept: what was promised when it was sealed, or what is promised now, if that is longer."""
    checkpoint, item = log.checkpoints[log.seals[index] - 1], log.items[index]
    current = store.keep.get(item.collection, store.keep[""])
    seconds = max(checkpoint.keep.get(item.collection, current), current)
    return moment(checkpoint.time) + timedelta(seconds=seconds)


@dataclass(frozen=True)
class Due:
    """Items whose retention is over, with their leaves, and what held others back."""

    leaves: Sequence[int]
    kept: Mapping[str, str]


def due(store: EvidenceStore, log: Log, patterns: Sequence[str]) -> Due:
    """What may be deleted. With patterns, everything that they match has to be due, or the run is refused."""
    active = holds(log)
    leaves, kept = [], {}
    index = log.index
    for item in chosen(log, patterns or ["*"]):
        reason = _reason(store, log, index[item.path], active)
        if not reason:
            leaves.append(index[item.path])
        else:
            kept[item.path] = reason
    if patterns and not leaves and not kept:
        raise EvidenceError(f"evidence_store_items is {list(patterns)}, which matches no sealed item")
    if patterns and kept:
        shown = "\n".join(f"- {path}: {reason}" for path, reason in list(kept.items())[:_SHOWN])
        raise EvidenceError(f"{len(kept)} of the items may not be deleted, so none is:\n{shown}")
    return Due(leaves, kept)


def _reason(store: EvidenceStore, log: Log, leaf: int, active: Mapping[str, Mapping[str, Any]]) -> str:
    """Why an item may not be deleted; empty where it may."""
    item = log.items[leaf]
    if item.collection in (*CONTROL, LEDGER):
        return "it says what was done, and is kept for ever"
    held = [name for name, record in active.items() if any(fnmatchcase(item.path, each) for each in record["items"])]
    if held:
        return f"under the legal hold {', '.join(sorted(held))}"
    until = kept_until(store, log, leaf)
    return f"kept until {until:%Y-%m-%d %H:%M:%S} UTC" if until > now() else ""


def deletion(store: EvidenceStore, log: Log, leaves: Sequence[int], why: Why) -> Candidate:
    """The record of a deletion, which is sealed before anything is deleted."""
    rows = [
        {
            "path": log.items[leaf].path,
            "sha256": log.items[leaf].sha256,
            "leaf": leaf,
            "seal": log.seals[leaf],
            "kept_until": kept_until(store, log, leaf).isoformat(timespec="seconds"),
        }
        for leaf in leaves
    ]
    number = 1 + len(log.records(DELETIONS))
    return of_bytes(f"{DELETIONS}/{number:06}.json", as_json(why.record(items=rows)))
