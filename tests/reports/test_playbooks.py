"""The roles and the daily round as an operator runs them, on findings and hosts of the tests' own."""

from __future__ import annotations

import json
import os
import pty
import re
import stat
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.ops.runbook.plugins.plugin_utils.reports import Report, ReportStore

from tests.reports import samples

ROOT = Path(__file__).resolve().parents[2]
PUBLISH = "tests/reports/publish.yml"
DAILY = "playbooks/operational_procedures.yml"
#: A host of the daily round is the machine that runs the tests, with few checks.
HERE: Mapping[str, Any] = {
    "ansible_connection": "local",
    "ansible_python_interpreter": "/usr/bin/python3",
    "health_check_baseline": {"root filesystem": {"disk": "/", "warning": "99.99%", "critical": "100%"}},
}


class Controller:
    """ansible-playbook with a state directory and an inventory of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.store = ReportStore(self.state)
        self.hosts: dict[str, Mapping[str, Any]] = {}

    def command(self, playbook: str, *options: str) -> dict[str, Any]:
        """What runs the playbook, for subprocess."""
        inventory = self.folder / "inventory.json"
        inventory.write_text(json.dumps({"platform": {"hosts": self.hosts}}), encoding="utf-8")
        environment = {**os.environ, "RUNBOOK_STATE_DIR": str(self.state), "COLUMNS": "100", "TERM": "xterm"}
        return {"args": ["ansible-playbook", "-i", inventory, playbook, *options], "cwd": ROOT, "env": environment}

    def run(self, playbook: str, *options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(**self.command(playbook, *options), capture_output=True, text=True, check=False)

    def shown(self, playbook: str, *options: str) -> str:
        """What a terminal gets."""
        ours, theirs = pty.openpty()
        with subprocess.Popen(**self.command(playbook, *options), stdin=theirs, stdout=theirs, stderr=theirs):
            os.close(theirs)
            parts = []
            with suppress(OSError), os.fdopen(ours, "rb", buffering=0) as terminal:  # an error is how its end shows
                while part := terminal.read(1 << 16):
                    parts.append(part)
        return b"".join(parts).decode().replace("\r\n", "\n")

    def report(self, procedure: str) -> Report:
        """The newest report."""
        last = self.store.last(procedure)
        assert last, f"there is no report of {procedure}"
        return last.load()


@pytest.fixture
def controller(tmp_path: Path) -> Controller:
    return Controller(tmp_path)


@pytest.fixture
def day(controller: Controller) -> Controller:
    """A platform with trouble, as yesterday's sweep would have found it."""
    for host in samples.HOSTS:
        found = [finding.to_dict() for finding in samples.daily().findings if finding.host == host]
        controller.hosts[host] = {"ansible_host": "192.0.2.1", "health_check_findings": found}
    return controller


def test_run_fails_and_says_why(day: Controller) -> None:
    result = day.run(PUBLISH)
    assert result.returncode == 2, result.stdout
    assert "4 findings are unknown or worse:" in result.stdout
    assert "critical: evidence-api on app2 - evidence-api.service is failed" in result.stdout
    assert "3 critical · 1 unknown · 2 warning" in result.stdout
    (entry,) = day.store.entries()
    assert sorted(path.name for path in entry.path.iterdir()) == [
        "findings.json", "findings.prom", "junit.xml", "report.html",
    ]  # fmt: skip
    assert f"Report: {entry.path}/report.html" in result.stdout


def test_a_terminal_shows_how_bad_it_is_in_colours(day: Controller) -> None:
    lines = day.shown(PUBLISH).splitlines()
    colours = {"critical": "0;31", "unknown": "1;35", "warning": "0;33"}
    for status, colour in colours.items():
        rows = [line for line in lines if re.match(rf"(\x1b\[[\d;]*m)?{status} ", line)]
        assert rows, status
        assert all(line.startswith(f"\x1b[{colour}m{status} ") for line in rows), rows
    assert "\x1b[" not in day.run(PUBLISH).stdout


def test_limit_keeps_the_report(day: Controller) -> None:
    result = day.run(PUBLISH, "--limit", "app1")
    assert result.returncode == 0, result.stdout
    assert day.report("monitoring_procedures/health_checks").hosts == ["app1"]


@pytest.mark.parametrize(("threshold", "code"), [("never", 0), ("critical", 2), ("warning", 2)])
def test_threshold_is_the_operators(day: Controller, threshold: str, code: int) -> None:
    assert day.run(PUBLISH, "-e", f"findings_report_fail_on={threshold}").returncode == code


