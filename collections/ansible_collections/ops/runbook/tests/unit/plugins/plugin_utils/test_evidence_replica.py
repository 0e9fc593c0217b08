"""A replica takes in what a signed checkpoint vouches for, once; a restore gives back just that."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from ansible_collections.ops.runbook.plugins.module_utils.evidence_log import Log
from ansible_collections.ops.runbook.plugins.plugin_utils import evidence_records, evidence_restore
from ansible_collections.ops.runbook.plugins.plugin_utils.evidence_keys import Keys
from ansible_collections.ops.runbook.plugins.plugin_utils.evidence_replica import Replica
from ansible_collections.ops.runbook.plugins.plugin_utils.evidence_sources import Source
from ansible_collections.ops.runbook.plugins.plugin_utils.evidence_store import (
    EvidenceError,
    EvidenceStore,
    Remote,
    of_bytes,
)
from test_evidence_store import DAY, flip, here, keys

__all__ = ["keys"]
WHY = evidence_records.Why("because the test says so")


@dataclass
class Pair:
    """A store with two seals and its replica."""

    store: EvidenceStore
    replica: Replica
    remote: Remote

    def log(self) -> Log:
        return self.store.sound_log()

    def damage(self) -> list[str]:
        return [str(problem) for problem in self.replica.problems(self.store.log(), None)]

    def plan(self, *patterns: str, sources: Sequence[Source] = ()) -> evidence_restore.Restoration:
        return evidence_restore.plan(self.store, self.replica, self.remote, sources, patterns)

    def item(self, path: str, *, copy: bool = False) -> Path:
        return Path(self.replica.root if copy else self.store.root) / "items" / path


def opened(folder: Path, keys: Keys) -> Pair:
    remote = here()
    store = EvidenceStore(remote, "store1", str(folder / "store"), keys, folder / "state", {"": DAY})
    return Pair(store, Replica(store, remote, folder / "replica"), remote)


@pytest.fixture(scope="session")
def master(keys: Keys, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Store and replica, made once."""
    folder = tmp_path_factory.mktemp("pair")
    made = opened(folder, keys)
    for number in range(2):
        names = [f"documents/{number}-{each}" for each in range(3)]
        made.store.seal(made.log(), [of_bytes(name, name.encode()) for name in names])
    made.replica.take(made.log())
    return folder


@pytest.fixture
def pair(master: Path, keys: Keys, tmp_path: Path) -> Pair:
    shutil.copytree(master, tmp_path, dirs_exist_ok=True)
    return opened(tmp_path, keys)


def test_a_replica_has_everything_and_takes_it_once(pair: Pair) -> None:
    assert pair.damage() == []
    assert not pair.replica.behind(pair.log())
    assert pair.replica.take(pair.log()) == 0
    files = [path for path in Path(pair.store.root).rglob("*") if path.is_file() and path.name != ".lock"]
    stored = {path.relative_to(pair.store.root): path.read_bytes() for path in files}
    assert len(stored) == 6 + 2 * 4
    assert {path: (pair.replica.root / path).read_bytes() for path in stored} == stored


def test_what_is_damaged_on_the_store_is_not_taken_in_before_it_is_whole(pair: Pair) -> None:
    pair.store.seal(pair.log(), [of_bytes("documents/a", b"a"), of_bytes("documents/b", b"b")])
    whole = pair.item("documents/a")
    whole.chmod(0o600)
    whole.write_bytes(b"other")
    assert pair.replica.take(pair.log()) == 1
    assert pair.damage() == ["replica item documents/a: it is missing, and no deletion of it was sealed"]
    whole.write_bytes(b"a")
    assert pair.replica.behind(pair.log())
    assert pair.replica.take(pair.log()) == 1
    assert pair.damage() == []


def test_what_is_done_to_the_replica_is_named(pair: Pair) -> None:
    flip(pair.item("documents/0-1", copy=True))
    pair.item("documents/0-2", copy=True).unlink()
    flip(pair.replica.root / "seals/000002/checkpoint.sig")
    said = pair.damage()
    assert [text.partition(":")[0] for text in said] == [
        "replica signature of seal 000002",
        "replica item documents/0-1",
        "replica item documents/0-2",
    ]
    flip(pair.replica.root / "seals/000002/checkpoint")
    with pytest.raises(EvidenceError, match="seal 000002 of the replica"):
        pair.replica.take(pair.log())


def test_an_empty_replica_and_one_that_lags_say_so(pair: Pair, tmp_path: Path) -> None:
    empty = Replica(pair.store, pair.remote, tmp_path / "none")
    assert "has none; seal once" in str(next(empty.problems(pair.log(), None)))
    pair.store.seal(pair.log(), [of_bytes("documents/late", b"1")])
    assert pair.damage() == ["replica seal 000003: the store has it, and it was not replicated; seal once, which does"]


def test_a_sealed_deletion_is_followed_and_nothing_else_is(pair: Pair) -> None:
    log = pair.log()
    pair.store.seal(log, [evidence_records.deletion(pair.store, log, [0], WHY)])
    pair.store.ask("remove", paths=["documents/0-0"])
    pair.item("documents/0-1").unlink()
    pair.replica.take(pair.log())
    assert not pair.item("documents/0-0", copy=True).exists()
    assert pair.item("documents/0-1", copy=True).exists()


