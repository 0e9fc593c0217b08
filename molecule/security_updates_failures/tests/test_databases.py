"""A database is not touched while replication is behind or a transaction is old."""

from __future__ import annotations

import shlex

import pytest
from ansible_collections.ops.runbook.plugins.plugin_utils import change_lock
from conftest import Platform

from tests.scenario import Outcome, shell

PSQL = "runuser -u postgres -- psql -XAtqc"
OLD = f"{PSQL} 'begin; select pg_sleep(600)'"
#: To end psql is not enough: its server process sleeps on.
END_OLD = f"""{PSQL} "select pg_terminate_backend(pid) from pg_stat_activity where query like '%pg_sleep(600)'" """
#: From the moment that the procedure has locked db1, a transaction is open there and data is written.
MEANWHILE = f"""
until [ -e {change_lock.PATH} ]; do sleep 0.1; done
{OLD} &
while sleep 0.2; do
    {PSQL} "select count(pg_logical_emit_message(false, 'x', repeat('x', 1048576)))"
done
"""
#: When the update of db2 is at its end, it does not replay any more what it receives.
BEHIND = f"""
open=/var/lib/ops-runbook/updates/transaction.json
until [ -e $open ]; do sleep 0.1; done
while [ -e $open ]; do sleep 0.1; done
{PSQL} 'select pg_wal_replay_pause()'
"""


@pytest.fixture(scope="module")
def pending(platform: Platform) -> str:
    return platform.publish(hosts=("db1", "db2"))


def assert_refused(outcome: Outcome, *words: str) -> None:
    assert outcome.returncode != 0
    assert outcome.record["outcome"] == "refused", outcome.output
    assert [word for word in words if word not in outcome.record["refusal"]] == [], outcome.record["refusal"]
    assert outcome.changes == ()


def test_refused_while_replication_is_behind(platform: Platform, pending: str) -> None:
    shell("db2", f"{PSQL} 'select pg_wal_replay_pause()'")
    message = (
        "select count(pg_logical_emit_message(false, chr(108), repeat(chr(120), 1048576))) from generate_series(1, 12)"
    )
    shell("db1", f"{PSQL} '{message}' > /dev/null")
    outcome = platform.run(limit="db1")
    check = platform.run("--check", limit="db1")
    shell("db2", f"{PSQL} 'select pg_wal_replay_resume()'")
    assert_refused(outcome, "db1", "replication is", "at most 10 MiB")
    assert check.returncode == 0, check.output
    assert "would be refused now" in check.output


def test_refused_while_a_transaction_is_old(platform: Platform, pending: str) -> None:
    shell("db1", f"systemd-run --quiet --unit=old-transaction {OLD}; sleep 2")
    outcome = platform.run("-e", "security_updates_transaction_age=1", limit="db1")
    shell("db1", END_OLD)
    assert_refused(outcome, "db1", "a transaction is", "at most 1 s")


def test_the_run_ends_where_a_database_gets_busy_meanwhile(platform: Platform, pending: str) -> None:
    shell("db1", f"systemd-run --quiet --unit=meanwhile bash -c {shlex.quote(MEANWHILE)}")
    shell("db2", f"systemd-run --quiet --collect --unit=behind bash -c {shlex.quote(BEHIND)}")
    outcome = platform.values(limit="database", transaction_age=1, database_wait=8)
    shell("db1", f"systemctl stop meanwhile; {END_OLD}")
    shell("db2", f"{PSQL} 'select pg_wal_replay_resume()'")
    assert outcome.returncode != 0
    assert outcome.record["outcome"] == "failed", outcome.output
    said = str(outcome.record["failures"])
    words = ("db1 was not touched", "replication is", "at most 10 MiB", "a transaction is", "at most 1 s")
    assert [word for word in words if word not in said] == [], said
    assert {change.host for change in outcome.changes} == {"db2"}
    assert platform.version("db2") == f"{pending} installed active"
    assert platform.version("db1") == "1.0 installed active"
    assert outcome.bad == {("db1", "updates"): "warning"}
    assert [host for host in ("db1", "db2") if shell(host, f"[ ! -e {change_lock.PATH} ] || echo locked")] == []