def test_warnings_alone_pass(day: Controller) -> None:
    assert day.run(PUBLISH, "--limit", "proxy1").returncode == 0
    assert day.run(PUBLISH, "--limit", "proxy1", "-e", "findings_report_fail_on=warning").returncode == 2


def test_check_mode_reports_too(day: Controller) -> None:
    result = day.run(PUBLISH, "--check", "--limit", "app1")
    assert result.returncode == 0, result.stdout
    assert "changed=0" in result.stdout
    assert day.report("monitoring_procedures/health_checks").worst == "ok"


def test_run_id_is_that_of_the_run_record(day: Controller) -> None:
    result = day.run(PUBLISH, "--limit", "app1")
    assert day.report("monitoring_procedures/health_checks").run_id in result.stdout


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("findings_report_procedure=../../etc", "is not the path of a playbook below playbooks/"),
        ("findings_report_runbook_url=javascript:alert(1)", "is not a web address"),
        ("findings_report_fail_on=sometimes", "value of findings_report_fail_on must be one of"),
        ('{"findings_report_findings": [{"check": "a", "host": "b", "status": "bad"}]}', "Finding 1 is not a finding"),
    ],
)
def test_wrong_input_is_explained(day: Controller, option: str, message: str) -> None:
    result = day.run(PUBLISH, "-e", option)
    assert result.returncode != 0
    assert message in " ".join((result.stdout + result.stderr).split())
    assert day.store.entries() == []


def test_metrics_reach_node_exporter(day: Controller) -> None:
    folder = day.folder / "textfiles"
    folder.mkdir()
    day.run(PUBLISH, "-e", f"findings_report_textfile_directory={folder}")
    (file,) = folder.iterdir()
    assert file.name == "runbook_monitoring_procedures_health_checks.prom"
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert 'runbook_run_status{procedure="monitoring_procedures/health_checks"} 3' in file.read_text(encoding="utf-8")


def test_remedies_link_to_the_pages_beside_the_playbooks(day: Controller) -> None:
    day.run(PUBLISH)
    page = (ROOT / "runbook_docs/monitoring-procedures/health-checks.md").as_uri()
    (entry,) = day.store.entries()
    assert f'href="{page}#unit"' in (entry.path / "report.html").read_text(encoding="utf-8")


def test_old_reports_are_deleted(day: Controller) -> None:
    procedure = "monitoring_procedures/health_checks"
    for age in (100, 10):
        day.store.write(Report(procedure, f"run{age}", datetime.now(UTC) - timedelta(days=age), ()), {})
    day.run(PUBLISH)
    assert len(day.store.entries(procedure)) == 2


@pytest.fixture
def round_(controller: Controller) -> Controller:
    """Two hosts, both of them this machine."""
    controller.hosts = {"app1": HERE, "app2": HERE}
    return controller


def test_first_round_looks_back_a_day(round_: Controller) -> None:
    result = round_.run(DAILY, "-e", "findings_report_fail_on=critical")
    assert result.returncode == 0, result.stdout
    report = round_.report("operational_procedures")
    assert {finding.check for finding in report.findings} == {
        "reachable", "root filesystem", "failed logins", "sudo use",
    }  # fmt: skip
    assert report.sections["changes"]["since"] == ""
    assert {forecast["note"] for forecast in report.sections["forecasts"]} == {"not enough history"}


def test_next_round_compares_and_foresees(round_: Controller) -> None:
    disk = os.statvfs("/")
    in_use, free = (disk.f_blocks - disk.f_bfree) * disk.f_frsize, disk.f_bavail * disk.f_frsize
    now = datetime.now(UTC)
    for age in (3, 2, 1):
        # It grew by a twentieth of what is left each day: it is full in 20 days.
        metrics = {"used_bytes": in_use - free / 20 * age}
        found = [
            samples.finding("root filesystem", "app1", "critical", "disk", metrics=metrics),
            samples.finding("front page", "app1", "critical"),
            samples.finding("root filesystem", "app2", "ok", "disk"),
        ]
        round_.store.write(Report("operational_procedures", f"run{age}", now - timedelta(days=age), tuple(found)), {})
    result = round_.run(DAILY, "-e", "findings_report_fail_on=never")
    assert result.returncode == 0, result.stdout
    report = round_.report("operational_procedures")
    changes = report.sections["changes"]
    assert datetime.fromisoformat(changes["since"]) == (now - timedelta(days=1))
    assert [(change["host"], change["check"]) for change in changes["resolved"]] == [("app1", "root filesystem")]
    assert [(change["host"], change["check"]) for change in changes["unobserved"]] == [("app1", "front page")]
    (forecast,) = (finding for finding in report.findings if finding.type == "outlook")
    assert (forecast.check, forecast.host) == ("filesystem outlook: root filesystem", "app1")
    assert forecast.status == "warning"
    assert forecast.observed == pytest.approx(20, abs=1)
    assert "root filesystem on app1 is full in" in result.stdout


