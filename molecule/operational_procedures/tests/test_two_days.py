"""Yesterday's round and today's, with real faults, a file system that fills, and somebody who tries to log in."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.lab.images import SERVING_HOSTS
from tests.lab.state import Lab
from tests.scenario import ROOT, Outcome, Procedure, Untouched, shell

STOPPED, FAILED, UNSYNCHRONISED = ("app1", "application"), ("app2", "failed units"), ("db2", "clock")
INBOX = ("app2", "inbox space")


def strangers_try_to_log_in(host: str, attempts: int) -> None:
    """SSH as a user that does not exist."""
    lab = Lab(os.environ["LAB"])
    state = lab.read()
    assert state
    for _ in range(attempts):
        command = ["ssh", "-F", "none", "-i", str(lab.key), "-p", str(state.hosts[host].port)]
        options = ["-o", "BatchMode=yes", "-o", f"UserKnownHostsFile={lab.known_hosts}", "mallory@127.0.0.1", "true"]
        assert subprocess.run([*command, *options], check=False, capture_output=True).returncode == 255


@dataclass(frozen=True)
class TwoDays:
    """What the two rounds reported."""

    yesterday: Outcome
    today: Outcome
    later: Outcome

    @property
    def sections(self) -> dict[str, Any]:
        """The sections of today's report."""
        sections: dict[str, Any] = self.today.report["sections"]
        return sections

    def changes(self, kind: str) -> set[tuple[str, str]]:
        """(host, check) of today's changes of one kind."""
        return {(change["host"], change["check"]) for change in self.sections["changes"][kind]}

    def finding(self, host: str, check: str) -> dict[str, Any]:
        """Today's finding."""
        return next(f for f in self.today.findings if (f["host"], f["check"]) == (host, check))


@pytest.fixture(scope="module")
def procedure(tmp_path_factory: pytest.TempPathFactory) -> Procedure:
    inventories = (ROOT / "inventories/lab", Path(__file__).resolve().parents[1] / "inventory")
    return Procedure("operational_procedures", inventories, tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="module")
def days(procedure: Procedure) -> TwoDays:
    shell("db2", "systemctl stop chrony")
    shell("app2", "systemd-run --quiet --wait --unit=nightly-export false || true")
    shell("app2", "head -c 4M /dev/zero > /srv/inbox/first")
    yesterday = procedure.run(prefix=("faketime", "-f", "-1d"))

    shell("app2", "systemctl reset-failed nightly-export")
    shell("app2", "head -c 20M /dev/zero > /srv/inbox/second")
    shell("app1", "systemctl stop evidence-api")
    strangers_try_to_log_in("proxy1", attempts=3)
    shell("db1", "runuser -u ops -- sudo cat /etc/shadow > /dev/null")
    today = procedure.run()

    shell("app1", "systemctl start evidence-api")
    shell("app2", "rm /srv/inbox/*")
    shell("db2", "systemctl start chrony; chronyc waitsync 600 0 0 0.1 > /dev/null")
    return TwoDays(yesterday, today, procedure.run())


def test_faults_of_each_day_are_its_findings(days: TwoDays) -> None:
    assert set(days.yesterday.bad) == {FAILED, UNSYNCHRONISED}, days.yesterday.output
    assert set(days.today.bad) - {("app2", "filesystem outlook: inbox space")} == {STOPPED, UNSYNCHRONISED}
    assert (days.yesterday.returncode, days.today.returncode) == (2, 2)


def test_today_is_compared_with_yesterday(days: TwoDays) -> None:
    assert days.sections["changes"]["since"] == days.yesterday.report["time"]
    assert STOPPED in days.changes("new")
    assert days.changes("resolved") == {FAILED}
    assert days.changes("standing") == {UNSYNCHRONISED}


def test_a_filling_file_system_is_foreseen(days: TwoDays) -> None:
    forecast = next(f for f in days.sections["forecasts"] if (f["host"], f["check"]) == INBOX)
    assert forecast["kind"] == "filesystem"
    assert forecast["growth_bytes_per_day"] == pytest.approx(20 * 2**20, rel=0.05)
    assert forecast["days_left"] == pytest.approx(2.0, rel=0.1)
    assert days.today.bad["app2", "filesystem outlook: inbox space"] == "critical"


def test_certificates_and_replication_are_in_the_outlook(days: TwoDays) -> None:
    forecasts = {(f["kind"], f["host"]): f for f in days.sections["forecasts"]}
    assert forecasts["certificate", "proxy1"]["days_left"] == pytest.approx(825, abs=3)
    assert forecasts["replication", "db1"]["lag_seconds"] < 15
    assert forecasts["database", "db1"]["growth_bytes_per_day"] is not None


def test_a_database_knows_the_space_that_is_left_to_it(days: TwoDays) -> None:
    free = float(shell("db1", "df --output=avail --block-size=1 /var/lib/postgresql | tail -1"))
    assert days.finding("db1", "PostgreSQL")["metrics"]["free_bytes"] == pytest.approx(free, rel=0.2)


def test_logins_and_sudo_since_yesterday(days: TwoDays) -> None:
    logins = days.finding("proxy1", "failed logins")
    assert logins["metrics"]["failed_logins"] >= 3
    assert "mallory" in logins["detail"]
    assert days.finding("app1", "failed logins")["metrics"]["failed_logins"] == 0
    assert "/etc/shadow" in days.finding("db1", "sudo use")["detail"]


def test_a_second_round_of_the_day_is_compared_with_yesterday_too(days: TwoDays) -> None:
    assert days.later.bad == {}, days.later.output
    assert days.later.returncode == 0
    changes = days.later.report["sections"]["changes"]
    assert changes["since"] == days.yesterday.report["time"]
    assert {(c["host"], c["check"]) for c in changes["resolved"]} == {FAILED, UNSYNCHRONISED}


def test_one_host_alone(days: TwoDays, procedure: Procedure) -> None:
    outcome = procedure.run("--limit", "db1")
    assert {f["host"] for f in outcome.findings} == {"db1"}
    assert outcome.returncode == 0, outcome.output


def test_a_round_touches_no_host(days: TwoDays, procedure: Procedure) -> None:
    untouched = Untouched.hosts(*SERVING_HOSTS)
    assert procedure.run().returncode == 0
    assert untouched.changes == {}


def test_runs_are_recorded_with_their_findings(days: TwoDays, procedure: Procedure) -> None:
    ledger = [ROOT / "bin/runbook-ledger", "--state-dir", procedure.state]
    listing = subprocess.run([*ledger[:1], "list", *ledger[1:]], check=True, capture_output=True, text=True).stdout
    assert listing.count("operational_procedures") >= 3
    record = json.loads(
        subprocess.run(
            [*ledger[:1], "show", *ledger[1:], days.today.report["run_id"]], check=True, capture_output=True, text=True
        ).stdout
    )
    assert record["outcome"] == "failed"
    assert {(f["host"], f["check"]) for f in record["findings"]} == set(days.today.bad)
