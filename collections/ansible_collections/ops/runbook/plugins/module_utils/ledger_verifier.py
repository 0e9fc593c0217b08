# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The verifier: says whether a ledger is whole, and if not, what was done to it and where.

It needs nothing but the ledger's two files, so it works on a copy, anywhere, offline. A chain proves that nobody
changed the past without changing everything after it. That nobody wrote the whole chain anew, only a signature can
prove, or a checkpoint that was kept elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from ansible_collections.ops.runbook.plugins.module_utils.ledger import Ledger
from ansible_collections.ops.runbook.plugins.module_utils.ledger_entry import (
    GENESIS,
    Entry,
    Head,
    LedgerError,
    NotAnEntryError,
)
from ansible_collections.ops.runbook.plugins.module_utils.ledger_signature import BadSignatureError, signed_by

#: What can be wrong with a ledger.
PROBLEMS = (
    "absent",  # there is no ledger
    "empty",  # nothing was ever recorded
    "edited",  # an entry's content is not what was written
    "deleted",  # entries are missing before others
    "inserted",  # an entry stands where none was written
    "reordered",  # the entries are all there in another order
    "truncated",  # the newest entries are missing
    "unconfirmed",  # entries follow the checkpoint: a writer was killed, or the checkpoint is an old one
    "missing checkpoint",
    "bad checkpoint",
    "unsigned",  # allowed signers were named, and the newest checkpoint has no signature
    "bad signature",
)


@dataclass(frozen=True)
class Problem:
    """The first thing that is wrong."""

    #: One of PROBLEMS.
    kind: str
    reason: str
    #: Line in ledger.jsonl, from 1; 0 where the problem is not one line's.
    line: int = 0
    #: Sequence number of the first bad entry; 0 where there is none.
    seq: int = 0

    def __str__(self) -> str:
        place = f" (line {self.line})" if self.line else ""
        return f"{self.kind}: {self.reason}{place}"


@dataclass(frozen=True)
class Verification:
    """What the verifier found."""

    entries: int = 0
    #: Hash of the newest entry.
    head: str = ""
    #: Principal of the allowed signer who signed the newest checkpoint; empty where no signers were given.
    signed_by: str = ""
    #: Whether the newest checkpoint has a signature, checked or not.
    signed: bool = False
    problem: Optional[Problem] = None
    #: How many entries were continued without a signature on them: nobody vouched for them at the time.
    unsigned: int = 0

    @property
    def ok(self) -> bool:
        """Whether there is a ledger and nothing is wrong with it."""
        return self.problem is None

    def __str__(self) -> str:
        if self.problem:
            return f"ledger is not verified: {self.problem}"
        by = f", signed by {self.signed_by}" if self.signed_by else ""
        return f"ledger verified: {self.entries} entries, head {self.head[:16]}{by}"


def verify(path: Path, allowed_signers: Optional[Path] = None, every_signature: bool = False) -> Verification:
    """Verify the ledger in the directory, or the one that the file ledger.jsonl belongs to.

    With allowed signers the newest checkpoint must be signed by one of them; with every_signature the whole history, at
    two calls of ssh-keygen an entry.
    """
    ledger = Ledger(path.parent if path.name == "ledger.jsonl" else path)
    if not ledger.path.exists() and not ledger.head_path.exists():
        return Verification(problem=Problem("absent", f"there is no ledger in {ledger.directory}"))
    with ledger.reading():
        try:
            head = ledger.head()
        except LedgerError as error:
            return Verification(problem=Problem("bad checkpoint", str(error)))
        chain = _Chain(head)
        for number, line in _lines(ledger.path):
            problem = chain.take(number, line)
            if problem:
                return Verification(chain.seq, chain.hash, problem=_explain(ledger.path, chain, problem))
        problem = chain.end(head)
    signed = bool(head and head.signature)
    found = Verification(chain.seq, chain.hash, signed=signed, problem=problem, unsigned=chain.unsigned)
    if problem or head is None or allowed_signers is None:
        return found
    return _with_signatures(found, ledger, head, allowed_signers, every_signature=every_signature)