def test_limited_round_keeps_to_its_hosts(round_: Controller) -> None:
    assert round_.run(DAILY, "--limit", "app2", "-e", "findings_report_fail_on=critical").returncode == 0
    assert round_.report("operational_procedures").hosts == ["app2"]


def test_round_asks_each_host_since_it_last_answered(round_: Controller) -> None:
    """Yesterday's round was limited to one host, and took a quarter of an hour until it was published."""
    now = datetime.now(UTC)
    for age, hosts in ((3, ("app1", "app2")), (1, ("app1",))):
        published = now - timedelta(days=age)
        asked = {"asked_timestamp_seconds": (published - timedelta(minutes=15)).timestamp()}
        found = [
            finding
            for host in hosts
            for finding in (
                samples.finding("reachable", host, "ok", "reachable", metrics=asked),
                samples.finding("failed logins", host, "ok", "failed_logins"),
                samples.finding("sudo use", host, "ok", "sudo_use"),
            )
        ]
        round_.store.write(Report("operational_procedures", f"run{age}", published, tuple(found)), {})
    echo = {"seen": {"plugin": "echo {{ daily_outlook_since[inventory_hostname] | to_json | quote }}"}}
    result = round_.run(DAILY, "-e", "findings_report_fail_on=never", "-e", json.dumps({"health_checks": echo}))
    assert result.returncode == 0, result.stdout
    report = round_.report("operational_procedures")
    seen = {finding.host: json.loads(finding.title) for finding in report.findings if finding.check == "seen"}
    for host, age in (("app1", 1), ("app2", 3)):
        began = now - timedelta(days=age, minutes=15)
        assert {kind: datetime.fromisoformat(text) for kind, text in seen[host].items()} == {
            "failed_logins": pytest.approx(began, abs=timedelta(milliseconds=1)),
            "sudo_use": pytest.approx(began, abs=timedelta(milliseconds=1)),
        }
    asked_now = {
        finding.metrics["asked_timestamp_seconds"] for finding in report.findings if finding.type == "reachable"
    }
    assert all(now.timestamp() < moment < report.time.timestamp() for moment in asked_now)
    assert asked_now


def drilled(state: Path, days: int) -> None:
    """A drill that passed so many days ago, as this controller has kept it."""
    moment = datetime.now(UTC) - timedelta(days=days)
    found = {"time": moment.isoformat(sep=" ", timespec="seconds"), "backup": f"{days}F", "passed": True}
    (state / "drills").mkdir(parents=True, exist_ok=True)
    (state / f"drills/{moment:%Y%m%dT%H%M%SZ}-{days}.json").write_text(json.dumps(found), encoding="utf-8")


def test_round_says_when_a_backup_was_last_restored(round_: Controller) -> None:
    backups = {"database_backup_store": "app2", "objectives_backups": {"database full": {"restore_test": "7d"}}}
    options = "-e", json.dumps(backups), "-e", "findings_report_fail_on=critical"

    def drill(*more: str) -> tuple[str, ...]:
        result = round_.run(DAILY, *options, *more)
        assert result.returncode == 0, result.stdout
        found = round_.report("operational_procedures").findings
        return next(((f.host, f.status, f.remedy) for f in found if f.check == "restore drill"), ())

    remedy = "backup-recovery/recovery-procedures#drill-overdue"
    assert drill() == ()
    scratch = "-e", "restore_drill_host=scratch1"
    assert drill(*scratch) == ("app2", "unknown", remedy)
    drilled(round_.state, 9)
    assert drill() == ("app2", "warning", remedy)
    assert drill("--limit", "app1") == ()


def test_broken_old_report_is_named_and_left_out(round_: Controller) -> None:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    folder = round_.store.write(Report("monitoring_procedures/health_checks", "old", yesterday, ()), {})
    (folder / "findings.json").write_text("{", encoding="utf-8")
    result = round_.run(DAILY, "-e", "findings_report_fail_on=critical")
    assert result.returncode == 0, result.stdout
    assert f"{folder}/findings.json is not a report" in " ".join(result.stderr.split())
