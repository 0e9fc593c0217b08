"""A planned switchover loses nothing that was acknowledged, and is put back or finished where it fails or is killed."""

from __future__ import annotations

import pytest
from platform_state import DATABASES, finding, query, refuses_writes, role, roles, stored
from writer import live_clients

from tests.scenario import Procedure, changed_files, files, same_changes, shell

HOSTS = ("app1", "app2", *DATABASES)
TO_DB1 = ("-e", "disaster_recovery_primary=db1")
TO_DB2 = ("-e", "disaster_recovery_primary=db2")


def test_success_the_old_primary_follows_and_takes_no_write() -> None:
    assert roles() == {"db1": "standby", "db2": "primary"}
    assert refuses_writes("db1")
    assert query("db2", "SELECT application_name, state FROM pg_stat_replication") == "db1|streaming"
    # A slot of its time as a primary would keep its log for nobody.
    assert query("db1", "SELECT count(*) FROM pg_replication_slots") == "0"


def test_second_run_changes_nothing(switchover: Procedure) -> None:
    outcome = switchover.run(*TO_DB2)
    assert outcome.returncode == 0, outcome.output
    assert outcome.changes == ()


def test_check_mode_predicts_and_the_move_loses_no_acknowledged_write(switchover: Procedure) -> None:
    before = {host: files(host) for host in HOSTS}
    predicted = switchover.run(*TO_DB1, "--check", "--diff")
    assert {host: changed_files(before[host], files(host)) for host in HOSTS} == {host: {} for host in HOSTS}
    assert roles() == {"db1": "standby", "db2": "primary"}

    with live_clients() as seen:
        applied = switchover.run(*TO_DB1, "--diff")
    assert applied.returncode == 0, applied.output
    assert same_changes(predicted, applied), repr(same_changes(predicted, applied))
    assert roles() == {"db1": "primary", "db2": "standby"}
    assert refuses_writes("db2")
    assert len(seen.acknowledged) > 10
    assert set(seen.acknowledged) - stored("db1") == set()
    # While it was read-only, writers were told so, and readers noticed nothing.
    assert seen.refused > 0
    assert seen.failed == []
    assert set(seen.reads) == {"200"}

    time, point = finding(applied, "recovery time (RTO)"), finding(applied, "recovery point (RPO)")
    assert (time["status"], point["status"], point["observed"], time["unit"]) == ("ok", "ok", 0.0, "s")
    assert 0 < time["metrics"]["promoted_to_write_seconds"] < time["observed"]
    kept = {row["check"]: row["observed"] for row in applied.record["findings"]}
    assert (kept[time["check"]], kept[point["check"]]) == (time["observed"], 0.0)


def test_failure_before_the_promotion_puts_the_old_primary_back(switchover: Procedure) -> None:
    """The standby receives and does not apply: it never has the old primary's last word."""
    query("db2", "SELECT pg_wal_replay_pause()")
    try:
        outcome = switchover.run(*TO_DB2, "-e", "disaster_recovery_timeout=3")
    finally:
        query("db2", "SELECT pg_wal_replay_resume()")
    assert outcome.returncode != 0
    assert outcome.record["outcome"] == "rolled_back", outcome.output
    assert roles() == {"db1": "primary", "db2": "standby"}
    assert shell("db1", "cat /etc/postgresql/15/main/start.conf | grep -v '^#' | xargs").strip() == "auto"
    for host in ("app1", "app2"):
        shell(host, "! test -e /etc/evidence-api/read-only")
    with live_clients() as seen:
        pass
    assert seen.failed == []
    assert seen.acknowledged


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "disaster_recovery_primary is empty; name the host that is to be the primary. db1 is the primary"),
        (("-e", "disaster_recovery_primary=db3"), "disaster_recovery_primary is 'db3', which is no database host"),
        (
            (*TO_DB2, "-e", '{"disaster_recovery_objectives": {"rto": "4h"}}'),
            "disaster_recovery_objectives.rpo is None",
        ),
    ],
)
def test_bad_input_is_refused(switchover: Procedure, options: tuple[str, ...], words: str) -> None:
    outcome = switchover.run(*options)
    assert outcome.returncode != 0
    assert outcome.record["outcome"] == "refused", outcome.output
    assert words in " ".join(outcome.output.split())
    assert outcome.changes == ()


def test_bad_input_failover_of_a_primary_that_serves(failover: Procedure) -> None:
    outcome = failover.run()
    assert outcome.record["outcome"] == "refused", outcome.output
    assert "there is nothing to fail over from: db1 is the primary" in " ".join(outcome.output.split())


def test_interruption_while_nobody_is_primary(switchover: Procedure) -> None:
    """The controller dies when the old primary is stopped, and the standby is not yet promoted."""
    cut = switchover.killed_at("Stop the cluster so that nothing starts it again", *TO_DB2)
    assert cut.killed
    assert cut.record["outcome"] == "interrupted"
    assert role("db1") == "down"
    assert refuses_writes("db1")
    outcome = switchover.run(*TO_DB2)
    assert outcome.returncode == 0, outcome.output
    assert roles() == {"db1": "standby", "db2": "primary"}
    for host in ("app1", "app2"):
        shell(host, "! test -e /etc/evidence-api/read-only")