def test_another_history_is_set_aside(pair: Pair, tmp_path: Path) -> None:
    pair.store.root = str(tmp_path / "new")
    pair.store.seal(pair.log(), [of_bytes("documents/new", b"1")])
    pair.replica.take(pair.log())
    assert pair.damage() == []
    assert len(list(tmp_path.glob("replica.until-*/seals/000002"))) == 1


def test_a_restore_brings_back_items_and_seals_and_records_it(pair: Pair) -> None:
    flip(pair.item("documents/1-0"))
    pair.item("documents/1-1").unlink()
    flip(Path(pair.store.root) / "seals/000001/manifest")
    found = pair.plan()
    assert [copy.item.path for copy in found.copies] == ["documents/1-0", "documents/1-1"]
    assert list(found.seals) == ["000001/manifest"]
    assert "2 items and 1 files of seals" in found.estimate("store1")
    items = {copy.item.path: copy.item.sha256 for copy in found.copies}
    pair.store.send([copy.candidate for copy in found.copies])
    seals = {path: data.decode("latin-1") for path, data in found.seals.items()}
    done = pair.store.ask("restore", run="run1", items=items, seals=seals)
    evidence_restore.verified(pair.store, found)
    assert pair.item("documents/1-0").read_bytes() == b"documents/1-0"
    assert (Path(pair.store.root) / "replaced/run1/items/documents/1-0").read_bytes() != b"documents/1-0"
    # Killed here, the next run has nothing to bring back but writes the record.
    again = pair.plan()
    assert (again.lines, list(again.unrecorded)) == ([], ["run1"])
    pair.store.seal(pair.log(), evidence_restore.custody(pair.log(), {"run1": done}, {"documents/1-0": "replica"}, WHY))
    (record,) = pair.log().records("custody")
    assert record["from"] == {"documents/1-0": "replica", "documents/1-1": "not known any more"}
    assert record["replaced"]["items/documents/1-1"] == ""
    assert not pair.plan().due


def test_a_restore_can_be_undone(pair: Pair) -> None:
    altered, missing = pair.item("documents/1-0"), pair.item("documents/1-1")
    flip(altered)
    missing.unlink()
    before = altered.read_bytes()
    found = pair.plan()
    pair.store.send([copy.candidate for copy in found.copies])
    pair.store.ask("restore", run="run1", items={copy.item.path: copy.item.sha256 for copy in found.copies}, seals={})
    assert missing.exists()
    pair.store.ask("put_back", run="run1")
    assert altered.read_bytes() == before
    assert not missing.exists()
    assert not pair.plan().unrecorded
    assert pair.store.ask("put_back", run="run1") == {"put_back": 0}


def test_only_sealed_bytes_are_accepted(pair: Pair, tmp_path: Path) -> None:
    """A replica that was altered in the same way, or another copy, does not count; the source does, under any name."""
    flip(pair.item("documents/1-0"))
    flip(pair.item("documents/1-0", copy=True))
    with pytest.raises(EvidenceError, match="cannot be brought back"):
        pair.plan()
    with pytest.raises(EvidenceError, match="matches no sealed item"):
        pair.plan("nothing/*")
    flip(pair.item("documents/1-1"))
    found = pair.plan()
    assert list(found.lost) == ["documents/1-0"]
    assert found.report("store1", "brought back").findings[1].status == "critical"
    with pytest.raises(EvidenceError, match="1 of the items cannot be brought back, so none is"):
        pair.plan("documents/*")
    (tmp_path / "source").mkdir()
    (tmp_path / "source/renamed").write_bytes(b"documents/1-0")
    found = pair.plan(sources=[Source("documents", "app1", {"directory": str(tmp_path / "source")})])
    assert {copy.item.path: copy.origin for copy in found.copies} == {
        "documents/1-0": "app1",
        "documents/1-1": "replica",
    }
    pair.store.send([copy.candidate for copy in found.copies])
    pair.remote.send(pair.store.host, pair.store.root, [("documents/1-0", 0, b"forged")])
    items = {copy.item.path: copy.item.sha256 for copy in found.copies}
    with pytest.raises(EvidenceError, match="did not arrive as it was sent"):
        pair.store.ask("restore", run="run1", items=items, seals={})


def test_a_store_without_whole_seals_and_without_replica_is_refused(pair: Pair, tmp_path: Path) -> None:
    flip(Path(pair.store.root) / "seals/000001/manifest")
    pair.replica = Replica(pair.store, pair.remote, tmp_path / "none")
    with pytest.raises(EvidenceError, match="neither store1 nor its replica has whole seals"):
        pair.plan()


def test_a_lost_store_comes_back_whole(pair: Pair, tmp_path: Path) -> None:
    log = pair.log()
    pair.store.root = str(tmp_path / "bare")
    found = pair.plan()
    assert len(found.copies) == len(log.items)
    pair.store.send([copy.candidate for copy in found.copies])
    seals = {path: data.decode("latin-1") for path, data in found.seals.items()}
    items = {copy.item.path: copy.item.sha256 for copy in found.copies}
    pair.store.ask("restore", run="run1", items=items, seals=seals)
    evidence_restore.verified(pair.store, found)
    assert pair.log().checkpoints == log.checkpoints
