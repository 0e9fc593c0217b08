# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The controller's side of a store of evidence: asks it, judges what it answers, and seals."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from ansible_collections.ops.runbook.plugins.module_utils import evidence_files
from ansible_collections.ops.runbook.plugins.module_utils.evidence_checkpoint import (
    CHECKPOINT,
    MANIFEST,
    NOTHING_BEFORE,
    SIGNATURE,
    TOKEN,
    Checkpoint,
    Item,
    SealError,
    manifest_of,
)
from ansible_collections.ops.runbook.plugins.module_utils.evidence_files import Frame
from ansible_collections.ops.runbook.plugins.module_utils.evidence_log import Judge, Log, Remembered, read
from ansible_collections.ops.runbook.plugins.module_utils.ledger_entry import utc_now
from ansible_collections.ops.runbook.plugins.module_utils.merkle import Tree
from ansible_collections.ops.runbook.plugins.plugin_utils.evidence_keys import Keys
from ansible_collections.ops.runbook.plugins.plugin_utils.evidence_memory import remembered
from ansible_collections.ops.runbook.plugins.plugin_utils.evidence_program import answer, before, program, started
from ansible_collections.ops.runbook.plugins.plugin_utils.fan_out import Command, FanOut, Reply
from ansible_collections.ops.runbook.plugins.plugin_utils.fan_out_stream import stream

#: Content that goes to or from a host in one round trip where it cannot flow, in bytes.
BATCH = 8 << 20
TIMEOUT = 3600.0


class EvidenceError(Exception):
    """What was asked for cannot be done; says why and what to do."""


@dataclass(frozen=True)
class Candidate:
    """Something that is to be sealed, and how to get its content, once and piece by piece."""

    item: Item
    size: int
    pieces: Callable[[], Iterator[bytes]]

    @property
    def frames(self) -> Iterator[Frame]:
        """The content as it travels."""
        offset = 0
        for piece in self.pieces():
            yield self.item.path, offset, piece
            offset += len(piece)


def of_bytes(path: str, content: bytes) -> Candidate:
    """Something whose content is at hand."""
    item = Item(path, hashlib.sha256(content).hexdigest())
    return Candidate(item, len(content), lambda: iter([content]))


def of_file(path: str, sha256: str, file: Path) -> Candidate:
    """A file on the controller."""

    def pieces() -> Iterator[bytes]:
        for _name, _offset, piece in evidence_files.send_files(str(file.parent), [file.name]):
            yield piece

    return Candidate(Item(path, sha256), file.stat().st_size, pieces)


class Answers(Protocol):
    """Whoever answers the questions of a store."""

    def ask(self, host: str, operation: str, root: str = "", **arguments: Any) -> Mapping[str, Any]:
        """Ask, and raise EvidenceError where there is no answer."""

    def fetch(
        self, host: str, operation: str, names: Sequence[str], root: str = "", **arguments: Any
    ) -> Iterator[Frame]:
        """The contents of these names, in their order."""

    def send(self, host: str, root: str, frames: Iterable[Frame]) -> None:
        """Give a store contents."""


