"""What is damaged comes back, if somebody has it as it was sealed; the replica shows what is done to it."""

from __future__ import annotations

import json

from store import STORE, damaged, flip, given, items, kept_copy, replica, seals, tree
from test_damage import named

from tests.scenario import Procedure, Untouched, same_changes, shell


def test_a_replica_that_somebody_altered_is_named(verify: Procedure) -> None:
    """Two of its items and one of its signatures: nothing is said of the store, which is whole."""
    folder, (first, second) = replica(verify.state), items("documents/*")[5:7]
    with kept_copy(folder):
        for path in (folder / "items" / first, folder / "seals/000002/checkpoint.sig"):
            path.chmod(0o600)
            path.write_bytes(path.read_bytes().replace(b"o", b"p"))
        (folder / "items" / second).unlink()
        assert named(verify) == {f"replica item {first}", f"replica item {second}", "replica signature of seal 000002"}
    assert named(verify) == set()


def test_success_of_a_restore_as_check_mode_predicts_it(restore: Procedure, verify: Procedure) -> None:
    """Items altered and missing, a manifest and a signature; one item that only the database still has."""
    altered, missing, bare = items("documents/*")[1:4]
    piece = items("ledger/*")[0]
    before = {path: shell("store1", f"sha256sum < {STORE}/items/{path}") for path in (altered, missing, bare, piece)}
    shell("store1", f"cd {STORE}\nchmod u+w items/{altered}\n{flip(f'items/{altered}')}{flip(f'items/{piece}')}")
    shell(
        "store1",
        f"cd {STORE}\nrm items/{missing} items/{bare} seals/000001/checkpoint.sig\n{flip('seals/000002/manifest')}",
    )
    (replica(verify.state) / "items" / bare).unlink()
    forged = shell("store1", f"sha256sum < {STORE}/items/{altered}")

    looked = Untouched.hosts("store1", "db1", "app1")
    predicted = restore.run("--check", "--diff")
    assert predicted.returncode == 0, predicted.output
    assert looked.changes == {}
    assert "4 items and 2 files of seals are damaged or missing on store1 and come back" in predicted.output

    done = restore.run("--diff")
    assert done.returncode == 0, done.output
    assert same_changes(predicted, done), repr(same_changes(predicted, done))
    assert {path: shell("store1", f"sha256sum < {STORE}/items/{path}") for path in before} == before
    run = done.record["run_id"]
    assert shell("store1", f"sha256sum < {STORE}/replaced/{run}/items/{altered}") == forged
    record = json.loads(shell("store1", f"cat {STORE}/items/{items('custody/*')[-1]}"))
    assert (record["action"], record["safety_copy"]) == ("restored", f"replaced/{run}")
    assert record["from"][missing] == "replica"
    assert record["from"][bare] in ("db1", "db2")
    assert sorted(record["seals"]) == ["000001/checkpoint.sig", "000002/manifest"]
    # Nothing is damaged any more, and the replica has what it lacked.
    assert named(verify) == set()


def test_second_run_of_a_restore_changes_nothing(restore: Procedure) -> None:
    before = tree()
    outcome = restore.run()
    assert outcome.returncode == 0, outcome.output
    assert outcome.changes == ()
    assert "Nothing is damaged or missing on store1." in outcome.output
    assert tree() == before


def test_failure_and_bad_input_of_a_restore_leave_all_as_it_was(restore: Procedure) -> None:
    """No time stamp for the record of it; an item of which nobody has the sealed bytes; one that was never sealed."""
    document, custody = items("documents/*")[2], items("custody/*")[0]
    with damaged(flip(f"items/{document}")):
        before = tree()
        outcome = restore.run(*given(tsa_url="http://127.0.0.1:9/"))
        assert outcome.record["outcome"] == "rolled_back", outcome.output
        assert "nothing was brought back" in outcome.output
        assert tree() == before
    with damaged(flip(f"items/{custody}")), kept_copy(replica(restore.state)):
        before = tree()
        copy = replica(restore.state) / "items" / custody
        copy.chmod(0o600)
        copy.write_bytes(b"{}\n")
        outcome = restore.run(*given(evidence_store_items=[custody]))
        assert outcome.record["outcome"] == "refused", outcome.output
        assert f"- {custody}: it was altered" in outcome.output
        unknown = restore.run(*given(evidence_store_items="documents/none*"))
        assert unknown.record["outcome"] == "refused", unknown.output
        assert "matches no sealed item" in unknown.output
        assert tree() == before


def test_interruption_of_a_restore_is_finished_by_the_next_run(restore: Procedure, verify: Procedure) -> None:
    document, number = items("documents/*")[3], len(seals())
    shell("store1", f"rm {STORE}/items/{document}")
    cut = restore.killed_at("Bring back what is damaged")
    assert cut.killed
    assert cut.record["outcome"] == "interrupted"
    outcome = restore.run()
    assert outcome.returncode == 0, outcome.output
    assert len(seals()) == number + 1
    assert sorted(path.name for path in (replica(restore.state) / "seals").iterdir()) == seals()
    assert named(verify) == set()
