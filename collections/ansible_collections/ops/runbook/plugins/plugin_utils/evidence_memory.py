# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the controller remembers of the store, and what it gives the store of its own: its ledger, piece by piece.

Each keeps what shows the other's tampering: run records hold the checkpoints of the store, and the store holds the
ledger with all run records.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.ops.runbook.plugins.module_utils.evidence_checkpoint import (
    LEDGER,
    Checkpoint,
    Item,
    SealError,
)
from ansible_collections.ops.runbook.plugins.module_utils.evidence_log import Problem, Remembered
from ansible_collections.ops.runbook.plugins.module_utils.ledger import Ledger
from ansible_collections.ops.runbook.plugins.module_utils.ledger_entry import Entry, NotAnEntryError
from ansible_collections.ops.runbook.plugins.module_utils.run_record import records

#: Runs of these do not make a seal necessary: otherwise each seal would call for the next.
OWN = "backup_recovery/evidence_protection"
_PIECE = re.compile(rf"{LEDGER}/([0-9a-f]{{16}})/(\d{{8}})-(\d{{8}})-([0-9a-f]{{16}})\.jsonl")
_SHORT = 16


@dataclass(frozen=True)
class Piece:
    """Entries of a ledger that were sealed as one item."""

    #: The first entry's hash stands for the ledger.
    ledger: str
    first: int
    last: int
    #: Beginning of the last entry's hash.
    head: str

    @property
    def path(self) -> str:
        """Its path among the items."""
        return f"{LEDGER}/{self.ledger}/{self.first:08}-{self.last:08}-{self.head}.jsonl"

    @classmethod
    def of(cls, path: str) -> Piece | None:
        """The piece with that path."""
        match = _PIECE.fullmatch(path)
        return cls(match[1], int(match[2]), int(match[3]), match[4]) if match else None


def remembered(state: Path) -> list[Remembered]:
    """The checkpoints in the run records, oldest first, since the last time that a history began anew."""
    found: list[Remembered] = []
    for run_id, body in records(Ledger(state / "ledger")).items():
        for text in body.get("checkpoints", ()):
            try:
                checkpoint = Checkpoint.parse(text.encode("utf-8"))
            except SealError:
                continue  # the ledger's own verifier speaks of damaged records
            if checkpoint.seal == 1:
                found.clear()  # only a run that was told to begin anew made a first seal when there were others
            found.append(Remembered(checkpoint, f"run {run_id[:12]} of {body['started'][:10]}"))
    return found


def _ledgers(state: Path) -> Iterator[Ledger]:
    """The ledger, and those that were set aside."""
    folder = state / "ledger"
    yield Ledger(folder)
    yield from (Ledger(path) for path in sorted(folder.glob("until-*")))


def _first(ledger: Ledger) -> str:
    try:
        entry = next(ledger.entries(), None)
    except NotAnEntryError:
        return ""
    return entry.hash[:_SHORT] if entry else ""


@dataclass(frozen=True)
class NewEntries:
    """Entries of the controller's ledger that no seal has yet."""

    piece: Piece
    content: bytes
    #: Whether there are others than those of this procedure's own runs.
    due: bool


def new_entries(state: Path, items: Iterable[Item]) -> NewEntries | None:
    """What the ledger has gained since its last seal. Raises NotAnEntryError where it is damaged."""
    ledger = Ledger(state / "ledger")
    identity = _first(ledger)
    pieces = [piece for item in items if (piece := Piece.of(item.path)) and piece.ledger == identity]
    after = max((piece.last for piece in pieces), default=0)
    new = [entry for entry in ledger.entries() if entry.seq > after]
    if not new:
        return None
    piece = Piece(identity, new[0].seq, new[-1].seq, new[-1].hash[:_SHORT])
    content = b"".join(entry.line + b"\n" for entry in new)
    return NewEntries(piece, content, any(_counts(entry) for entry in new))


def _counts(entry: Entry) -> bool:
    if entry.kind not in ("started", "finished"):
        return entry.kind == "restarted"
    return not str(entry.body.get("procedure", "")).startswith(OWN)


def check_ledger(state: Path, items: Iterable[Item]) -> list[Problem]:
    """Compare the controller's ledgers with what the store has of them: nothing that was sealed may be missing."""
    known = {_first(ledger): ledger for ledger in _ledgers(state)}
    problems = []
    for identity, pieces in _pieces(items).items():
        newest = max(pieces, key=lambda piece: piece.last)
        if identity not in known:
            reason = f"the store has its entries 1 to {newest.last}, and the controller has no such ledger any more"
            problems.append(Problem("ledger entry", f"1 of ledger {identity}", reason))
            continue
        problems += _compare(known[identity], pieces, newest)
    return problems


def _pieces(items: Iterable[Item]) -> dict[str, list[Piece]]:
    found: dict[str, list[Piece]] = {}
    for item in items:
        piece = Piece.of(item.path)
        if piece:
            found.setdefault(piece.ledger, []).append(piece)
    return found


def _compare(ledger: Ledger, pieces: list[Piece], newest: Piece) -> Iterator[Problem]:
    ends = {piece.last: piece for piece in pieces}
    seq = 0
    try:
        for entry in ledger.entries():
            seq = entry.seq
            piece = ends.get(seq)
            if not entry.intact:
                yield Problem("ledger entry", str(seq), f"it was altered in {ledger.path}")
                return
            if piece and not entry.hash.startswith(piece.head):
                reason = f"the controller's ledger differs from the sealed one between entries {piece.first} and {seq}"
                yield Problem("ledger entry", str(seq), reason)
                return
    except NotAnEntryError as error:
        yield Problem("ledger entry", str(seq + 1), f"in {ledger.path}: {error}")
        return
    if seq < newest.last:
        reason = f"the store has it, and the controller's ledger ends with entry {seq}: it was truncated or rolled back"
        yield Problem("ledger entry", str(seq + 1), reason)


def damaged_entry(content: bytes) -> int:
    """The number of the first entry in a sealed piece that is not as it was written; 0 where all are."""
    seq = 0
    for line in content.splitlines(keepends=True):
        try:
            entry = Entry.from_line(line)
        except NotAnEntryError:
            return seq + 1 if seq else _number(line)
        if not entry.intact or (seq and entry.seq != seq + 1):
            return entry.seq if entry.seq == seq + 1 or not seq else seq + 1
        seq = entry.seq
    return 0


def _number(line: bytes) -> int:
    match = re.search(rb'"seq":(\d+)', line)
    return int(match[1]) if match else 1


def as_json(value: object) -> bytes:
    """The one JSON text of a record, readable, with a line's end."""
    return json.dumps(value, sort_keys=True, indent=1, ensure_ascii=True).encode("ascii") + b"\n"
