"""A database is not touched while replication is behind or a transaction is old."""

from __future__ import annotations

import pytest
from conftest import Platform

from tests.scenario import Outcome, shell

PSQL = "runuser -u postgres -- psql -XAtqc"


@pytest.fixture(scope="module")
def pending(platform: Platform) -> str:
    version = platform.publish()
    shell("db1", "apt-get -qq update; apt-get -qq install --allow-downgrades lab-agent=1.0 >/dev/null 2>&1")
    return version


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
    sleep = f"{PSQL} 'begin; select pg_sleep(600)'"
    shell("db1", f"systemd-run --quiet --unit=old-transaction {sleep}; sleep 2")
    outcome = platform.run("-e", "security_updates_transaction_age=1", limit="db1")
    shell("db1", "systemctl stop old-transaction")
    assert_refused(outcome, "db1", "a transaction is", "at most 1 s")