@dataclass
class Remote:
    """Hosts that answer the evidence programs."""

    fan_out: FanOut

    def ask(self, host: str, operation: str, root: str = "", **arguments: Any) -> Mapping[str, Any]:
        """Ask one host. Raises EvidenceError where it does not answer or cannot do it."""
        reply = self.fan_out.run_python({host: program(operation, root, **arguments)}, TIMEOUT)[host]
        return judged(host, reply)

    def ask_all(self, questions: Mapping[str, bytes]) -> dict[str, Mapping[str, Any]]:
        """Ask many hosts at once."""
        replies = self.fan_out.run_python(questions, TIMEOUT)
        return {host: judged(host, reply) for host, reply in replies.items()}

    def fetch(
        self, host: str, operation: str, names: Sequence[str], root: str = "", **arguments: Any
    ) -> Iterator[Frame]:
        """The contents of these names, in their order, through one pipe if there can be one, else by batches."""
        line = started(self.fan_out.interpreter(host))
        argv = self.fan_out.streamed(host, line)
        if argv:
            with stream(argv) as running:
                with suppress(BrokenPipeError):  # it says why
                    running.write(before(program(operation, root, names=list(names), **arguments)))
                    running.finish()
                yield from _arrived(host, running, lambda _said: None, lambda: running.complaint)
            return
        waiting, offset = list(names), 0
        while waiting:
            code = program(operation, root, BATCH, names=waiting, offset=offset, **arguments)
            reply = self.fan_out.run({host: Command(line, before(code))}, TIMEOUT)[host]
            said: dict[str, Any] = {}
            output = io.BytesIO(reply.stdout.encode("utf-8", "surrogateescape"))
            yield from _arrived(host, output, said.update, partial(_complaint, reply))
            waiting, offset = (waiting[said["done"] :], said["offset"]) if said else ([], 0)

    def send(self, host: str, root: str, frames: Iterable[Frame]) -> None:
        """Give a store contents. Raises EvidenceError where it cannot take them."""
        line = started(self.fan_out.interpreter(host))
        code = before(program("receive", root))
        argv = self.fan_out.streamed(host, line)
        if argv:
            with stream(argv) as running:
                with suppress(BrokenPipeError):  # it says why
                    running.write(code)
                    for each in frames:
                        running.write(evidence_files.frame(*each))
                    running.write(evidence_files.end())
                    running.finish()
                judged(host, Reply(stdout=running.read().decode("utf-8", "replace"), stderr=running.complaint))
            return
        for batch in _batches(frames):
            reply = self.fan_out.run({host: Command(line, code + batch + evidence_files.end())}, TIMEOUT)[host]
            judged(host, reply)


def _arrived(
    host: str, stream: Any, ended: Callable[[Mapping[str, Any]], None], complaint: Callable[[], str]
) -> Iterator[Frame]:
    """The frames that a host sends, behind whatever a log-in prints there."""

    def told(said: Mapping[str, Any]) -> None:
        if "error" in said:
            raise EvidenceError(f"{host}: {said['error']}")
        ended(said)

    while (line := stream.readline()) != evidence_files.FRAMES:
        if not line:
            raise EvidenceError(f"{host} does not answer: {complaint()[-500:] or 'no message'}")
    try:
        yield from evidence_files.frames(stream, told)
    except (evidence_files.StoreError, ValueError) as error:
        raise EvidenceError(f"{host}: {error}: {complaint()[-500:] or 'no message'}") from error


def _complaint(reply: Reply) -> str:
    return reply.error or reply.stderr.strip()


def _batches(frames: Iterable[Frame]) -> Iterator[bytes]:
    """Frames that are sent in one round trip."""
    batch: list[bytes] = []
    held = 0
    for each in frames:
        batch.append(evidence_files.frame(*each))
        held += len(each[2])
        if held >= BATCH:
            yield b"".join(batch)
            batch, held = [], 0
    if batch:
        yield b"".join(batch)


def judged(host: str, reply: Reply) -> Mapping[str, Any]:
    """The answer in a reply."""
    said = None if reply.error else answer(reply.stdout)
    if said is None:
        text = reply.error or reply.stderr.strip() or reply.stdout.strip() or "no message"
        raise EvidenceError(f"{host} does not answer: {text[-500:]}")
    if "error" in said:
        raise EvidenceError(f"{host}: {said['error']}")
    return said


