# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The verifier of sealed evidence: says what is damaged, missing, or not as it was when it was sealed.

It needs the seals, the hashes of the items that are there, and what was remembered elsewhere: checkpoints from run
records. Signatures and time stamps are judged by functions that the caller gives, so it works offline, anywhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.ops.runbook.plugins.module_utils.evidence_checkpoint import (
    CHECKPOINT,
    CUSTODY,
    DELETIONS,
    FILES,
    MANIFEST,
    NOTHING_BEFORE,
    SIGNATURE,
    TOKEN,
    Checkpoint,
    Item,
    SealError,
    parse_manifest,
)
from ansible_collections.ops.runbook.plugins.module_utils.merkle import Tree

#: Why a signature or a token over a checkpoint is not accepted; empty where it is.
Judge = Callable[[bytes, bytes], str]


@dataclass(frozen=True)
class Problem:
    """Something that is not as it was sealed."""

    #: item, manifest, checkpoint, signature, token, ledger entry, seal, custody, not sealed.
    kind: str
    #: Which one: the item's path, or the seal.
    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}: {self.reason}"


@dataclass(frozen=True)
class Remembered:
    """A checkpoint that somebody keeps elsewhere."""

    checkpoint: Checkpoint
    #: Where, such as "run 3f2a… of 2026-11-23".
    source: str


@dataclass
class Log:
    """All seals, as they were read, and what is wrong with them."""

    checkpoints: list[Checkpoint] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    #: For each item the number of its seal.
    seals: list[int] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    #: Contents of items that say what was done with others, if they are what was sealed.
    control: dict[str, Any] = field(default_factory=dict)
    tree: Tree = field(default_factory=Tree)

    @property
    def last(self) -> Optional[Checkpoint]:
        """The newest checkpoint."""
        return self.checkpoints[-1] if self.checkpoints else None

    @property
    def index(self) -> dict[str, int]:
        """Path → leaf."""
        return {item.path: number for number, item in enumerate(self.items)}

    def records(self, collection: str) -> list[dict[str, Any]]:
        """The contents of one collection of records, in the order of their paths."""
        return [self.control[path] for path in sorted(self.control) if path.startswith(f"{collection}/")]

    def deleted(self) -> dict[str, str]:
        """Path → SHA-256 of each item whose deletion was sealed."""
        return {row["path"]: row["sha256"] for record in self.records(DELETIONS) for row in record["items"]}


def read(
    seals: Mapping[str, Mapping[str, bytes]],
    control: Mapping[str, bytes],
    remembered: Sequence[Remembered] = (),
    signed: Optional[Judge] = None,
    stamped: Optional[Judge] = None,
) -> Log:
    """Read all seals and judge everything about them but the items' contents."""
    reader = _Reader(Log(), signed, stamped)
    known = {point.checkpoint.seal: point for point in remembered}
    names = sorted(seals)
    for number, name in enumerate(names, 1):
        if name != f"{number:06}":
            reader.problem("seal", f"{number:06}", f"it is missing; the next one that is there is {name}")
            break
        following = seals.get(f"{number + 1:06}", {}).get(CHECKPOINT)
        if not reader.take(number, seals[name], known.get(number), following):
            break
    reader.end(int(names[-1]) if names else 0, known)
    reader.control(control)
    return reader.log


