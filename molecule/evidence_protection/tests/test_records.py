"""Holds, retention, export and proofs: each is refused where it must be, and is evidence itself."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from store import STORE, given, items, seals, tree

from tests.scenario import Outcome, Procedure, on_all, same_changes, shell

#: No time stamping authority.
NOBODY = "http://127.0.0.1:9/"


def looks(cases: dict[str, tuple[Procedure, tuple[str, ...]]]) -> Outcome:
    """Check runs side by side, refused with these words; the one without words predicts, and is the answer."""
    outcomes = on_all(lambda words: cases[words][0].run("--check", *cases[words][1]), cases)
    for words, outcome in outcomes.items():
        assert outcome.record["outcome"] == ("refused" if words else "succeeded"), outcome.output
        assert words in " ".join(outcome.output.split())
    return outcomes[""]


def test_nothing_younger_than_its_retention_is_deleted(retention: Procedure) -> None:
    """Whatever the command line says: what was promised when it was sealed counts."""
    before = tree()
    outcome = retention.run(*given(evidence_store_items="documents/*", evidence_store_keep="1s"))
    assert outcome.record["outcome"] == "refused", outcome.output
    assert "kept until 20" in outcome.output
    assert tree() == before


def test_hold_then_release_then_deletion(
    hold: Procedure, release: Procedure, retention: Procedure, verify: Procedure
) -> None:
    why = {"runbook_reason": "claim of customer 17"}
    wanted = given(evidence_store_hold="case-17", evidence_store_items="temporary/*", **why)
    known = tree()
    refused = hold.run(*given(evidence_store_hold="case-17", evidence_store_items="nothing/*", **why))
    assert refused.record["outcome"] == "refused", refused.output
    looked = looks(
        {
            "": (hold, wanted),
            "it has to say in at least three words why": (hold, (*wanted, "-e", "runbook_reason=because")),
            "there is no hold case-17. In force: none": (release, given(evidence_store_hold="case-17", **why)),
        }
    )
    assert tree() == known
    held = hold.run(*wanted)
    assert same_changes(looked, held), repr(same_changes(looked, held))
    known = tree()
    looked = looks(
        {
            "": (release, given(evidence_store_hold="case-17", **why)),
            "under the legal hold case-17": (retention, given(evidence_store_items="temporary/1*")),
            "['nothing/*'], which matches no sealed item": (retention, given(evidence_store_items=["nothing/*"])),
        }
    )
    assert tree() == known
    released = release.run(*given(evidence_store_hold="case-17", **why))
    assert same_changes(looked, released), repr(same_changes(looked, released))

    known = tree()
    predicted = retention.run("--check")
    assert tree() == known
    failed = retention.run(*given(tsa_url=NOBODY))
    assert failed.record["outcome"] not in {"succeeded", "refused"}, failed.output
    assert tree() == known
    deleted = retention.run()
    assert same_changes(predicted, deleted), repr(same_changes(predicted, deleted))
    assert items("temporary/*") == []
    assert len(items("documents/*")) > 30

    proven = verify.run(*given(evidence_store_scope="item", evidence_store_item="temporary/deep/large"))
    assert proven.returncode == 0, proven.output
    assert "temporary/deep/large: deleted when due" in proven.output
    again = retention.run()
    assert again.changes == (), again.output


def test_failure_and_interruption_of_a_hold(hold: Procedure, release: Procedure) -> None:
    """Without a time stamp there is none; where the controller dies behind the seal there is one to be released."""
    why = given(evidence_store_hold="case-18", runbook_reason="claim of customer 18")
    wanted = (*given(evidence_store_items="documents/*"), *why)
    known = tree()
    failed = hold.run(*wanted, *given(tsa_url=NOBODY))
    assert failed.record["outcome"] not in {"succeeded", "refused"}, failed.output
    assert tree() == known
    cut = hold.killed_at("Place the hold and seal it", *wanted)
    assert (cut.killed, cut.record["outcome"]) == (True, "interrupted"), cut.output
    assert "the hold case-18 is in force already" in " ".join(hold.run("--check", *wanted).output.split())
    released = release.run(*why)
    assert released.returncode == 0, released.output


def test_export_is_recorded_and_verified_by_others(export: Procedure, verify: Procedure, tmp_path: Path) -> None:
    chosen = items("documents/*")[:2]
    why = {"runbook_reason": "asked for by the auditor", "runbook_ticket": "AUD-7"}
    known = tree()
    given_away = [tmp_path / "0", tmp_path / "1"]
    first, second = (given(evidence_store_items=chosen, evidence_store_destination=str(each)) for each in given_away)
    because = given(**why)
    looked = looks(
        {
            "": (export, (*first, *because)),
            "it has to say in at least three words why": (export, first),
            "give a new folder": (export, (*first, *because, *given(evidence_store_destination=str(tmp_path)))),
        }
    )
    assert tree() == known
    assert list(tmp_path.iterdir()) == []
    done = [export.run(*options, *because) for options in (first, second)]
    assert [each.returncode for each in done] == [0, 0], done[-1].output
    assert same_changes(looked, done[0]), repr(same_changes(looked, done[0]))
    tools = {"PATH": "/usr/bin:/bin"}
    for folder in given_away:
        good = subprocess.run(["sh", folder / "verify.sh"], env=tools, capture_output=True, text=True, check=False)
        assert good.returncode == 0, good.stdout
        assert "All 3 items are as they were sealed." in good.stdout
    first, second = (json.loads(shell("store1", f"cat {STORE}/items/{path}")) for path in items("custody/*"))
    assert sorted(row["path"] for row in second["items"]) == chosen
    assert (second["because"], second["ticket"]) == ("asked for by the auditor", "AUD-7")
    assert first["previous"] == "0" * 64
    assert second["previous"] == shell("store1", f"sha256sum < {STORE}/items/custody/000001.json").split()[0]

    whole = verify.run()
    assert whole.returncode == 0, whole.output


def test_proofs_of_an_item_and_between_two_seals(verify: Procedure) -> None:
    document = items("documents/*")[7]
    why = {"runbook_reason": "asked by the auditor"}
    one = verify.run(*given(evidence_store_scope="item", evidence_store_item=document, **why))
    assert one.returncode == 0, one.output
    assert f"{document}: leaf" in one.output
    digest = shell("store1", f"sha256sum < {STORE}/items/{document}").split()[0]
    assert one.record["evidence_read"] == [{"path": document, "sha256": digest}]
    assert one.record["why"]["reason"] == "asked by the auditor"
    two = verify.run(*given(evidence_store_scope="consistency", evidence_store_from=1))
    assert two.returncode == 0, two.output
    assert f"Seal {len(seals())} (" in two.output
    unknown = verify.run(*given(evidence_store_scope="item", evidence_store_item="documents/none.json"))
    assert unknown.record["outcome"] == "refused", unknown.output
