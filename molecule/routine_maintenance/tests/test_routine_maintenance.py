"""Routine maintenance on hosts with real left-overs. The tests build on each other, in their order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from interruption import INVENTORIES
from leftovers import GONE, KEPT, PSQL, arrange, assert_converged, dead_rows, present, replaced

from tests.scenario import Outcome, Procedure, Untouched, same_changes, shell

HOSTS = ("proxy1", "app1", "app2", "db1", "db2")
EXPAT = "/usr/lib/x86_64-linux-gnu/libexpat.so.1.8.10"
LOCK = "/var/lib/ops-runbook/change.lock"
CLEAN = "Remove what is left over"
RESTART = "Restart what runs on deleted libraries"


@pytest.fixture(scope="session")
def maintenance(tmp_path_factory: pytest.TempPathFactory) -> Procedure:
    arrange()
    return Procedure("maintenance/routine_maintenance", INVENTORIES, tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="session")
def predicted(maintenance: Procedure) -> Outcome:
    """The check run, during which no host may change."""
    untouched = Untouched.hosts(*HOSTS)
    rows, pids = dead_rows("readings"), main_pids()
    outcome = maintenance.run("--check", "--diff")
    assert untouched.changes == {}
    assert (dead_rows("readings"), main_pids()) == (rows, pids)
    return outcome


@pytest.fixture(scope="session")
def applied(predicted: Outcome, maintenance: Procedure) -> Outcome:
    return maintenance.run("--diff")


def main_pids() -> list[str]:
    """The main processes of the services that a restart would replace."""
    units = {"proxy1": "nginx", "app2": "evidence-api", "app1": "evidence-api", "db1": "postgresql@15-main"}
    return [shell(host, f"systemctl show --value -p MainPID {unit}").strip() for host, unit in units.items()]


def main_pid(host: str, unit: str = "evidence-api") -> str:
    return shell(host, f"systemctl show --value -p MainPID {unit}").strip()


def traffic() -> dict[str, str]:
    states: dict[str, str] = json.loads(shell("proxy1", "upstream-state evidence-api"))
    return states


def locked() -> list[str]:
    return [host for host in HOSTS if shell(host, f"[ ! -e {LOCK} ] || echo locked")]


def rows(outcome: Outcome, title: str) -> list[list[str]]:
    """The rows of the report's table."""
    tables: list[dict[str, Any]] = outcome.report["sections"]["tables"]
    return next((table["rows"] for table in tables if table["title"] == title), [])


def diffs(outcome: Outcome) -> dict[str, str]:
    """Host → what the cleaning removed, as the record has it."""
    return {row["host"]: row["diff"] for row in outcome.record["changes"] if CLEAN in row["task"]}


#: An orphaned package whose own script refuses its removal.
STUBBORN = """
mkdir -p /root/stubborn/DEBIAN
cat > /root/stubborn/DEBIAN/control <<CONTROL
Package: stubborn
Version: 1
Architecture: all
Maintainer: Lab <lab@example.com>
Description: lab
CONTROL
printf '#!/bin/sh\\nexit 1\\n' > /root/stubborn/DEBIAN/prerm
chmod 0755 /root/stubborn/DEBIAN/prerm
dpkg-deb --build /root/stubborn /root/stubborn.deb >/dev/null
dpkg --install /root/stubborn.deb >/dev/null
apt-mark auto stubborn >/dev/null
"""

BAD = {
    "routine_maintenance_areas": (["logs", "kernels"], "names 'kernels'"),
    "routine_maintenance_temporary": ({"/tmp": "-1d", "/": "10d", "/var": "10d"}, "['/tmp'] is -1d"),
    "routine_maintenance_log_keep": ("399d", "is 399 days, shorter than the 400 days"),
    "routine_maintenance_releases_keep": (0, "keeps 0 releases"),
    "routine_maintenance_log_paths": (["/etc"], "names /etc, which is no folder below"),
}


def test_bad_input_is_refused_by_the_variables_name(maintenance: Procedure) -> None:
    outcome = maintenance.run("--extra-vars", json.dumps({name: value for name, (value, _said) in BAD.items()}))
    assert (outcome.returncode, outcome.record["outcome"]) == (2, "refused")
    said = " ".join(outcome.output.split())
    for name, (_value, message) in BAD.items():
        assert f"{name} {message}".replace(" [", "[") in said
    assert "routine_maintenance_temporary names /, which" in said
    assert "routine_maintenance_temporary names /var, which" in said
    assert outcome.changes == ()
    assert locked() == []


