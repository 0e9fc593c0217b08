"""Every kind of stored object damaged by one bit, and all else that root on the store may do: found and named."""

from __future__ import annotations

import itertools
import shutil

import pytest
from ansible_collections.ops.runbook.plugins.module_utils.ledger import Ledger
from ansible_collections.ops.runbook.plugins.module_utils.ledger_entry import Head
from ansible_collections.ops.runbook.plugins.module_utils.ledger_verifier import verify as whole_ledger
from store import STORE, damaged, flip, items, seals, tree

from tests.scenario import Procedure, shell


def named(verify: Procedure, *options: str) -> set[str]:
    """What a verification calls damaged."""
    outcome = verify.run(*options)
    bad = {check for (_host, check), status in outcome.bad.items() if status == "critical"}
    assert bool(outcome.returncode) is bool(bad), outcome.output
    return bad


def test_what_is_whole_is_called_whole(verify: Procedure) -> None:
    before = tree()
    assert named(verify) == set()
    assert tree() == before


def test_objects_that_do_not_hide_each_other(verify: Procedure) -> None:
    """An item, one of the ledger's entries, a signature and a token, all in one run."""
    document, piece = items("documents/*")[4], items("ledger/*")[0]
    script = flip(f"items/{document}") + flip(f"items/{piece}") + flip("seals/000001/checkpoint.sig")
    with damaged(script + flip("seals/000002/checkpoint.tsr")):
        found = named(verify)
    entries = {name for name in found if name.startswith("ledger entry ")}
    assert found - entries == {
        f"item {document}",
        f"item {piece}",
        "signature of seal 000001",
        "token of seal 000002",
    }
    assert len(entries) == 1


@pytest.mark.parametrize("file", ["manifest", "checkpoint"])
def test_an_object_on_which_others_stand(verify: Procedure, seal: Procedure, file: str) -> None:
    with damaged(flip(f"seals/000002/{file}")):
        assert named(verify) == {f"{file} of seal 000002"}
        refused = seal.run()
    assert refused.record["outcome"] == "refused", refused.output
    assert f"{file} of seal 000002" in refused.output


def test_deleted_truncated_added_reordered_rolled_back(verify: Procedure) -> None:
    documents = items("documents/*")
    last = seals()[-1]
    script = f"rm items/{documents[0]}; truncate -s 5 items/{documents[1]}; echo x > items/documents/planted.json\n"
    with damaged(script):
        expected = {f"item {documents[0]}", f"item {documents[1]}", "not sealed documents/planted.json"}
        assert named(verify) == expected
    with damaged("mv seals/000001 seals/x; mv seals/000002 seals/000001; mv seals/x seals/000002"):
        assert named(verify) == {"checkpoint of seal 000001"}
    with damaged("rm -r seals/000001"):
        assert named(verify) == {"seal 000001"}
    # The older state is valid in itself: only the controller's records know that there was more.
    back = f"cut -c67- seals/{last}/manifest | sed 's|^|items/|' | tr '\\n' '\\0' | xargs -0 rm; rm -r seals/{last}"
    with damaged(back):
        assert f"seal {last}" in named(verify)


def test_root_on_the_store_cannot_forge(verify: Procedure) -> None:
    """An item, its manifest and its checkpoint altered so that their hashes agree: the signature does not."""
    script = """
    seal=seals/000001; document=$(sed -n 's/^.*  documents/documents/p' $seal/manifest | head -n 1)
    item=items/$document
    old=$(sha256sum < $item | cut -c-64); chmod 600 $item $seal/*; echo forged > $item
    new=$(sha256sum < $item | cut -c-64)
    before=$(sha256sum < $seal/manifest | cut -c-64); sed -i "s/$old/$new/" $seal/manifest
    sed -i "s/$before/$(sha256sum < $seal/manifest | cut -c-64)/" $seal/checkpoint
    """
    with damaged(script):
        assert named(verify) == {"checkpoint of seal 000001"}


def test_a_controller_that_was_rolled_back_is_found_by_the_store(verify: Procedure) -> None:
    """The controller's ledger back to an older state that is valid in itself: the store has entries that it lacks."""
    ledger, kept = Ledger(verify.state / "ledger"), verify.state / "kept"
    shutil.copytree(ledger.directory, kept)
    try:
        first, second = itertools.islice(ledger.entries(), 2)
        lines = [entry.line + b"\n" for entry in (first, second)]
        ledger.path.write_bytes(b"".join(lines))
        Head(2, second.hash, sum(map(len, lines)), second.time).write(ledger.head_path)
        assert whole_ledger(ledger.directory).ok
        found = named(verify)
    finally:
        shutil.rmtree(ledger.directory)
        kept.rename(ledger.directory)
    assert [name for name in found if name.startswith("ledger entry ")]


def test_root_on_app1_can_neither_alter_nor_remove() -> None:
    """It has no key that store1 takes, and nothing there listens to it that writes evidence."""
    before = tree()
    said = shell(
        "app1",
        """
        for account in root ops storekeeper; do
            for key in /root/.ssh/id_* /home/*/.ssh/id_* /etc/ssh/ssh_host_*_key; do
                [ -f "$key" ] || continue
                ssh -o BatchMode=yes -o StrictHostKeyChecking=no -o ConnectTimeout=5 -o IdentitiesOnly=yes -i "$key" \
                    "$account@store1" 'sudo rm -rf /var/lib/evidence' < /dev/null 2>&1 || echo refused
            done
        done
        """,
    )
    assert said.count("refused") >= 3, said
    assert tree() == before
    assert STORE not in shell("store1", "cat /etc/exports /etc/rsyncd.conf 2>/dev/null || true")