@dataclass
class EvidenceStore:
    """A store as the controller sees it."""

    remote: Answers
    host: str
    root: str
    keys: Keys
    state: Path
    #: Collection → seconds for which it is kept; the empty name is for all others.
    keep: Mapping[str, int] = field(default_factory=dict)
    #: Why an empty store may begin a new history, or has begun it, although run records remember another one.
    anew: str = ""
    #: What signatures and time stamps were judged to be: each costs some 20 ms, and is asked for more than once.
    judged: dict[tuple[str, bytes, bytes], str] = field(default_factory=dict)
    seals: dict[str, dict[str, bytes]] = field(default_factory=dict)
    #: Items whose content was fetched, with the SHA-256 of what came: whoever reads evidence is recorded.
    fetched: dict[str, str] = field(default_factory=dict)

    def ask(self, operation: str, **arguments: Any) -> Mapping[str, Any]:
        """Ask the store's host."""
        return self.remote.ask(self.host, operation, self.root, **arguments)

    def log(self) -> Log:
        """Everything that was sealed, judged by keys, and by what the run records remember."""
        said = self.ask("log")
        self.seals = {
            name: {file: text.encode("latin-1") for file, text in files.items()}
            for name, files in said["seals"].items()
        }
        control = {path: text.encode("latin-1") for path, text in said["control"].items()}
        return read(self.seals, control, self._remembered(), self._unsigned, self._unstamped)

    def _remembered(self) -> list[Remembered]:
        """What the run records know of this history: where it was begun anew, nothing of before."""
        known = remembered(self.state)
        if not self.anew:
            return known
        try:
            begun = Checkpoint.parse(self.seals["000001"][CHECKPOINT]).time if self.seals else utc_now()
        except (KeyError, SealError):
            return known  # a history that is damaged does not begin
        return [point for point in known if point.checkpoint.time >= begun]

    def begun_anew(self, log: Log) -> Checkpoint | None:
        """The first checkpoint of a history that was begun anew by a run which did not live to record it."""
        first = log.checkpoints[0] if self.anew and log.checkpoints else None
        return None if any(point.checkpoint == first for point in remembered(self.state)) else first

    def _unsigned(self, content: bytes, signature: bytes) -> str:
        return self._once("signature", content, signature, self.keys.unsigned)

    def _unstamped(self, content: bytes, token: bytes) -> str:
        return self._once("token", content, token, self.keys.unstamped)

    def _once(self, kind: str, content: bytes, proof: bytes, judge: Judge) -> str:
        key = kind, content, proof
        if key not in self.judged:
            self.judged[key] = judge(content, proof)
        return self.judged[key]

    def sound_log(self) -> Log:
        """The same, refused if anything is wrong with it: nothing is built upon what was tampered with."""
        log = self.log()
        if log.problems:
            first = "; ".join(str(problem) for problem in log.problems[:3])
            raise EvidenceError(
                f"what was sealed on {self.host} is not as it was: {first}. Nothing is sealed upon it; "
                "playbooks/backup_recovery/evidence_protection_verify.yml names all damage"
            )
        return log

    def content(self, path: str) -> bytes:
        """An item, as it is on the store."""
        content = b"".join(
            piece for _path, _offset, piece in self.remote.fetch(self.host, "send_items", [path], self.root)
        )
        self.fetched[path] = hashlib.sha256(content).hexdigest()
        return content

    def seal(self, log: Log, candidates: Sequence[Candidate]) -> Checkpoint:
        """Send what is new, and seal it with all that was sealed before."""
        ordered = sorted(candidates, key=lambda candidate: candidate.item.path)
        self.send(ordered)
        manifest = manifest_of(candidate.item for candidate in ordered)
        checkpoint = self._checkpoint(log, ordered, manifest)
        text = checkpoint.text.encode("ascii")
        files = {
            MANIFEST: manifest.encode("ascii"),
            CHECKPOINT: text,
            SIGNATURE: self.keys.sign(text),
            TOKEN: self.keys.stamp(text),
        }
        self.ask("commit", number=checkpoint.seal, files={name: data.decode("latin-1") for name, data in files.items()})
        return checkpoint

    def send(self, candidates: Iterable[Candidate]) -> None:
        """Send items to where they wait until something is made of them."""
        self.ask("discard")
        self.remote.send(self.host, self.root, (frame for candidate in candidates for frame in candidate.frames))

    def _checkpoint(self, log: Log, ordered: Sequence[Candidate], manifest: str) -> Checkpoint:
        tree = Tree(log.tree.leaf(index) for index in range(len(log.tree)))
        tree.extend(candidate.item.leaf for candidate in ordered)
        collections = {candidate.item.collection for candidate in ordered}
        return Checkpoint(
            seal=len(log.checkpoints) + 1,
            items=len(tree),
            root=tree.root().hex(),
            manifest=hashlib.sha256(manifest.encode("ascii")).hexdigest(),
            previous=log.last.sha256 if log.last else NOTHING_BEFORE,
            time=utc_now(),
            keep={name: self.keep.get(name, self.keep[""]) for name in collections},
        )


def now() -> datetime:
    """The time in UTC."""
    return datetime.now(UTC)
