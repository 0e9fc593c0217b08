"""Holds, retention, export and proofs: each is refused where it must be, and is evidence itself."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from store import STORE, given, items, seals, tree

from tests.scenario import Procedure, shell


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
    refused = hold.run(*given(evidence_store_hold="case-17", evidence_store_items="nothing/*", **why))
    assert refused.record["outcome"] == "refused", refused.output
    held = hold.run(*given(evidence_store_hold="case-17", evidence_store_items="temporary/*", **why))
    assert held.returncode == 0, held.output
    refused = retention.run(*given(evidence_store_items="temporary/1*"))
    assert refused.record["outcome"] == "refused", refused.output
    assert "under the legal hold case-17" in refused.output
    released = release.run(*given(evidence_store_hold="case-17", **why))
    assert released.returncode == 0, released.output

    count = len(items("temporary/*"))
    predicted = retention.run("--check")
    assert predicted.returncode == 0, predicted.output
    assert len(items("temporary/*")) == count
    deleted = retention.run()
    assert deleted.returncode == 0, deleted.output
    assert items("temporary/*") == []
    assert len(items("documents/*")) > 30

    proven = verify.run(*given(evidence_store_scope="item", evidence_store_item="temporary/deep/large"))
    assert proven.returncode == 0, proven.output
    assert "temporary/deep/large: deleted when due" in proven.output
    again = retention.run()
    assert again.changes == (), again.output


def test_export_is_recorded_and_verified_by_others(export: Procedure, verify: Procedure, tmp_path: Path) -> None:
    chosen = items("documents/*")[:2]
    why = {"runbook_reason": "asked for by the auditor", "runbook_ticket": "AUD-7"}
    given_away = []
    for number in range(2):
        folder = tmp_path / str(number)
        done = export.run(*given(evidence_store_items=chosen, evidence_store_destination=str(folder), **why))
        assert done.returncode == 0, done.output
        given_away.append(folder)
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

    refused = export.run(*given(evidence_store_items=chosen, evidence_store_destination=str(given_away[0]), **why))
    assert refused.record["outcome"] == "refused", refused.output
    whole = verify.run()
    assert whole.returncode == 0, whole.output


def test_proofs_of_an_item_and_between_two_seals(verify: Procedure) -> None:
    document = items("documents/*")[7]
    one = verify.run(*given(evidence_store_scope="item", evidence_store_item=document))
    assert one.returncode == 0, one.output
    assert f"{document}: leaf" in one.output
    two = verify.run(*given(evidence_store_scope="consistency", evidence_store_from=1))
    assert two.returncode == 0, two.output
    assert f"Seal {len(seals())} (" in two.output
    unknown = verify.run(*given(evidence_store_scope="item", evidence_store_item="documents/none.json"))
    assert unknown.record["outcome"] == "refused", unknown.output
