"""Systemd seals and verifies on the controller. A host of the application stands for it, since it has a systemd."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from store import INVENTORIES

from tests.scenario import Procedure, changed_files, files, same_changes, shell
from tests.schedules import hosts_of, installing, service_of_timer

UNITS = ("ops-runbook-evidence-seal", "ops-runbook-evidence-verification")


@pytest.fixture(scope="module")
def schedule(state: Path, tmp_path_factory: pytest.TempPathFactory) -> Procedure:
    return installing("evidence_protection_schedule", "app2", state, tmp_path_factory.mktemp("inventory"))


def test_bad_input_for_the_schedule(schedule: Procedure) -> None:
    before = files("app2", content=False)
    refused = schedule.run("--extra-vars", "run_schedule_verification_calendar='every moon'")
    assert refused.record["outcome"] == "refused", refused.output
    assert 'run_schedule_verification_calendar is "every moon"' in " ".join(refused.output.split())
    assert changed_files(before, files("app2", content=False), touched=True) == {}


def test_check_mode_predicts_and_success_schedules_both(schedule: Procedure) -> None:
    """Timers and services are what systemd takes, and each service's command finds its playbook and its hosts."""
    before = files("app2")
    predicted = schedule.run("--check", "--diff")
    assert changed_files(before, files("app2"), touched=True) == {}
    applied = schedule.run("--diff")
    assert applied.returncode == 0, applied.output
    assert same_changes(predicted, applied), repr(same_changes(predicted, applied))
    for unit in UNITS:
        assert "store1" in hosts_of(service_of_timer("app2", unit))
    again = schedule.run()
    assert (again.returncode, again.changes) == (0, ())


def test_failure_of_what_was_scheduled_is_seen(schedule: Procedure) -> None:
    """The stand-in has no such command, so one start fails; the timer that somebody has stopped is started again."""
    seal, verification = UNITS
    shell("app2", f"systemctl start {seal}.service || true; systemctl stop {verification}.timer")
    assert schedule.run().bad == {("app2", "evidence seal timer"): "critical"}
    assert shell("app2", f"systemctl is-active {verification}.timer").strip() == "active"


def test_failure_in_the_middle_puts_back_what_was_there(schedule: Procedure) -> None:
    """Something is in the way of the link that enables the new timers."""
    wants = "/etc/systemd/system/timers.target.wants"
    shell("app2", f"mv {wants} {wants}.away; touch {wants}; systemctl daemon-reload")
    before = files("app2")
    failed = schedule.run("--extra-vars", "run_schedule_seal_calendar=hourly")
    assert failed.record["outcome"] == "rolled_back", failed.output
    assert changed_files(before, files("app2")) == {}
    shell("app2", f"rm {wants}; mv {wants}.away {wants}; systemctl daemon-reload")


def test_interruption_converges(schedule: Procedure) -> None:
    shell("app2", f"systemctl disable --now {UNITS[0]}.timer {UNITS[1]}.timer")
    shell("app2", "rm /etc/systemd/system/ops-runbook-evidence-*; systemctl daemon-reload; systemctl reset-failed")
    cut = schedule.killed_at("Start the timers")
    assert (cut.killed, cut.record["outcome"]) == (True, "interrupted"), cut.output
    assert schedule.run().returncode == 0
    assert shell("app2", f"systemctl is-active {UNITS[0]}.timer {UNITS[1]}.timer").split() == ["active", "active"]


def test_sealing_waits_for_no_window(state: Path, tmp_path: Path) -> None:
    """A freeze of two weeks would leave two weeks of evidence unprotected."""
    closed = {"objectives_change_windows": [], "objectives_change_ticket_pattern": r"CHG-\d+"}
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars/platform.yml").write_text(json.dumps(closed), encoding="utf-8")
    (tmp_path / "hosts.yml").write_text("platform: {}\n", encoding="utf-8")
    inventories = (*INVENTORIES, tmp_path / "hosts.yml")
    outcomes = {
        name: Procedure(f"backup_recovery/evidence_protection{name}", inventories, state).run("--check")
        for name in ("", "_retention")
    }
    assert outcomes[""].returncode == 0, outcomes[""].output
    assert "no change window is open" in outcomes["_retention"].output
