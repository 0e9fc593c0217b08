"""A store is made anew only if it is lost; what is reported is measured."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.ops.runbook.plugins.action import store_recovery_plan
from ansible_collections.ops.runbook.plugins.module_utils.finding import Finding
from ansible_collections.ops.runbook.plugins.module_utils.store_inspection import inspect
from ansible_collections.ops.runbook.plugins.plugin_utils import store_recovery
from ansible_collections.ops.runbook.plugins.plugin_utils.fan_out import Reply

PROMISED = {"rto": "4h", "rpo": "1d"}
LOST = {"database": False, "files": [], "seals": 0, "began": 0.0, "lost": True}
WHOLE = {"database": True, "files": ["app1", "db1"], "seals": 3, "began": 0.0, "lost": False}


def judged(found: dict[str, object], anyway: str = "") -> str:
    return "\n".join(store_recovery_plan._judged("store1", found, anyway))


def test_a_store_that_has_something_is_refused_unless_told_why() -> None:
    assert "store1 is bare" in judged(LOST)
    for part in ({"database": True}, {"files": ["app1"]}, {"seals": 1}):
        with pytest.raises(store_recovery_plan.PlanError, match="store1 answers and has"):
            judged({**LOST, **part})
    with pytest.raises(store_recovery_plan.PlanError, match="at least three words why"):
        judged(WHOLE, "because")
    assert "this is kept" in judged(WHOLE, "half of it burnt")
    # A run that was interrupted goes on.
    assert "this is kept" in judged({**WHOLE, "began": 1.0})


def test_what_a_store_has_is_seen(tmp_path: Path) -> None:
    job = {name: str(tmp_path / name) for name in ("database", "files", "evidence", "marker")} | {"stanza": "s"}
    assert inspect(job) == LOST
    for path in ("database/backup/s/backup.info", "files/app1/config", "evidence/seals/000001/manifest", "marker"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("12.5 True\n", encoding="ascii")
    found = {"database": True, "files": ["app1"], "seals": 1}
    assert inspect(job) == {**found, "began": 12.5, "lost": True}
    (tmp_path / "marker").unlink()
    assert inspect(job) == {**found, "began": 0.0, "lost": False}


def test_no_answer_and_no_objective_are_refused() -> None:
    with pytest.raises(store_recovery_plan.PlanError, match="Give it a bare machine"):
        store_recovery_plan._answer("store1", Reply(error="refused"))
    for wrong in ({}, {"rto": "4h"}, {"rto": "soon", "rpo": "1d"}):
        with pytest.raises(
            store_recovery_plan.PlanError,
            match=r"store_recovery_objectives\.r[tp]o is .*; it has to be a number with unit",
        ):
            store_recovery_plan._check_objectives(wrong)
    store_recovery_plan._check_objectives(PROMISED)


def report(*others: Finding, seconds: float = 60.0, lost: bool = True) -> dict[str, Finding]:
    made = store_recovery.findings("store1", {"lost": lost}, others, PROMISED, seconds)
    return {finding.check: finding for finding in made}


def test_time_and_loss_are_measured() -> None:
    full = Finding("database full backup", "store1", "ok", "20261124-014100F is 0 s old")
    found = report(full)
    assert {check: finding.status for check, finding in found.items()} == {
        "recovery time (RTO)": "ok",
        "recovery point (RPO)": "ok",
        "lost with the old store": "warning",
    }
    assert "is now 20261124-014100F" in found["lost with the old store"].title
    assert {finding.type for finding in found.values()} == {"objective", ""}
    table = store_recovery.against_objectives([found["recovery time (RTO)"]])
    assert table["rows"][0][1:3] == ["60.0 s", "<= 14400 s"]
    assert "lost with the old store" not in report(full, lost=False)


def test_a_missed_promise_and_lost_evidence_are_critical() -> None:
    assert report(seconds=5 * 3600.0)["recovery time (RTO)"].status == "critical"
    lost = Finding("item documents/1", "store1", "critical", "nobody has it")
    found = report(lost)
    assert found["recovery point (RPO)"].status == "critical"
    assert "the store is not whole after 60 s: store1, item documents/1" in found["recovery time (RTO)"].title
