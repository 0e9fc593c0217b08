# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The ledger: an append-only, hash-chained file of run records, safe under concurrent writers.

A ledger is a directory::

    ledger.jsonl   one entry a line, in canonical JSON
    head.json      the checkpoint: how many entries there are and the hash of the newest, replaced after each append
    lock           whoever holds its flock may append
    torn/          bytes that a writer left behind when it was killed in the middle of a line
    until-TIME/    an older ledger that an operator has set aside

An entry's hash is the SHA-256 of the entry in canonical JSON without the member ``hash``; ``prev`` is the hash of the
entry before. With a signer, the checkpoint carries a signature, and the next entry takes that signature over into the
chain, so that every signature ever made stays in the history.

A writer that is killed between entry and checkpoint leaves an entry that nothing confirms. The next writer checks
that it continues the chain, adopts it and says so in the ``note`` of its own entry. What does not continue the chain
is moved to ``torn/`` and noted too.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Optional

from ansible_collections.ops.runbook.plugins.module_utils.ledger_entry import (
    KINDS,
    Entry,
    Head,
    LedgerBrokenError,
    LedgerError,
    NotAnEntryError,
    canonical,
    open_private,
    sync_directory,
    utc_now,
)

#: A healthy writer holds the lock for milliseconds.
LOCK_TIMEOUT_SECONDS = 30.0

#: Takes (number of entries, hash of the newest) and returns a signature over both.
Sign = Callable[[int, str], str]


