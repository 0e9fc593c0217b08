# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The two things that a ledger is made of: entries, and the checkpoint that confirms them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Optional

GENESIS = "0" * 64
KINDS = ("started", "finished", "interrupted", "restarted")

_HASH_KEY = b',"hash":"'
_HASH_LENGTH = len(_HASH_KEY) + 64 + 1


class LedgerError(Exception):
    """The ledger cannot be read or written."""


class LedgerBrokenError(LedgerError):
    """What the checkpoint confirmed is not there any more: nobody may append until an operator has looked."""


class NotAnEntryError(ValueError):
    """A line of the ledger that no writer wrote like this."""


def canonical(value: Any) -> bytes:
    """The one JSON text of the value: sorted keys, no spaces, ASCII, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode("ascii")


def utc_now() -> str:
    """The time in UTC, ISO 8601 with milliseconds."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True)
class Entry:
    """One line of the ledger without its body, which is only parsed where somebody asks for it."""

    seq: int
    time: str
    kind: str
    run_id: str
    prev: str
    hash: str
    #: The hash that the line's content gives; differs from ``hash`` in an edited entry.
    computed: str
    #: Signature over the checkpoint of the entry before; empty where its writer had no key.
    signature: str = ""
    #: What the writer had to put right before it could append.
    note: Mapping[str, Any] = field(default_factory=dict)
    line: bytes = field(default=b"", repr=False, compare=False)

    @property
    def intact(self) -> bool:
        """Whether the content is what the hash was made from."""
        return self.hash == self.computed

    @property
    def body(self) -> dict[str, Any]:
        """The run record, or its start."""
        body = json.loads(self.line)["body"]
        if not isinstance(body, dict):
            raise NotAnEntryError(f"the body of entry {self.seq} is not a mapping")
        return body

    @classmethod
    def from_line(cls, line: bytes) -> Entry:
        """The entry from its line, with or without the line's end.

        Raises NotAnEntryError for bytes that no writer writes.
        """
        line = line.rstrip(b"\n")
        # Keys are sorted: only kind, note, prev, run_id, seq, signature and time follow the hash, none of them with
        # a member of that name. The last occurrence is therefore the entry's own, whatever the body contains.
        at = line.rfind(_HASH_KEY)
        try:
            tail = json.loads(b"{" + line[at + 1 :])
            entry = cls(
                seq=tail["seq"],
                time=tail["time"],
                kind=tail["kind"],
                run_id=tail["run_id"],
                prev=tail["prev"],
                hash=tail["hash"],
                computed=hashlib.sha256(line[:at] + line[at + _HASH_LENGTH :]).hexdigest(),
                signature=tail.get("signature", ""),
                note=tail.get("note", {}),
                line=line,
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise NotAnEntryError(f"not an entry of a ledger: {line[:60]!r}") from error
        if at < 0 or not line.startswith(b'{"body":{') or not isinstance(entry.seq, int):
            raise NotAnEntryError(f"not an entry of a ledger: {line[:60]!r}")
        return entry


@dataclass(frozen=True)
class Head:
    """The checkpoint: what the newest confirmed entry is."""

    entries: int = 0
    hash: str = GENESIS
    #: Bytes of ledger.jsonl up to and with the newest confirmed entry.
    size: int = 0
    time: str = ""
    signature: str = ""
    #: The runs that have started and not ended: run id → process identity and ``since``.
    open: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Optional[Head]:
        """The checkpoint in the file; None where there is none.

        Raises LedgerError when the file cannot be understood.
        """
        try:
            data = json.loads(path.read_bytes())
            return cls(**data)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            raise LedgerError(f"{path} is not a checkpoint: {error}") from error

    def write(self, path: Path) -> None:
        """Replace the file in one step: a reader sees the old checkpoint or the new one."""
        temporary = path.with_name(f"{path.name}.{os.getpid()}")
        with open_private(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as descriptor:
            os.write(descriptor, canonical(vars(self)) + b"\n")
            os.fsync(descriptor)
        temporary.replace(path)
        sync_directory(path.parent)


@contextlib.contextmanager
def open_private(path: Path, flags: int) -> Iterator[int]:
    """The descriptor of a file that others cannot read."""
    # The umask decides whether a group of operators shares the ledger; others never read it.
    descriptor = os.open(path, flags | os.O_CLOEXEC, 0o660)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def sync_directory(path: Path) -> None:
    """Put the directory itself on disk: names of new and replaced files."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
