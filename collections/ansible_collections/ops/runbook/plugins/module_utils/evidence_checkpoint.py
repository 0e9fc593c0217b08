# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The two texts that seal evidence: the manifest of what a seal adds, and the checkpoint over everything sealed so far.

Both are made for people who have nothing but standard tools. A manifest is what ``sha256sum`` writes, and each of its
lines is a leaf of the Merkle tree. A checkpoint has one fact a line; its signature and time stamp are over its bytes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from urllib.parse import quote

from ansible_collections.ops.runbook.plugins.module_utils.merkle import leaf_hash

FIRST_LINE = "ops-runbook evidence checkpoint 1"
#: What ssh-keygen signs it for.
NAMESPACE = "ops-runbook-evidence"
#: The files of a seal: the manifest, the checkpoint, its signature and its time stamp.
MANIFEST, CHECKPOINT, SIGNATURE, TOKEN = "manifest", "checkpoint", "checkpoint.sig", "checkpoint.tsr"
FILES = (MANIFEST, CHECKPOINT, SIGNATURE, TOKEN)
NOTHING_BEFORE = "0" * 64
#: Collections that the store itself makes, of which nothing is ever deleted.
CUSTODY, HOLDS, DELETIONS, LEDGER = "custody", "holds", "deletions", "ledger"
CONTROL = (CUSTODY, HOLDS, DELETIONS)

_LINE = re.compile(r"([0-9a-f]{64})  ([A-Za-z0-9][-A-Za-z0-9._~@+=,%]*(?:/[A-Za-z0-9_~@+=,%][-A-Za-z0-9._~@+=,%]*)+)")
_HASH = re.compile(r"[0-9a-f]{64}")
_KEEP = re.compile(r"([a-z0-9][a-z0-9_-]*) (\d+)s")


class SealError(ValueError):
    """A text that is no manifest or no checkpoint."""


@dataclass(frozen=True)
class Item:
    """A sealed file: its path below ``items/`` and the SHA-256 of its content."""

    path: str
    sha256: str

    @property
    def line(self) -> str:
        """Its line in the manifest, without the line's end."""
        return f"{self.sha256}  {self.path}"

    @property
    def leaf(self) -> bytes:
        """Its leaf in the tree."""
        return leaf_hash(self.line.encode("ascii"))

    @property
    def collection(self) -> str:
        """What it belongs to: the first part of its path."""
        return self.path.partition("/")[0]


@dataclass(frozen=True)
class Checkpoint:
    """How many items there are, and what their tree's root is."""

    #: Number of the seal, from 1.
    seal: int
    #: Leaves of the tree, with those of this seal.
    items: int
    root: str
    #: SHA-256 of this seal's manifest, and of the checkpoint before.
    manifest: str
    previous: str
    time: str
    #: For how many seconds each collection is kept, as promised when this was sealed.
    keep: Mapping[str, int] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The checkpoint as it is signed."""
        lines = [
            FIRST_LINE,
            f"seal {self.seal}",
            f"items {self.items}",
            f"root {self.root}",
            f"manifest {self.manifest}",
            f"previous {self.previous}",
            f"time {self.time}",
            *(f"keep {name} {seconds}s" for name, seconds in sorted(self.keep.items())),
        ]
        return "\n".join(lines) + "\n"

    @property
    def sha256(self) -> str:
        """The hash of its text, by which the next one names it."""
        return hashlib.sha256(self.text.encode("ascii")).hexdigest()

    @classmethod
    def parse(cls, data: bytes) -> Checkpoint:
        """The checkpoint from its text. Raises SealError for anything that `text` would not have written."""
        try:
            lines = data.decode("ascii").splitlines()
            facts = dict(line.split(" ", 1) for line in lines[1:7])
            keep = (_KEEP.fullmatch(line[5:]) for line in lines[7:])
            found = cls(
                seal=int(facts["seal"]),
                items=int(facts["items"]),
                root=facts["root"],
                manifest=facts["manifest"],
                previous=facts["previous"],
                time=facts["time"],
                keep={match[1]: int(match[2]) for match in keep if match},
            )
            moment(found.time)
        except (ValueError, KeyError, IndexError) as error:
            raise SealError(f"no checkpoint ({error})") from error
        if found.text.encode("ascii") != data or not all(
            _HASH.fullmatch(value) for value in (found.root, found.manifest, found.previous)
        ):
            raise SealError("no checkpoint (not in its one form)")
        return found


def moment(text: str) -> datetime:
    """The time of a checkpoint. Raises ValueError."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)


def manifest_of(items: Iterable[Item]) -> str:
    """The manifest of the items, in the order in which they are leaves."""
    return "".join(f"{item.line}\n" for item in items)


def parse_manifest(data: bytes) -> list[Item]:
    """The items of a manifest. Raises SealError."""
    items = []
    for number, line in enumerate(data.decode("latin-1").splitlines(), 1):
        match = _LINE.fullmatch(line)
        if not match or "/../" in f"/{match[2]}/":
            raise SealError(f"line {number} is no line of a manifest")
        items.append(Item(match[2], match[1]))
    if manifest_of(items).encode("ascii") != data:
        raise SealError("it is not in its one form")
    return items


def safe_path(*parts: str) -> str:
    """A path below ``items/`` that needs no quoting anywhere: other characters are percent-encoded.

    >>> safe_path("documents", "a b/.c")
    'documents/a%20b/%2Ec'
    """
    words = [word for part in parts for word in part.split("/") if word]
    return "/".join(_safe(word) for word in words)


def _safe(word: str) -> str:
    quoted = quote(word, safe="@+=,~-")
    return f"%{ord(quoted[0]):02X}{quoted[1:]}" if quoted[0] in ".-" else quoted
