"""The store is lost: refused while it is not, predicted, put back where it fails, continued after a kill, and timed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from lost import HOSTS, INVENTORIES, labels, lose_the_store, put_a_bare_machine, stored, tags

from tests.scenario import Outcome, Procedure, Untouched, shell


@pytest.fixture(scope="session")
def recovery() -> Procedure:
    """With the ledger of converge: it remembers what has to come back."""
    state = Path(os.environ["RUNBOOK_STATE_DIR"])
    return Procedure("backup_recovery/disaster_recovery_store", INVENTORIES, state)


@pytest.fixture(scope="session")
def before() -> dict[str, str]:
    """What was sealed while there was a store."""
    return stored()


def steps(*outcomes: Outcome) -> set[tuple[str, str]]:
    """Host and task of every change."""
    return {(change.host, change.task) for outcome in outcomes for change in outcome.changes}


def test_bad_input_a_store_that_is_not_lost_is_refused(recovery: Procedure, before: dict[str, str]) -> None:
    outcome = recovery.run()
    assert outcome.record["outcome"] == "refused", outcome.output
    assert "store1 answers and has the repository of the database's backups; backups of files of app1" in outcome.output
    assert stored() == before
    lose_the_store()
    outcome = recovery.run()
    assert outcome.record["outcome"] == "refused", outcome.output
    assert "store1 does not answer. Give it a bare machine" in outcome.output


def test_a_bare_machine_becomes_the_store(recovery: Procedure, before: dict[str, str]) -> None:
    """Check mode, a failure, an interruption and success, each from where the one before has left the machine."""
    put_a_bare_machine()
    looked = Untouched.hosts(*HOSTS)
    predicted = recovery.run("--check")
    assert predicted.returncode == 0, predicted.output
    assert looked.changes == {}
    assert "Lost with the old store: every time before the new full backup" in predicted.output

    failed = recovery.run("-e", "evidence_store_tsa_url=http://127.0.0.1:9/")
    assert failed.record["outcome"] == "rolled_back", failed.output
    assert shell("store1", "find /var/lib/evidence -type f ! -name .lock") == ""

    cut = recovery.killed_at("Make the stanza")
    assert cut.killed
    assert cut.record["outcome"] == "interrupted"

    done = recovery.run()
    assert done.returncode == 0, done.output
    assert steps(failed, cut, done) == steps(predicted)
    assert before.items() <= stored().items()
    (label,) = labels()
    assert label.endswith("F")
    # What run records have seen of the old store's backups is not expected any more.
    (database,) = [part for part in done.record["backups"] if part["repository"] == "database of store1"]
    assert list(database["seen"]) == [label]
    assert len(database["forgotten"]) == 1
    assert {host: tags(host) for host in HOSTS} == {
        **{host: {"configuration"} for host in ("proxy1", "db1", "db2")},
        **{host: {"configuration", "application"} for host in ("app1", "app2")},
        "store1": {"configuration", "evidence"},
    }
    shell("store1", "systemctl is-active database-backup.timer file-backup.timer file-backup-retention.timer")
    assert done.bad == {("store1", "lost with the old store"): "warning"}
    measured = {f["check"]: f for f in done.record["findings"] if f.get("type") == "objective"}
    assert set(measured) == {"recovery time (RTO)", "recovery point (RPO)"}
    # From the beginning of the first run, which failed.
    spent = measured["recovery time (RTO)"]["observed"]
    assert spent > 10
    assert measured["recovery point (RPO)"]["observed"] == 0


def test_second_run_is_refused_and_what_is_stored_verifies(recovery: Procedure) -> None:
    outcome = recovery.run()
    assert outcome.record["outcome"] == "refused", outcome.output
    assert outcome.changes == ()
    verified = Procedure("backup_recovery/evidence_protection_verify", INVENTORIES, recovery.state).run()
    assert verified.returncode == 0, verified.output
    assert verified.bad == {}
