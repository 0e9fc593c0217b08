# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Brings damaged or missing evidence back: what is byte for byte what a signed checkpoint says, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.ops.runbook.plugins.module_utils.evidence_checkpoint import CUSTODY, Item
from ansible_collections.ops.runbook.plugins.module_utils.evidence_log import Log, Problem, check_items
from ansible_collections.ops.runbook.plugins.module_utils.finding import Finding
from ansible_collections.ops.runbook.plugins.module_utils.merkle import verify_inclusion
from ansible_collections.ops.runbook.plugins.plugin_utils import evidence_records
from ansible_collections.ops.runbook.plugins.plugin_utils.evidence_replica import Replica
from ansible_collections.ops.runbook.plugins.plugin_utils.evidence_sources import Source, fetched
from ansible_collections.ops.runbook.plugins.plugin_utils.evidence_store import (
    Candidate,
    EvidenceError,
    EvidenceStore,
    Remote,
)
from ansible_collections.ops.runbook.plugins.plugin_utils.evidence_verify import CONTROLS, Verified, damage

#: What a restore takes: bytes a second through one connection, and seconds for everything else.
_RATE, _REST = 10e6, 5.0
_SHOWN, _ROWS = 5, 200
_UNITS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


@dataclass(frozen=True)
class Copy:
    """An item that is damaged, and a whole copy of it."""

    item: Item
    reason: str
    candidate: Candidate
    origin: str

    @property
    def how(self) -> str:
        """In a word, for a table."""
        return "missing" if "missing" in self.reason else "altered" if "altered" in self.reason else "unreadable"


@dataclass
class Restoration:
    """What a restore brings back, and what it cannot."""

    log: Log
    copies: list[Copy] = field(default_factory=list)
    #: Path below seals/ → what it was sealed with.
    seals: dict[str, bytes] = field(default_factory=dict)
    #: Those of them that are not there at all.
    gone: set[str] = field(default_factory=set)
    #: Path → why it cannot be brought back.
    lost: dict[str, str] = field(default_factory=dict)
    #: Restores that the chain of custody does not know yet, with what they have done.
    unrecorded: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def due(self) -> bool:
        """Whether there is something to do."""
        return bool(self.copies or self.seals or self.unrecorded)

    @property
    def lines(self) -> list[str]:
        """What is brought back, one line each; the same each time."""
        found = [f"{copy.item.sha256}  {copy.item.path}" for copy in self.copies]
        return [*found, *(f"seals/{path}" for path in sorted(self.seals))]

    @property
    def rows(self) -> list[list[str]]:
        """The same for the report."""
        found = [[copy.item.path, copy.how, copy.origin, _amount(copy.candidate.size)] for copy in self.copies]
        found += [
            [f"seals/{path}", "missing" if path in self.gone else "altered", "replica", _amount(len(data))]
            for path, data in self.seals.items()
        ]
        return [*found, *([path, reason, "nowhere", ""] for path, reason in sorted(self.lost.items()))]

    def report(self, host: str, what: str) -> Verified:
        """Findings and a table."""
        count = len(self.copies) + len(self.seals)
        title = f"{count} files {what}" if count else "nothing is damaged that can be brought back"
        findings = [Finding("evidence restored", host, "ok", title, controls=CONTROLS)]
        findings += damage([Problem("item", path, reason) for path, reason in sorted(self.lost.items())], host)
        columns = ["Item", "How", "Copy", "Size"]
        table = {"title": "Damaged or missing", "columns": columns, "rows": self.rows[:_ROWS]}
        return Verified(findings, [table] if self.rows else [])

    def estimate(self, host: str) -> str:
        """What it costs, before anything is touched."""
        size = sum(copy.candidate.size for copy in self.copies) + sum(map(len, self.seals.values()))
        if not self.due and not self.lost:
            return f"Nothing is damaged or missing on {host}."
        text = (
            f"{len(self.copies)} items and {len(self.seals)} files of seals are damaged or missing on {host} "
            f"and come back: {_amount(size)}, about {_REST + size / _RATE:.0f} s. What they replace is kept there."
        )
        origins = sorted({copy.origin for copy in self.copies})
        text += f" From: {', '.join(origins)}." if origins else ""
        return text + (
            f" Lost, as no copy is what was sealed: {', '.join(sorted(self.lost)[:_SHOWN])}." if self.lost else ""
        )