class _Chain:
    """Follows the entries one after another."""

    def __init__(self, head: Optional[Head]) -> None:
        self.seq = 0
        self.hash = GENESIS
        self.before = GENESIS
        self.unsigned = 0
        self.open: set[str] = set()
        self.head = head
        self._size = 0
        #: Hash of the entry whose number the checkpoint names.
        self.at_checkpoint: Optional[str] = None

    def take(self, number: int, line: bytes) -> Optional[Problem]:
        """The next line; what is wrong with it, in a first guess."""
        try:
            entry = Entry.from_line(line)
        except NotAnEntryError as error:
            if not line.endswith(b"\n") and self.head:
                return self._torn(number, self.head.entries)
            return Problem("edited", str(error), number, self.seq + 1)
        if not entry.intact:
            return Problem("edited", f"the content of entry {entry.seq} does not match its hash", number, entry.seq)
        if not self.continued_by(entry):
            return Problem("", f"entry {entry.seq} does not continue entry {self.seq}", number, entry.seq)
        self.seq, self.before, self.hash = entry.seq, self.hash, entry.hash
        self.unsigned += _lacks_signature(entry)
        self._size += len(line)
        if self.head and self.seq == self.head.entries:
            self.at_checkpoint = self.hash
        if entry.kind == "started":
            self.open.add(entry.run_id)
        elif entry.kind in ("finished", "interrupted"):
            self.open.discard(entry.run_id)
        return None

    def _torn(self, number: int, confirmed: int) -> Problem:
        """The file ends in the middle of a line."""
        if self.seq < confirmed:
            reason = f"the file ends in the middle of entry {self.seq + 1} of {confirmed}"
            return Problem("truncated", reason, number, self.seq + 1)
        reason = (
            "the last line is torn: a writer was killed in the middle of it. The next run sets it aside and notes it"
        )
        return Problem("unconfirmed", reason, number, self.seq + 1)

    def continued_by(self, entry: Entry) -> bool:
        """Whether the entry is the one that follows."""
        return entry.seq == self.seq + 1 and entry.prev == self.hash

    def end(self, head: Optional[Head]) -> Optional[Problem]:
        """What the checkpoint says against the chain, which is whole in itself."""
        if head is None:
            return Problem("missing checkpoint", "head.json is missing, so a truncation would not show")
        if head.entries > self.seq:
            gone = head.entries - self.seq
            return Problem("truncated", f"the last {gone} of {head.entries} entries are gone", self.seq, self.seq + 1)
        if head.entries and self.at_checkpoint != head.hash:
            reason = (
                f"entry {head.entries} is not the one that the checkpoint confirms: it, or one before it, was edited "
                "and everything after that was hashed again"
            )
            return Problem("edited", reason, head.entries, head.entries)
        if head.entries < self.seq:
            reason = (
                f"the checkpoint confirms {head.entries} entries, and {self.seq - head.entries} follow it: a writer "
                "was killed before it could confirm them, or an old checkpoint was put back. The next run adopts "
                "and notes them"
            )
            return Problem("unconfirmed", reason, head.entries + 1, head.entries + 1)
        return self._agrees(head)

    def _agrees(self, head: Head) -> Optional[Problem]:
        if self.seq == 0:
            return Problem("empty", "nothing has been recorded yet")
        if head.size != self._size or set(head.open) != self.open:
            return Problem("bad checkpoint", "size or open runs in head.json are not those of the entries")
        return None


def _explain(path: Path, chain: _Chain, problem: Problem) -> Problem:
    """What was done, seen from what follows the first bad line.

    The chain knows which entry ought to stand there. If that comes later, something was put before it.
    """
    if problem.kind in ("unconfirmed", "truncated"):
        return problem
    if chain.head and chain.at_checkpoint == chain.head.hash:
        reason = f"this line follows entry {chain.seq}, the newest that the checkpoint confirms, without continuing it"
        return Problem("inserted", reason, problem.line, problem.seq)
    successor = 0
    bad: Optional[Entry] = None
    after: Optional[Entry] = None
    for number, line in _lines(path):
        if number < problem.line:
            continue
        try:
            entry = Entry.from_line(line)
        except NotAnEntryError:
            continue
        if number == problem.line:
            bad = entry
        elif entry.intact and chain.continued_by(entry):
            successor = number
            break
        elif after is None:
            after = entry
    return _named(chain, problem, bad, successor, after)


