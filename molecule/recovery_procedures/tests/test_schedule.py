"""Systemd starts the drill on the controller. Here the scratch host stands for it, since it has a systemd."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path

import pytest
from backups import side_by_side

from tests.scenario import ROOT, Procedure, changed_files, files, same_changes, shell

NAME = "backup_recovery/recovery_procedures_schedule"
UNIT = "ops-runbook-restore-drill"
CONTROLLER = "controller: {hosts: {scratch1: }}\n"


@pytest.fixture(scope="module")
def schedule(state: Path, tmp_path_factory: pytest.TempPathFactory) -> Procedure:
    inventory = tmp_path_factory.mktemp("inventory") / "controller.yml"
    inventory.write_text(CONTROLLER, encoding="utf-8")
    return Procedure(NAME, (ROOT / "inventories/lab", inventory), state)


def given(**values: str) -> tuple[str, str]:
    """Options of a run: the role's variables."""
    return "--extra-vars", json.dumps({f"run_schedule_{name}": value for name, value in values.items()})


def test_check_mode_predicts_and_success_schedules_the_drill(schedule: Procedure) -> None:
    """Timer and service are what systemd takes, and the command of the service finds playbook, inventory and hosts."""
    before = files("scratch1")
    predicted = schedule.run("--check", "--diff")
    assert changed_files(before, files("scratch1"), touched=True) == {}
    applied = schedule.run("--diff")
    assert applied.returncode == 0, applied.output
    assert same_changes(predicted, applied), repr(same_changes(predicted, applied))
    assert shell("scratch1", f"systemctl is-active {UNIT}.timer; systemctl is-enabled {UNIT}.timer").split() == [
        "active",
        "enabled",
    ]
    shell("scratch1", f"systemd-analyze verify --man=no {UNIT}.timer")
    unit = shell("scratch1", f"systemctl cat {UNIT}.service").splitlines()
    values = dict(line.split("=", 1) for line in unit if "=" in line)
    words = [*shlex.split(values["ExecStart"]), "--list-hosts"]
    listed = subprocess.run(words, cwd=values["WorkingDirectory"], check=True, capture_output=True, text=True).stdout
    assert "database:scratch" in listed
    again = schedule.run()
    assert (again.returncode, again.changes) == (0, ())
    # The stand-in has no such command: the timer's next start fails, and is seen.
    shell("scratch1", f"systemctl start {UNIT}.service || true")
    failed = schedule.run()
    assert failed.bad == {("scratch1", "restore drill timer"): "critical"}


def test_bad_input_for_the_schedule(state: Path, schedule: Procedure) -> None:
    before = files("scratch1", content=False)
    here = Procedure(NAME, (ROOT / "inventories/lab",), state)
    refused = [
        *side_by_side(schedule, [given(drill_calendar="every moon"), given(account="nobody-knows-me")]),
        here.run(),
    ]
    for outcome, words in zip(refused, ("every moon", "nobody-knows-me", "localhost"), strict=True):
        assert outcome.record["outcome"] == "refused", outcome.output
        assert words in outcome.output
    assert changed_files(before, files("scratch1", content=False), touched=True) == {}
