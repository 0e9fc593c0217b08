"""Systemd starts the drill on the controller. Here the scratch host stands for it, since it has a systemd."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from backups import side_by_side

from tests.scenario import ROOT, Procedure, changed_files, files, same_changes, shell
from tests.schedules import hosts_of, installing, service_of_timer

NAME = "recovery_procedures_schedule"
UNIT = "ops-runbook-restore-drill"
#: A drill of a large database takes as long.
HOURS = ("--extra-vars", "restore_drill_hours=30")


@pytest.fixture(scope="module")
def schedule(state: Path, tmp_path_factory: pytest.TempPathFactory) -> Procedure:
    return installing(NAME, "scratch1", state, tmp_path_factory.mktemp("inventory"))


def given(**values: str) -> tuple[str, str]:
    """Options of a run: the role's variables."""
    return "--extra-vars", json.dumps({f"run_schedule_{name}": value for name, value in values.items()})


def test_check_mode_predicts_and_success_schedules_the_drill(schedule: Procedure) -> None:
    """Timer and service are what systemd takes, and the command of the service finds playbook, inventory and hosts."""
    before = files("scratch1")
    predicted = schedule.run("--check", "--diff", *HOURS)
    assert changed_files(before, files("scratch1"), touched=True) == {}
    applied = schedule.run("--diff", *HOURS)
    assert applied.returncode == 0, applied.output
    assert same_changes(predicted, applied), repr(same_changes(predicted, applied))
    service = service_of_timer("scratch1", UNIT)
    assert service["TimeoutStartSec"] == "30h"
    assert "database:scratch" in hosts_of(service)
    again = schedule.run(*HOURS)
    assert (again.returncode, again.changes) == (0, ())
    # The stand-in has no such command: the timer's next start fails, and is seen.
    shell("scratch1", f"systemctl start {UNIT}.service || true")
    for options in ((), ("--check",)):
        failed = schedule.run(*options, *HOURS)
        assert failed.bad == {("scratch1", "restore drill timer"): "critical"}


def test_bad_input_for_the_schedule(state: Path, schedule: Procedure) -> None:
    before = files("scratch1", content=False)
    here = Procedure(f"backup_recovery/{NAME}", (ROOT / "inventories/lab",), state)
    refused = [
        *side_by_side(schedule, [given(drill_calendar="every moon"), given(account="nobody-knows-me")]),
        here.run(),
    ]
    for outcome, words in zip(refused, ("every moon", "nobody-knows-me", "localhost"), strict=True):
        assert outcome.record["outcome"] == "refused", outcome.output
        assert words in outcome.output
    assert changed_files(before, files("scratch1", content=False), touched=True) == {}