class Ledger:
    """A ledger directory."""

    def __init__(self, directory: Path, sign: Optional[Sign] = None) -> None:
        self.directory = directory
        self.path = directory / "ledger.jsonl"
        self.head_path = directory / "head.json"
        self._sign = sign

    def head(self) -> Optional[Head]:
        """The checkpoint; None where there is none."""
        return Head.read(self.head_path)

    def entries(self, offset: int = 0) -> Iterator[Entry]:
        """The entries in order, one in memory at a time.

        Raises NotAnEntryError at the first line that is none.
        """
        with contextlib.suppress(FileNotFoundError), self.path.open("rb") as lines:
            lines.seek(offset)
            for line in lines:
                yield Entry.from_line(line)

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Keep writers out, so that entries and checkpoint belong together.

        A copy without a lock file has no writers.
        """
        try:
            descriptor = os.open(self.directory / "lock", os.O_RDONLY)
        except OSError:
            yield
            return
        try:
            _flock(descriptor, fcntl.LOCK_SH, self.directory)
            yield
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def writer(self) -> Iterator[Writer]:
        """The exclusive right to append.

        Raises LedgerError when the directory cannot be written and LedgerBrokenError when the history is damaged.
        """
        try:
            self.directory.mkdir(mode=0o770, parents=True, exist_ok=True)
            with open_private(self.directory / "lock", os.O_RDWR | os.O_CREAT) as lock:
                _flock(lock, fcntl.LOCK_EX, self.directory)
                with open_private(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND) as descriptor:
                    yield Writer(self, descriptor, self._sign)
        except OSError as error:
            raise LedgerError(f"the ledger in {self.directory} cannot be written: {error}") from error

    def restart(self, body: Mapping[str, Any]) -> Path:
        """Set the ledger aside, whatever state it is in, and begin a new one whose first entry says so.

        Returns the directory in which the old one lies.
        """
        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        try:
            with open_private(self.directory / "lock", os.O_RDWR | os.O_CREAT) as lock:
                _flock(lock, fcntl.LOCK_EX, self.directory)
                aside = self.directory / f"until-{moment}"
                aside.mkdir(mode=0o770)
                for path in (self.path, self.head_path):
                    if path.exists():
                        path.rename(aside / path.name)
                sync_directory(self.directory)
        except OSError as error:
            raise LedgerError(f"the ledger in {self.directory} cannot be set aside: {error}") from error
        self.append("restarted", "", {**body, "set_aside": aside.name})
        return aside

    def append(self, kind: str, run_id: str, body: Mapping[str, Any]) -> Entry:
        """Append one entry."""
        with self.writer() as writer:
            return writer.append(kind, run_id, body)


class Writer:
    """Appends to a locked ledger. Reads nothing but the end of it."""

    def __init__(self, ledger: Ledger, descriptor: int, sign: Optional[Sign]) -> None:
        self._ledger = ledger
        self._descriptor = descriptor
        self._sign = sign
        self._note: dict[str, Any] = {}
        self.head = self._confirmed()
        self._adopt()

    def append(self, kind: str, run_id: str, body: Mapping[str, Any]) -> Entry:
        """Write one entry and confirm it; when this returns, both are on disk."""
        if kind not in KINDS:
            raise ValueError(f"{kind!r} is not one of {KINDS}")
        members: dict[str, Any] = {
            "seq": self.head.entries + 1,
            "time": utc_now(),
            "kind": kind,
            "run_id": run_id,
            "body": body,
            "prev": self.head.hash,
        }
        if self.head.signature:
            members["signature"] = self.head.signature
        if self._note:
            members["note"] = self._note
        digest = hashlib.sha256(canonical(members)).hexdigest()
        entry = Entry.from_line(canonical({**members, "hash": digest}))
        # Before anything is written: without its key, a signing writer leaves no trace.
        signature = self._sign(entry.seq, entry.hash) if self._sign else ""
        self._write(entry.line + b"\n")
        self._advance(entry, signature)
        self.head.write(self._ledger.head_path)
        self._note = {}
        return entry

    def check_since(self, before: Head) -> None:
        """Read back what was appended after that checkpoint.

        Raises LedgerBrokenError unless it is one unbroken chain up to the newest checkpoint.
        """
        seq, prev = before.entries, before.hash
        try:
            for entry in self._ledger.entries(before.size):
                if not entry.intact or entry.prev != prev or entry.seq != seq + 1:
                    raise self._broken(f"entry {entry.seq} does not continue entry {seq}")
                seq, prev = entry.seq, entry.hash
        except NotAnEntryError as error:
            raise self._broken(str(error)) from error
        if prev != self.head.hash:
            raise self._broken(f"entry {seq} is not the one that its checkpoint confirms")

    def _write(self, line: bytes) -> None:
        try:
            if os.write(self._descriptor, line) != len(line):
                raise OSError(errno.ENOSPC, "the disk took only a part of the entry")
            os.fsync(self._descriptor)
        except OSError:
            os.ftruncate(self._descriptor, self.head.size)
            raise

    def _advance(self, entry: Entry, signature: str = "") -> None:
        self.head = Head(
            entries=entry.seq,
            hash=entry.hash,
            size=self.head.size + len(entry.line) + 1,
            time=entry.time,
            signature=signature,
            open=_open_runs(self.head.open, entry),
        )

    def _confirmed(self) -> Head:
        """The checkpoint, after a look at whether the file still ends in what it confirms."""
        head = self._ledger.head()
        size = os.fstat(self._descriptor).st_size
        if head is None:
            if size:
                raise self._broken("its checkpoint head.json is missing")
            # Written before the first entry: from now on a missing checkpoint is always damage.
            head = Head(time=utc_now())
            head.write(self._ledger.head_path)
        if size < head.size:
            raise self._broken(f"it is {head.size - size} bytes shorter than its checkpoint says")
        if head.entries and self._last_line(head.size) != head.hash:
            raise self._broken(f"entry {head.entries} is not the one that its checkpoint confirms")
        return head

    def _broken(self, what: str) -> LedgerBrokenError:
        return LedgerBrokenError(
            f"the ledger in {self._ledger.directory} is damaged: {what}. Nothing is appended to it. "
            "'runbook-ledger verify' shows the damage, 'runbook-ledger restart --reason ...' sets it aside "
            "and begins a new one."
        )

    def _last_line(self, end: int) -> str:
        """The hash of the entry that ends there; empty if none does."""
        length = 4096
        while True:
            start = max(0, end - length)
            _before, newline, last = os.pread(self._descriptor, end - start, start).rstrip(b"\n").rpartition(b"\n")
            if newline or start == 0:
                break
            length *= 4
        try:
            entry = Entry.from_line(last)
        except NotAnEntryError:
            return ""
        return entry.hash if entry.intact else ""

    def _adopt(self) -> None:
        """Take over what a killed writer left after the checkpoint."""
        rest = os.pread(self._descriptor, os.fstat(self._descriptor).st_size - self.head.size, self.head.size)
        adopted = 0
        for line in rest.splitlines(keepends=True):
            entry = self._next(line)
            if entry is None:
                self._set_aside(rest)
                break
            adopted += 1
            rest = rest[len(line) :]
            self._advance(entry)
        if adopted:
            self._note["adopted"] = adopted

    def _next(self, line: bytes) -> Optional[Entry]:
        """The entry in the line if it continues the chain."""
        if not line.endswith(b"\n"):
            return None
        try:
            entry = Entry.from_line(line)
        except NotAnEntryError:
            return None
        fits = entry.intact and entry.seq == self.head.entries + 1 and entry.prev == self.head.hash
        return entry if fits else None

    def _set_aside(self, rest: bytes) -> None:
        digest = hashlib.sha256(rest).hexdigest()
        directory = self._ledger.directory / "torn"
        directory.mkdir(mode=0o770, exist_ok=True)
        path = directory / f"after-{self.head.entries}-{digest[:12]}"
        with open_private(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as descriptor:
            os.write(descriptor, rest)
            os.fsync(descriptor)
        sync_directory(directory)
        os.ftruncate(self._descriptor, self.head.size)
        self._note["set_aside"] = {"bytes": len(rest), "file": f"torn/{path.name}", "sha256": digest}


def _open_runs(runs: Mapping[str, Mapping[str, Any]], entry: Entry) -> dict[str, Mapping[str, Any]]:
    """The open runs after the entry."""
    others = {run_id: run for run_id, run in runs.items() if run_id != entry.run_id}
    if entry.kind == "started":
        others[entry.run_id] = {**entry.body.get("process", {}), "since": entry.time}
    return others


def _flock(descriptor: int, mode: int, directory: Path) -> None:
    """Wait for the lock, but not for ever: a stopped process must not hang every run after it."""
    give_up = time.monotonic() + LOCK_TIMEOUT_SECONDS
    pause = 0.001
    while True:
        try:
            fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > give_up:
                raise LedgerError(
                    f"another process has held {directory / 'lock'} for {LOCK_TIMEOUT_SECONDS:.0f} s; "
                    "'fuser -v' on that file names it"
                ) from None
            time.sleep(pause)
            pause = min(pause * 2, 0.02)
        else:
            return