def plan(
    store: EvidenceStore, replica: Replica, remote: Remote, sources: Sequence[Source], patterns: Sequence[str]
) -> Restoration:
    """What is damaged, and where it is whole. Raises EvidenceError where nothing proves what it was."""
    log = _trusted(store, replica)
    found = Restoration(log)
    chosen = evidence_records.chosen(log, patterns or ["*"])
    if not chosen and patterns:
        raise EvidenceError(f"evidence_store_items is {list(patterns)}, which matches no sealed item")
    for name, files in replica.copy.seals.items():
        theirs = store.seals.get(name, {})
        found.seals.update({f"{name}/{file}": data for file, data in files.items() if theirs.get(file) != data})
        found.gone |= {f"{name}/{file}" for file in files if file not in theirs}
    paths = [item.path for item in chosen]
    said = store.ask("hash", paths=paths)
    reasons = {problem.name: problem.reason for problem in check_items(log, said["hashes"], said["failures"], paths)}
    damaged = [item for item in chosen if item.path in reasons]
    whole = _copies(damaged, replica, remote, sources)
    index, last = log.index, log.last
    for item in damaged:
        leaf = index[item.path]
        proven = last is not None and verify_inclusion(
            item.leaf, leaf, len(log.tree), log.tree.inclusion(leaf), bytes.fromhex(last.root)
        )
        if item.path in whole and proven:
            candidate, origin = whole[item.path]
            found.copies.append(Copy(item, reasons[item.path], candidate, origin))
        else:
            found.lost[item.path] = f"{reasons[item.path]}; no copy of it is what was sealed"
    if found.lost and (patterns or not (found.copies or found.seals)):
        shown = "\n".join(f"- {path}: {reason}" for path, reason in list(found.lost.items())[:_SHOWN])
        raise EvidenceError(f"{len(found.lost)} of the items cannot be brought back, so none is:\n{shown}")
    known = {record.get("safety_copy") for record in log.records(CUSTODY)}
    kept = store.ask("listing")["restored"]
    found.unrecorded = {run: journal for run, journal in kept.items() if f"replaced/{run}" not in known}
    return found


def _trusted(store: EvidenceStore, replica: Replica) -> Log:
    """A log in which nothing is wrong: that of the store, or that of the replica."""
    own, copy = store.log(), replica.log()
    if own.problems and (copy.problems or not copy.checkpoints):
        said = "; ".join(str(problem) for problem in [*own.problems[:2], *copy.problems[:2]]) or "there is no replica"
        raise EvidenceError(
            f"neither {store.host} nor its replica has whole seals, so nothing says what is genuine: {said}"
        )
    if copy.problems:
        # The store's seals are whole; items of the replica still count if their bytes are what these say.
        replica.copy.seals = {}
        return own
    lost = copy.checkpoints[: len(own.checkpoints)] == own.checkpoints and len(copy.checkpoints) > len(own.checkpoints)
    log, other = (copy, own) if own.problems or lost else (own, copy)
    sealed = {item.path: item.sha256 for item in log.items}
    same = {item.path for item in other.items if sealed.get(item.path) == item.sha256}
    log.control = {**{path: each for path, each in other.control.items() if path in same}, **log.control}
    return log


def _copies(
    damaged: Sequence[Item], replica: Replica, remote: Remote, sources: Sequence[Source]
) -> dict[str, tuple[Candidate, str]]:
    """Path → a copy with the sealed SHA-256, and where it is."""
    found = {path: (candidate, "replica") for path, candidate in replica.candidates(damaged).items()}
    left = [item for item in damaged if item.path not in found]
    collections = {item.collection for item in left}
    for source in sources:
        if source.collection not in collections:
            continue
        said = remote.ask_all({source.host: source.question})[source.host]
        names = {sha256: (name, size) for name, (sha256, size) in said["items"].items()}
        here = [(item, *names[item.sha256]) for item in left if item.sha256 in names]
        for candidate in fetched(source, remote, here):
            found.setdefault(candidate.item.path, (candidate, source.host))
    return found


def custody(
    log: Log, done: Mapping[str, Mapping[str, Any]], origins: Mapping[str, str], why: evidence_records.Why
) -> list[Candidate]:
    """The records of restores, for the chain of custody."""
    sealed = {item.path: item for item in log.items}
    records: list[Candidate] = []
    for run, journal in sorted(done.items()):
        items = [sealed[path] for path in sorted(journal["items"])]
        facts = {
            "safety_copy": f"replaced/{run}",
            "replaced": journal["was"],
            "seals": journal["seals"],
            "from": {path: origins.get(path, "not known any more") for path in sorted(journal["items"])},
        }
        records.append(evidence_records.custody(log, "restored", items, why, after=records, **facts))
    return records


def verified(store: EvidenceStore, restoration: Restoration) -> None:
    """See that the store has it as it was sealed. Raises EvidenceError."""
    log = store.sound_log()
    paths = [copy.item.path for copy in restoration.copies]
    said = store.ask("hash", paths=paths)
    problems = check_items(log, said["hashes"], said["failures"], paths)
    if problems:
        raise EvidenceError(f"after the restore, {problems[0]}")


def _amount(size: float) -> str:
    for unit, name in _UNITS:
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size:.0f} B"
