"""Health checks started as AWX and scripts start them: through the API of ansible-runner."""

from __future__ import annotations

import json
from pathlib import Path

import ansible_runner
import pytest

from tests.lab.images import SERVING_HOSTS
from tests.scenario import shell

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.xdist_group("lab")


def test_findings_are_read_from_the_events(
    lab: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB", lab["LAB"])
    state = tmp_path / "state"
    (tmp_path / "private").mkdir()
    shell("app2", "systemctl stop evidence-api")
    try:
        run = sweep(lab, tmp_path / "private", state)
    finally:
        shell("app2", "systemctl start evidence-api")
    assert (run.status, run.rc) == ("failed", 2), run.stdout.read()
    published = next(
        event["event_data"]["res"]
        for event in run.events
        if event["event"] == "runner_on_ok" and "publish_findings" in event["event_data"]["task_action"]
    )
    assert [(f["host"], f["check"], f["status"]) for f in published["findings"]] == [
        ("app2", "application", "critical")
    ]
    assert published["report"]["counts"]["critical"] == 1
    whole = json.loads(Path(published["report"]["directory"], "findings.json").read_text(encoding="utf-8"))
    assert {finding["host"] for finding in whole["findings"]} == set(SERVING_HOSTS)

    entries = [json.loads(line) for line in (state / "ledger/ledger.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [entry["kind"] for entry in entries] == ["started", "finished"]
    assert "ansible-runner" in json.dumps(entries[0])


def sweep(lab: dict[str, str], private: Path, state: Path) -> ansible_runner.Runner:
    """The sweep from a fresh private data directory."""
    return ansible_runner.run(
        private_data_dir=str(private),
        project_dir=str(ROOT),
        playbook="playbooks/monitoring_procedures/health_checks.yml",
        inventory=str(ROOT / "inventories/lab"),
        envvars={"LAB": lab["LAB"], "RUNBOOK_STATE_DIR": str(state), "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
        quiet=True,
    )
