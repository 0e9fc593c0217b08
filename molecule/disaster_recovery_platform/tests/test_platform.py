"""Everything but the store is lost: refused while it is not, predicted, continued after kill and failure, and timed."""

from __future__ import annotations

import pytest
from lost_platform import (
    PLATFORM,
    archive,
    likeness,
    lose_everything,
    rows,
    served,
    sql,
    write,
)

from tests.hosts import store, upstreams
from tests.scenario import Outcome, Procedure, Untouched, shell

#: Refused by nobody: the entrance is open when this fails.
UNANSWERED = (
    '{"platform_rebuild_probe_seconds": 1, "platform_rebuild_probe_requests": [{"get": "https://evidence.lab/no"}]}'
)


def words(outcome: Outcome) -> str:
    return " ".join(outcome.output.split())


def steps(*outcomes: Outcome) -> set[tuple[str, str]]:
    """Host and task of every change, but for what only a failure does."""
    changes = {(change.host, change.task) for outcome in outcomes for change in outcome.changes}
    return {change for change in changes if "Close the entrance" not in change[1]}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "proxy1 is not bare: nginx.service runs"),
        (("-e", '{"host_rebuild_replace": true, "platform_rebuild_primary": "db2"}'), "db1 accepts writes"),
    ],
)
def test_bad_input_a_platform_that_serves_is_refused(rebuild: Procedure, options: tuple[str, ...], said: str) -> None:
    outcome = rebuild.run(*options)
    assert outcome.record["outcome"] == "refused", outcome.output
    assert said in words(outcome)
    assert outcome.changes == ()


def test_check_mode_interruption_failure_and_success(rebuild: Procedure) -> None:
    """Check mode, an interruption, a failure at the entrance and success, each from where the last one has left it."""
    write("archived", 500)
    archive()
    write("never archived", 5)
    before, written = likeness(), rows("db1", "archived")
    lose_everything()

    hosts = Untouched.hosts(*PLATFORM)
    store("stop")
    refused = rebuild.run()
    store("start")
    assert refused.record["outcome"] == "refused", refused.output
    assert "db1 does not reach store1:8000" in words(refused)
    predicted = rebuild.run("--check")
    assert predicted.returncode == 0, predicted.output
    assert hosts.changes == {}
    assert "What was written after" in predicted.output

    cut = rebuild.killed_at("fetch the backup")
    assert cut.killed
    assert cut.record["outcome"] == "interrupted"

    failed = rebuild.run("-e", UNANSWERED)
    assert failed.record["outcome"] == "failed", failed.output
    assert "nobody is served" in words(failed)
    assert "Write as a client does" in words(failed)
    assert shell("proxy1", "systemctl is-active nginx || true").strip() == "inactive"
    assert {f["host"] for f in failed.findings if f["check"] == "rebuild" and f["status"] == "critical"} == {"proxy1"}

    done = rebuild.run()
    assert done.returncode == 0, done.output
    assert steps(cut, failed, done) == steps(predicted)
    # What was done was not done again.
    assert {change.host for change in done.changes} == {"proxy1"}

    assert rows("db1", "archived") == rows("db2", "archived") == written
    assert rows("db1", "never archived").startswith("0|")
    assert int(sql("db1", "SELECT count(*) FROM evidence WHERE name = 'change of the primary'")) > 0
    assert likeness() == before
    assert '"ok"' in served()
    assert upstreams() == {"app1": "active", "app2": "active"}
    measured = {(f["host"], f["check"]): f for f in done.record["findings"] if f.get("type") == "objective"}
    assert 10 < measured["proxy1", "recovery time (RTO)"]["observed"] < 1800
    assert measured["proxy1", "recovery time (RTO)"]["status"] == "ok"
    # From the end of the archived log to the beginning of the first run.
    assert 0 < measured["db1", "recovery point (RPO)"]["observed"] < 300


def test_second_run_changes_nothing_and_backups_go_on(rebuild: Procedure) -> None:
    outcome = rebuild.run()
    assert outcome.returncode == 0, outcome.output
    assert outcome.changes == ()
    shell("store1", "cd /; runuser -u postgres -- /usr/local/lib/ops-runbook/database_backup run --kind diff --wait 60")
    shell("db2", "/usr/local/lib/ops-runbook/file_backup run --kind all --wait 60")