def test_a_busy_database_is_left_alone(maintenance: Procedure) -> None:
    shell(
        "db1", f'systemd-run --quiet --collect --unit=writer {PSQL} evidence -c "BEGIN; SELECT pg_sleep(600)"; sleep 1'
    )
    outcome = maintenance.run("--extra-vars", "routine_maintenance_postgresql_transaction_age=500ms")
    # To end psql is not enough: its server process sleeps on.
    shell(
        "db1", f"""{PSQL} -c "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%sleep(600)'" """
    )
    assert outcome.record["outcome"] == "refused"
    assert "db1: its PostgreSQL is to be left alone now, because a transaction" in outcome.record["refusal"]
    assert outcome.changes == ()


@pytest.mark.parametrize(
    ("host", "task"),
    [("app1", CLEAN), ("app2", RESTART), ("app2", "Look whether the host requires it")],
    ids=["clean", "restart", "reboot"],
)
def test_check_mode_promises_nothing_when_a_host_is_lost(maintenance: Procedure, host: str, task: str) -> None:
    lost = maintenance.losing(host, task, "--check", "--diff")
    assert (lost.returncode, lost.record["outcome"]) == (2, "failed"), lost.output
    assert lost.bad[host, "maintenance"] == "critical"
    assert f"{host} is lost: " in str(lost.record["failures"])


def test_check_mode_predicts_what_is_applied(predicted: Outcome, applied: Outcome) -> None:
    assert same_changes(predicted, applied)
    assert diffs(predicted) == diffs(applied)
    assert set(diffs(applied)) == {"proxy1", "app1", "app2", "db1"}
    title = "Disk that would be reclaimed"
    assert rows(predicted, title) == rows(applied, "Disk reclaimed") != []


def test_success_removes_what_should_go_and_nothing_else(applied: Outcome) -> None:
    assert (applied.returncode, applied.record["outcome"]) == (0, "succeeded"), applied.output
    assert_converged()
    assert locked() == []
    assert set(traffic().values()) == {"active"}


def test_success_restarts_and_reboots_one_host_after_the_other(applied: Outcome) -> None:
    renewed = [
        (change.host, "reboot" if "Reboot" in change.task else "restart")
        for change in applied.changes
        if RESTART in change.task or "Reboot" in change.task
    ]
    assert renewed == [("app2", "restart"), ("db2", "reboot"), ("db1", "restart"), ("proxy1", "restart")]
    drained = [change.host for change in applied.changes if "Send no new requests" in change.task]
    assert drained == ["app2"]
    assert shell("db2", "cut -d. -f1 /proc/uptime; ps -o etimes= -p 1").split()  # it answers again


def test_success_is_reported(applied: Outcome) -> None:
    areas = {(row[0], row[1]) for row in rows(applied, "Disk reclaimed")}
    assert areas >= {
        ("proxy1", "journal"),
        ("proxy1", "rotated logs"),
        ("app1", "temporary files"),
        ("app1", "releases"),
        ("app2", "package cache"),
        ("app2", "orphans"),
        ("together", ""),
    }
    removed = {row[2] for row in rows(applied, "What was removed and done")}
    assert {"hello 2.10-3", "evidence: VACUUM (ANALYZE) public.readings", "/tmp/export"} <= removed
    assert ["db2", "reboot"] in rows(applied, "Restarts and reboots")
    assert [row[:2] for row in rows(applied, "PostgreSQL")] == [["db1", "primary"], ["db2", "standby"]]
    assert [row[0] for row in rows(applied, "File systems")] != []
    assert applied.bad[("db1", "unused indexes")] == "warning"
    assert applied.bad[("app2", "held packages")] == "warning"
    assert applied.bad[("app2", "orphans")] == "warning"
    unused = next(f for f in applied.findings if f["check"] == "unused indexes")
    assert "public.readings_unused on public.readings" in unused["detail"]
    assert "asked: db1, db2" in unused["detail"]
    headroom = [f for f in applied.findings if f["check"] == "wraparound headroom"]
    assert {f["host"] for f in headroom} == {"db1", "db2"}


def test_second_run_changes_nothing(applied: Outcome, maintenance: Procedure) -> None:
    outcome = maintenance.run()
    assert (outcome.returncode, outcome.changes) == (0, ()), outcome.output
    assert rows(outcome, "Disk reclaimed") == []