class _Reader:
    """Follows the seals one after another."""

    def __init__(self, log: Log, signed: Optional[Judge], stamped: Optional[Judge]) -> None:
        self.log = log
        self._judges = {SIGNATURE: ("signature", signed), TOKEN: ("token", stamped)}

    def problem(self, kind: str, name: str, reason: str) -> None:
        self.log.problems.append(Problem(kind, name, reason))

    def take(
        self, number: int, files: Mapping[str, bytes], known: Optional[Remembered], following: Optional[bytes]
    ) -> bool:
        """The next seal. False where nothing after it can be judged."""
        name = f"{number:06}"
        missing = [file for file in FILES if file not in files]
        for file in missing:
            kind = {SIGNATURE: "signature", TOKEN: "token"}.get(file, file)
            self.problem(kind, f"of seal {name}", "it is missing")
        for file in sorted(set(files) - set(FILES)):
            self.problem("not sealed", f"seals/{name}/{file}", "no seal has such a file")
        if CHECKPOINT not in files or not self._checkpoint(number, files, known, following):
            return False
        return MANIFEST in files and self._manifest(name, files[MANIFEST])

    def _checkpoint(
        self, number: int, files: Mapping[str, bytes], known: Optional[Remembered], following: Optional[bytes]
    ) -> bool:
        name, text = f"{number:06}", files[CHECKPOINT]
        refusals = {
            kind: judge(text, files[file])
            for file, (kind, judge) in self._judges.items()
            if judge is not None and file in files
        }
        vouched = _vouches(text, known, following) or "" in refusals.values()
        try:
            checkpoint = Checkpoint.parse(text)
        except SealError as error:
            self.problem("checkpoint", f"of seal {name}", f"it was altered: {error}")
            return False
        if not vouched and refusals:
            self.problem("checkpoint", f"of seal {name}", "it is not what was signed and stamped")
            return False
        if known and known.checkpoint != checkpoint:
            reason = f"it is another one than {known.source} has kept: the history was written anew"
            self.problem("checkpoint", f"of seal {name}", reason)
            return False
        for kind, reason in refusals.items():
            if reason:
                self.problem(kind, f"of seal {name}", reason)
        previous = self.log.last.sha256 if self.log.last else NOTHING_BEFORE
        if (checkpoint.seal, checkpoint.previous) != (number, previous):
            reason = f"it says that it is seal {checkpoint.seal}, and does not continue the one before: another order"
            self.problem("seal", name, reason)
            return False
        self.log.checkpoints.append(checkpoint)
        return True

    def _manifest(self, name: str, manifest: bytes) -> bool:
        checkpoint = self.log.checkpoints[-1]
        if hashlib.sha256(manifest).hexdigest() != checkpoint.manifest:
            self.problem("manifest", f"of seal {name}", "its SHA-256 is not that in the checkpoint")
            return False
        try:
            items = parse_manifest(manifest)
        except SealError as error:
            self.problem("manifest", f"of seal {name}", str(error))
            return False
        self.log.items += items
        self.log.seals += [checkpoint.seal] * len(items)
        self.log.tree.extend(item.leaf for item in items)
        if (len(self.log.tree), self.log.tree.root().hex()) != (checkpoint.items, checkpoint.root):
            self.problem("checkpoint", f"of seal {name}", "number of items or root are not those of the manifests")
            return False
        return True

    def end(self, count: int, known: Mapping[int, Remembered]) -> None:
        """Nothing that was remembered may be missing at the end."""
        for number in sorted(known):
            if number > count:
                reason = f"it is missing, but {known[number].source} has kept its checkpoint: the store was rolled back"
                self.problem("seal", f"{number:06}", reason)

    def control(self, contents: Mapping[str, bytes]) -> None:
        """Take the records whose content is what was sealed, and follow the chain of custody."""
        sealed = {item.path: item.sha256 for item in self.log.items}
        for path, content in contents.items():
            if hashlib.sha256(content).hexdigest() == sealed.get(path):
                self.log.control[path] = json.loads(content)
        previous = NOTHING_BEFORE
        for path in sorted(path for path in sealed if path.startswith(f"{CUSTODY}/")):
            record = self.log.control.get(path)
            if record is None:
                return  # its item is reported as damaged or missing
            if record["previous"] != previous:
                self.problem("custody", path, "it does not continue the record before")
            previous = sealed[path]


def _vouches(text: bytes, known: Optional[Remembered], following: Optional[bytes]) -> bool:
    """Whether something else than signature and token shows that this is the checkpoint that was made."""
    digest = hashlib.sha256(text).hexdigest()
    if known and known.checkpoint.sha256 == digest:
        return True
    try:
        return following is not None and Checkpoint.parse(following).previous == digest
    except SealError:
        return False


def check_items(
    log: Log, hashes: Mapping[str, str], failures: Mapping[str, str], paths: Optional[Iterable[str]] = None
) -> list[Problem]:
    """Compare what is there with what was sealed; with paths, only these, and nothing is said of what is not sealed."""
    chosen = None if paths is None else set(paths)
    deleted = log.deleted()
    problems = []
    for item in log.items:
        if chosen is not None and item.path not in chosen:
            continue
        there = hashes.get(item.path)
        if there == item.sha256:
            continue
        if there is None and item.path in failures:
            problems.append(Problem("item", item.path, f"it cannot be read: {failures[item.path]}"))
        elif there is None and item.path not in deleted:
            problems.append(Problem("item", item.path, "it is missing, and no deletion of it was sealed"))
        elif there is not None:
            problems.append(Problem("item", item.path, f"it was altered: SHA-256 {there}, sealed {item.sha256}"))
    if chosen is None and not log.problems:
        sealed = {item.path for item in log.items}
        strange = sorted(set(hashes) - sealed)
        problems += [
            Problem("not sealed", path, "no seal names it: it was put there past the procedure") for path in strange
        ]
    return problems