def _named(chain: _Chain, problem: Problem, bad: Optional[Entry], successor: int, after: Optional[Entry]) -> Problem:
    if bad is None or not bad.intact:
        if not successor:
            return problem
        reason = f"a line that is no entry of this ledger stands before entry {chain.seq + 1}"
        return Problem("inserted", reason, problem.line, problem.seq)
    if successor:
        return _before_successor(chain, problem.line, bad, successor)
    if bad.seq <= chain.seq:
        return _second(chain, problem.line, bad, after)
    return _instead(chain, problem.line, bad)


def _before_successor(chain: _Chain, line: int, bad: Entry, successor: int) -> Problem:
    """An entry stands before the one that ought to be there."""
    expected = chain.seq + 1
    if bad.seq > expected:
        reason = f"entry {bad.seq} stands before entry {expected}, which is in line {successor}"
        return Problem("reordered", reason, line, bad.seq)
    return Problem("inserted", f"another entry {bad.seq} stands before entry {expected}", line, bad.seq)


def _second(chain: _Chain, line: int, bad: Entry, after: Optional[Entry]) -> Problem:
    """A number that was there already."""
    if bad.seq < chain.seq or bad.prev != chain.before:
        return Problem("inserted", f"entry {bad.seq} stands again after entry {chain.seq}", line, bad.seq)
    # Two entries follow the same one. That which the rest continues, or the checkpoint confirms, is the true one.
    confirmed = chain.head is not None and chain.head.hash == bad.hash
    true = confirmed or (after is not None and after.prev == bad.hash)
    reason = f"there are two entries {bad.seq}, and nothing continues this one"
    return Problem("inserted", reason, line - 1 if true else line, bad.seq)


def _instead(chain: _Chain, line: int, bad: Entry) -> Problem:
    """A later entry, or one that continues another past."""
    expected = chain.seq + 1
    if bad.seq > expected:
        names = f"entry {expected} is" if bad.seq == expected + 1 else f"entries {expected} to {bad.seq - 1} are"
        return Problem("deleted", f"{names} missing before entry {bad.seq}", line, expected)
    if chain.seq == 0:
        return Problem("deleted", "the first entry continues an older one that is not there", line, bad.seq)
    reason = f"entry {chain.seq} was edited and hashed again: entry {bad.seq} continues another one"
    return Problem("edited", reason, line - 1, chain.seq)


def _with_signatures(
    found: Verification, ledger: Ledger, head: Head, allowed_signers: Path, *, every_signature: bool
) -> Verification:
    if not head.signature:
        reason = f"the checkpoint of entry {head.entries} carries no signature"
        return _failed(found, Problem("unsigned", reason, 0, head.entries))
    try:
        principal = signed_by(head.entries, head.hash, head.signature, allowed_signers)
    except BadSignatureError as error:
        return _failed(found, Problem("bad signature", str(error), 0, head.entries))
    if every_signature:
        for entry in ledger.entries():
            if _lacks_signature(entry):
                reason = f"entry {entry.seq - 1} was continued without a signature: it may have been written anew since"
                return _failed(found, Problem("unsigned", reason, entry.seq - 1, entry.seq - 1))
            if not entry.signature:
                continue
            try:
                signed_by(entry.seq - 1, entry.prev, entry.signature, allowed_signers)
            except BadSignatureError as error:
                return _failed(found, Problem("bad signature", str(error), entry.seq - 1, entry.seq - 1))
    return Verification(found.entries, found.head, principal, signed=True, unsigned=found.unsigned)


def _lacks_signature(entry: Entry) -> bool:
    """Whether it continues one that nobody has signed, and that is not the last word of a killed writer."""
    return entry.seq > 1 and not entry.signature and not entry.note.get("adopted")


def _failed(found: Verification, problem: Problem) -> Verification:
    return Verification(found.entries, found.head, signed=found.signed, problem=problem)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with path.open("rb") as lines:
            yield from enumerate(lines, 1)
    except FileNotFoundError:
        return