def test_failure_of_an_area_ends_the_run_before_anything_restarts(applied: Outcome, maintenance: Procedure) -> None:
    """A package that refuses to go: what was cleaned before it stays so, and is reported."""
    archive = "/var/cache/apt/archives/again.deb"
    shell("app2", f"{STUBBORN}echo x > {archive}\n{replaced(EXPAT)}")
    service = main_pid("app2")
    outcome = maintenance.run()
    assert (outcome.returncode, outcome.record["outcome"]) == (2, "failed"), outcome.output
    assert "The cleaning stopped at orphans: /usr/bin/apt-get" in outcome.output
    assert present("app2", archive, "/var/lib/dpkg/info/stubborn.list") == {
        archive: False,
        "/var/lib/dpkg/info/stubborn.list": True,
    }
    assert main_pid("app2") == service
    assert locked() == []
    assert outcome.bad["app2", "maintenance"] == "critical"
    assert ["app2", "package cache", "1", "4 KiB"] in rows(outcome, "Disk reclaimed")
    shell("app2", "rm /var/lib/dpkg/info/stubborn.prerm")
    again = maintenance.run()
    assert (again.returncode, again.record["outcome"]) == (0, "succeeded"), again.output
    assert main_pid("app2") != service


@contextmanager
def broken_start(times: str) -> Iterator[None]:
    """app1's service does not start: never again, or not at the first try. It and app2 run on a deleted library."""
    folder = "/run/systemd/system/evidence-api.service.d"
    shell(
        "app1",
        f"""mkdir -p {folder}
        printf '[Service]\\nExecStartPre=+/bin/sh -c "%s"\\n' '{times}' > {folder}/broken.conf
        systemctl daemon-reload; {replaced(EXPAT)}""",
    )
    shell("app2", replaced(EXPAT))
    yield
    shell(
        "app1",
        f"rm -r {folder}; systemctl daemon-reload; systemctl reset-failed evidence-api; systemctl restart evidence-api",
    )


def test_failure_leaves_a_sick_host_without_traffic_and_the_next_untouched(
    applied: Outcome, maintenance: Procedure
) -> None:
    other = main_pid("app2")
    with broken_start("exit 1"):
        outcome = maintenance.run()
        assert (outcome.returncode, outcome.record["outcome"]) == (2, "failed"), outcome.output
        assert "app1 failed and is not healthy. It gets no traffic" in str(outcome.record["failures"])
        assert traffic() == {"app1": "drained", "app2": "active"}
        assert main_pid("app2") == other
        assert locked() == []
        assert ["app2", "not reached: the run ended before it"] in rows(outcome, "Restarts and reboots")
        assert outcome.bad["app1", "maintenance"] == "critical"
    shell("proxy1", "upstream-state evidence-api app1 active")


def test_failure_gives_traffic_back_to_a_host_that_is_healthy(maintenance: Procedure) -> None:
    with broken_start("mkdir /run/tried && exit 1 || exit 0"):
        outcome = maintenance.run()
        assert (outcome.returncode, outcome.record["outcome"]) == (2, "failed"), outcome.output
        assert "app1 failed and has its traffic back, since it is healthy" in str(outcome.record["failures"])
        assert set(traffic().values()) == {"active"}
        assert locked() == []


def test_interruption_is_resumed(maintenance: Procedure) -> None:
    """Killed when app2 gets no traffic: the next run has nothing to restart there, and gives its traffic back."""
    shell("app1", "mkdir -p /tmp/again; echo x > /tmp/again/file; sleep 6")
    shell("app2", replaced(EXPAT))
    killed = maintenance.killed_at(RESTART)
    assert killed.killed
    assert traffic()["app2"] == "drained"
    assert locked() != []
    again = maintenance.run()
    assert (again.returncode, again.record["outcome"]) == (0, "succeeded"), again.output
    assert maintenance.record(killed.record["run_id"])["outcome"] == "interrupted"
    assert set(traffic().values()) == {"active"}
    assert locked() == []
    assert present("app1", "/tmp/again") == {"/tmp/again": False}


def test_the_comparison_sees_what_is_there() -> None:
    """What is asserted to be gone or kept is looked at as the shell sees it."""
    assert present("app1", "/etc/passwd", "/etc/passwd.gone") == {"/etc/passwd": True, "/etc/passwd.gone": False}
    assert set(GONE) | set(KEPT) == {"proxy1", "app1", "app2", "db2"}
