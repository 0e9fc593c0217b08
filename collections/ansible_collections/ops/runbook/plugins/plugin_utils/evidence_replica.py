# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The replica of a store: its items and seals once more, in a folder of the controller.

The controller fetches; the store has no way to it. So whoever holds the store can give nothing but new items, each of
which has to be what a signed checkpoint says, and can neither alter nor remove what is here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible_collections.ops.runbook.plugins.module_utils import evidence_files
from ansible_collections.ops.runbook.plugins.module_utils.evidence_checkpoint import CHECKPOINT, MANIFEST, Item
from ansible_collections.ops.runbook.plugins.module_utils.evidence_checkpoint import parse_manifest as items_of
from ansible_collections.ops.runbook.plugins.module_utils.evidence_files import Frame
from ansible_collections.ops.runbook.plugins.module_utils.evidence_log import Log, Problem, check_items
from ansible_collections.ops.runbook.plugins.plugin_utils.evidence_sources import Source, fetched
from ansible_collections.ops.runbook.plugins.plugin_utils.evidence_store import (
    Candidate,
    EvidenceError,
    EvidenceStore,
    Remote,
    of_file,
)

FOLDER = "evidence"
#: Kinds of problems that are the replica's and not the store's begin so.
KIND = "replica"


class Here:
    """Does on the controller what a store's host does."""

    def ask(self, host: str, operation: str, root: str = "", **arguments: Any) -> Mapping[str, Any]:
        """Do it. Raises EvidenceError."""
        try:
            answer: Mapping[str, Any] = getattr(evidence_files.Store(root), operation)(**arguments)
        except (evidence_files.StoreError, OSError) as error:
            raise EvidenceError(f"{host}: {error}") from error
        return answer

    def fetch(
        self, host: str, operation: str, names: Sequence[str], root: str = "", **arguments: Any
    ) -> Iterator[Frame]:
        """The contents of items. Raises EvidenceError."""
        try:
            yield from getattr(evidence_files.Store(root), operation)(names, **arguments)
        except (evidence_files.StoreError, OSError) as error:
            raise EvidenceError(f"{host}: {error}") from error

    def send(self, host: str, root: str, frames: Iterable[Frame]) -> None:
        """Take contents in. Raises EvidenceError."""
        try:
            evidence_files.Store(root).receive(frames)
        except (evidence_files.StoreError, OSError) as error:
            raise EvidenceError(f"{host}: {error}") from error


@dataclass
class Replica:
    """A store, and what is kept of it here."""

    store: EvidenceStore
    remote: Remote
    root: Path

    def __post_init__(self) -> None:
        self.copy = EvidenceStore(
            Here(),
            f"the replica {self.root}",
            str(self.root),
            self.store.keys,
            self.store.state,
            self.store.keep,
            judged=self.store.judged,
        )

    def log(self) -> Log:
        """Everything that the replica has, judged as the store is."""
        return self.copy.log()

    def behind(self, log: Log) -> bool:
        """Whether the store has what the replica lacks, or the replica what was deleted there."""
        self.log()
        if self.copy.seals != self.store.seals:
            return True
        there = set(self.copy.ask("listing")["items"])
        deleted = set(log.deleted())
        return bool(there & deleted or {item.path for item in log.items} - deleted - there)

    def take(self, log: Log) -> int:
        """Take in what a sound log of the store has and the replica lacks. How many seals and items that were."""
        self._begin()
        sizes = self.store.ask("listing")["items"]
        deleted = set(log.deleted())
        taken = 0
        for name in sorted(set(self.store.seals) - set(self.copy.seals)):
            files = self.store.seals[name]
            new = [item for item in items_of(files[MANIFEST]) if item.path not in deleted]
            self.copy.send(self._fetched(new, sizes))
            texts = {file: data.decode("latin-1") for file, data in files.items()}
            self.copy.ask("commit", number=int(name), files=texts, without=True)
            taken += 1
        there = self.copy.ask("listing")["items"]
        lacking = [item for item in log.items if item.path in sizes and item.path not in there | dict.fromkeys(deleted)]
        taken += self._complete(lacking, sizes)
        self.copy.ask("remove", paths=sorted(deleted & set(there)))
        return taken

    def _begin(self) -> None:
        """See that the store continues what is here; what is of another history is set aside."""
        self.log()
        ours, theirs = self.copy.seals, self.store.seals
        if ours and theirs and ours["000001"][CHECKPOINT] != theirs["000001"][CHECKPOINT]:
            # Only a run that was told to begin anew has made another first seal: log() has compared the run records.
            self.root.rename(self.root.with_name(f"{self.root.name}.until-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"))
            self.copy.seals = ours = {}
        other = [name for name in ours if theirs.get(name, {}).get(CHECKPOINT) != ours[name].get(CHECKPOINT)]
        if other:
            raise EvidenceError(
                f"seal {other[0]} of {self.copy.host} is not that of {self.store.host}: nothing is taken in. "
                "playbooks/backup_recovery/evidence_protection_verify.yml says which of them is damaged"
            )

    def _fetched(self, items: Sequence[Item], sizes: Mapping[str, int]) -> Iterator[Candidate]:
        source = Source("", self.store.host, {"directory": f"{self.store.root}/items"})
        return fetched(
            source, self.remote, [(item, item.path, sizes[item.path]) for item in items if item.path in sizes]
        )

    def _complete(self, lacking: Sequence[Item], sizes: Mapping[str, int]) -> int:
        """Take in items of seals that are here already, of those that are as they were sealed by now."""
        hashes = self.store.ask("hash", paths=[item.path for item in lacking])["hashes"] if lacking else {}
        whole = [item for item in lacking if hashes.get(item.path) == item.sha256]
        if whole:
            self.copy.send(self._fetched(whole, sizes))
            run = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"
            self.copy.ask("restore", run=run, items={item.path: item.sha256 for item in whole}, seals={})
        return len(whole)

    def candidates(self, items: Sequence[Item]) -> dict[str, Candidate]:
        """Those of the items that the replica has as they were sealed."""
        hashes = self.copy.ask("hash", paths=[item.path for item in items])["hashes"]
        return {
            item.path: of_file(item.path, item.sha256, self.root / "items" / item.path)
            for item in items
            if hashes.get(item.path) == item.sha256
        }

    def problems(self, log: Log, paths: Sequence[str] | None) -> Iterator[Problem]:
        """What is wrong with it: in its seals, in all of its items or in some, and what it lacks of the store."""
        own = self.log()
        if not self.copy.seals:
            if log.checkpoints:
                yield Problem(KIND, "of all seals", f"{self.root} has none; seal once, which replicates them")
            return
        said = self.copy.ask("hash", paths=None if paths is None else list(paths))
        for problem in [*own.problems, *check_items(own, said["hashes"], said["failures"], paths)]:
            yield Problem(f"{KIND} {problem.kind}", problem.name, problem.reason)
        known = {problem.name for problem in own.problems}
        for name in sorted(set(self.store.seals) - set(self.copy.seals) - known):
            yield Problem(f"{KIND} seal", name, "the store has it, and it was not replicated; seal once, which does")
