"""What is new is sealed, as predicted, once; what fails or is killed leaves nothing half sealed."""

from __future__ import annotations

from ansible_collections.ops.runbook.plugins.module_utils.evidence_checkpoint import Checkpoint
from interruption import assert_converged
from store import STORE, add_document, given, items, seals, tree

from tests.scenario import Procedure, changed_files, files, same_changes, shell


def test_success_everything_is_sealed(seal: Procedure) -> None:
    """After converge: documents of the primary, files of a host, one of them larger than one round trip, the ledger."""
    assert seals() == ["000001"]
    assert len(items("documents/*")) == 30
    assert items("temporary/*")[0] == "temporary/1%20of%203.txt"
    assert "9000000" in shell("store1", f"stat -c %s {STORE}/items/temporary/deep/large")
    assert len(items("ledger/*")) == 1
    shell("store1", f"cd {STORE}/items && sha256sum --check --status --strict ../seals/000001/manifest")
    assert shell("store1", f"find {STORE} -type f -perm /077") == ""
    # Neither key is on the store, nor on a host of the platform.
    assert shell("store1", "grep -rlE 'OPENSSH PRIVATE KEY|BEGIN PRIVATE KEY' /var/lib/evidence || true") == ""


def test_second_run_changes_nothing(seal: Procedure) -> None:
    """The first one still seals the record of converge, which was none of the procedure's own runs."""
    assert seal.run().returncode == 0
    before = tree()
    outcome = seal.run()
    assert outcome.returncode == 0, outcome.output
    assert outcome.changes == ()
    assert tree() == before


def test_check_mode_predicts_the_items(seal: Procedure) -> None:
    add_document("audit 31")
    before = files("store1")
    predicted = seal.run("--check", "--diff")
    assert changed_files(before, files("store1"), touched=True) == {}
    applied = seal.run("--diff")
    assert applied.returncode == 0, applied.output
    assert same_changes(predicted, applied), repr(same_changes(predicted, applied))
    assert "  documents/" in predicted.output
    assert len(items("documents/*")) == 31
    (text,) = applied.record["checkpoints"]
    assert text == shell("store1", f"cat {STORE}/seals/{seals()[-1]}/checkpoint")
    assert Checkpoint.parse(text.encode()).seal == len(seals())


def test_failure_of_the_time_stamp_leaves_nothing(seal: Procedure) -> None:
    """The items are on the store already when the authority does not answer."""
    add_document("audit 32")
    before = tree()
    outcome = seal.run(*given(tsa_url="http://127.0.0.1:9/"))
    assert outcome.returncode != 0
    assert outcome.record["outcome"] == "rolled_back", outcome.output
    assert "the time stamping authority http://127.0.0.1:9/ does not answer" in outcome.output
    assert "Nothing was sealed, and what was sealed before is as it was" in outcome.output
    assert tree() == before


def test_bad_input_is_refused(seal: Procedure) -> None:
    before = tree()
    for options, said in (
        (given(signing_key="/no/such/key"), "evidence_store_signing_key is '/no/such/key'"),
        (given(temporary="/no/such/folder"), "app1: [Errno 2] No such file or directory: '/no/such/folder"),
        (given(evidence_store_keep="for ever"), "the retention of evidence"),
    ):
        outcome = seal.run(*options)
        assert outcome.returncode != 0
        assert outcome.record["outcome"] == "refused", outcome.output
        assert said in outcome.output
    assert tree() == before
    assert not shell("store1", "ls /var/lib/ops-runbook/*.lock 2>/dev/null || true")


def test_interruption_is_finished_by_the_next_run(seal: Procedure) -> None:
    """Killed after the seal: the store has it, no record has it, and the next run goes on from there."""
    cut = seal.killed_at("Send what is new to the store")
    assert cut.killed
    assert cut.record["outcome"] == "interrupted"
    number = len(seals())
    add_document("audit 33")
    outcome = seal.run()
    assert outcome.returncode == 0, outcome.output
    assert len(seals()) == number + 1
    assert len(items("documents/*")) == 33
    assert_converged()


def test_what_changes_at_its_source_shows(seal: Procedure) -> None:
    """Both versions are kept, and somebody is told."""
    before = len(items("temporary/*"))
    shell("app1", "echo altered > '/srv/temporary/2 of 3.txt'")
    outcome = seal.run()
    assert outcome.returncode == 0, outcome.output
    assert outcome.bad == {("store1", "altered temporary/2%20of%203.txt"): "warning"}
    assert len(items("temporary/*")) == before + 1
