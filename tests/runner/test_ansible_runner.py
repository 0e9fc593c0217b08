"""Health checks started as AWX and scripts start them: through the API of ansible-runner."""

from __future__ import annotations

import json
from pathlib import Path

import ansible_runner
import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.xdist_group("lab")


def test_findings_are_read_from_the_events(lab: dict[str, str], tmp_path: Path) -> None:
    state = tmp_path / "state"
    (tmp_path / "private").mkdir()
    run = ansible_runner.run(
        private_data_dir=str(tmp_path / "private"),
        project_dir=str(ROOT),
        playbook="playbooks/monitoring_procedures/health_checks.yml",
        inventory=str(ROOT / "inventories/lab"),
        envvars={"LAB": lab["LAB"], "RUNBOOK_STATE_DIR": str(state), "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
        quiet=True,
    )
    assert (run.status, run.rc) == ("successful", 0), run.stdout.read()
    findings = [
        finding
        for event in run.events
        if event["event"] == "runner_on_ok" and "publish_findings" in event["event_data"]["task_action"]
        for finding in event["event_data"]["res"]["findings"]
    ]
    assert {finding["host"] for finding in findings} == {"proxy1", "app1", "app2", "db1", "db2"}
    assert {finding["status"] for finding in findings} == {"ok"}

    entries = [json.loads(line) for line in (state / "ledger/ledger.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [entry["kind"] for entry in entries] == ["started", "finished"]
    assert "ansible-runner" in json.dumps(entries[0])
