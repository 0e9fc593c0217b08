"""Bad input: one clear error, before any host is touched, an exit code that says so, and a record of the refusal."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEALTH = "monitoring_procedures/health_checks"
DAILY = "operational_procedures"

#: Hosts at an address where nobody answers: whoever touches them says "unreachable", and is not refused.
INVENTORY = """
platform:
  hosts:
    app1:
    app2:
  vars: {ansible_host: 127.0.0.1, ansible_port: 1, ansible_user: nobody}
"""


@dataclass(frozen=True)
class Refusal:
    """How a run ended, and what the ledger says about it."""

    output: str
    returncode: int
    record: dict[str, Any]


def attempt(folder: Path, procedure: str, *options: str, inventory: str = INVENTORY) -> Refusal:
    (folder / "inventory").mkdir()
    (folder / "inventory/hosts.yml").write_text(inventory, encoding="utf-8")
    (folder / "inventory/zz_limit.yml").write_text("plugin: ops.runbook.limit\n", encoding="utf-8")
    result = subprocess.run(
        ["ansible-playbook", f"playbooks/{procedure}.yml", "--inventory", str(folder / "inventory"), *options],
        cwd=ROOT,
        env={**os.environ, "RUNBOOK_STATE_DIR": str(folder / "state")},
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines = (folder / "state/ledger/ledger.jsonl").read_text(encoding="utf-8").splitlines()
    assert not (folder / "state/reports").exists(), "a report was written, so hosts were looked at"
    return Refusal(result.stdout, result.returncode, json.loads(lines[-1])["body"])


def variables(**values: Any) -> tuple[str, str]:
    return "--extra-vars", json.dumps(values)


CASES = {
    "unknown check type": (
        variables(health_checks={"uploads": {"dsk": "/srv"}}),
        ["health_checks['uploads']", "app1, app2", "dsk", "disk", "http", "postgresql"],
    ),
    "unknown option": (
        variables(health_checks={"uploads": {"disk": "/srv", "warn": "80%"}}),
        ["health_checks['uploads']", "app1, app2", "warn", "warning"],
    ),
    "threshold of the wrong type": (
        variables(health_checks={"root filesystem": {"warning": "much"}}),
        ["health_checks['root filesystem']", "app1, app2", "warning", "much", "80%"],
    ),
    "threshold of the wrong unit": (
        variables(health_checks={"root filesystem": {"warning": "250ms"}}),
        ["health_checks['root filesystem']", "app1, app2", "250ms", "%"],
    ),
    "warning beyond critical": (
        variables(health_checks={"root filesystem": {"warning": "95%", "critical": "90%"}}),
        ["health_checks['root filesystem']", "app1, app2", "warning 95 %", "critical 90 %"],
    ),
    "missing variable": (
        variables(health_checks={"api": {"http": "https://{{ api_name }}/healthz"}}),
        ["health_checks['api']", "app1, app2", "api_name"],
    ),
    "unknown check to run": (
        variables(health_check_only=["root filesytem"]),
        ["health_check_only", "root filesytem", "root filesystem"],
    ),
    "unknown class of a host": (
        variables(health_check_class="postgres"),
        ["health_check_class", "app1, app2", "postgres", "postgresql", "web_proxy"],
    ),
    "threshold of the run": (
        variables(findings_report_fail_on="sometimes"),
        ["findings_report_fail_on", "sometimes", "warning", "unknown", "critical", "never"],
    ),
    "unknown host": (("--limit", "app1,app3"), ["--limit app1,app3", "app3", "app1, app2"]),
    "unknown host alone": (("--limit", "app3"), ["--limit app3", "app3", "app1, app2"]),
}


@pytest.mark.parametrize("procedure", [HEALTH, DAILY])
@pytest.mark.parametrize("case", CASES)
def test_refused(tmp_path: Path, procedure: str, case: str) -> None:
    options, words = CASES[case]
    refusal = attempt(tmp_path, procedure, *options)
    assert refusal.returncode == 2, refusal.output
    assert (refusal.record["outcome"], refusal.record["procedure"]) == ("refused", procedure), refusal.output
    assert [word for word in words if word not in refusal.output] == [], refusal.output
    assert [word for word in words if word not in refusal.record["refusal"]] == [], refusal.record["refusal"]


@pytest.mark.parametrize("procedure", [HEALTH, DAILY])
def test_empty_host_pattern(tmp_path: Path, procedure: str) -> None:
    refusal = attempt(tmp_path, procedure, inventory="others:\n  hosts:\n    app1:\n")
    assert refusal.returncode == 2, refusal.output
    assert refusal.record["outcome"] == "refused"
    assert "No host matches 'platform'" in refusal.output
    assert "others" in refusal.output


def test_unreachable_hosts_are_no_refusal(tmp_path: Path) -> None:
    """The hosts of these tests would show it if they were touched."""
    with pytest.raises(AssertionError, match="hosts were looked at"):
        attempt(tmp_path, HEALTH)
