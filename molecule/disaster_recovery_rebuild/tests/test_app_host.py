"""A host of the application is made again on a bare machine, whatever comes in between."""

from __future__ import annotations

import pytest
from ansible_collections.ops.runbook.plugins.plugin_utils import change_lock
from lost_host import forge, lose, served_by

from tests.hosts import store, upstreams
from tests.scenario import Outcome, Procedure, Untouched, same_changes, shell

APP2 = ("-e", "host_rebuild_host=app2")
LOCK = f"cat {change_lock.PATH} 2> /dev/null || echo free"
#: What a rebuilt host has to have as it was: numbers of accounts, packages, configuration, units and the release.
LIKENESS = """
getent passwd evidence-api _chrony; getent group evidence-api
dpkg-query -W -f '${Package} ${Version}\\n'; apt-mark showmanual | sort
cd /; find etc/evidence-api etc/systemd/system etc/chrony etc/restic etc/ops-runbook usr/local opt/evidence-api \\
    -path '*/venv' -prune -o -printf '%p %U %G %m %l\\n' | grep -v __pycache__ | sort
sha256sum etc/evidence-api/* etc/systemd/system/evidence-api.service usr/local/share/ca-certificates/*
ls opt/evidence-api/current/venv/lib/python3*/site-packages | sort
"""


def words(outcome: Outcome) -> str:
    return " ".join(outcome.output.split())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "host_rebuild_host is empty. There are: app1, app2"),
        (("-e", "host_rebuild_host=app9"), "host_rebuild_host is 'app9', which is no host that can be rebuilt"),
        ((*APP2, "-e", "host_rebuild_rto=soon"), "host_rebuild_rto is 'soon'; it has to be a number with unit"),
        (APP2, "app2 is not bare: evidence-api.service runs"),
    ],
)
def test_bad_input_is_refused(rebuild: Procedure, options: tuple[str, ...], said: str) -> None:
    outcome = rebuild.run(*options)
    assert outcome.returncode != 0
    assert outcome.record["outcome"] == "refused", outcome.output
    assert said in words(outcome)
    assert outcome.changes == ()


def test_check_mode_predicts_and_success_is_the_host_that_it_was(rebuild: Procedure) -> None:
    before = shell("app2", LIKENESS)
    forge("app2")
    lose("app2")
    hosts = Untouched.hosts("app2", "proxy1", "store1")
    store("stop")
    refused = rebuild.run(*APP2)
    store("start")
    assert refused.record["outcome"] == "refused", refused.output
    assert "app2 does not reach store1:8000" in words(refused)

    predicted = rebuild.run(*APP2, "--check")
    assert hosts.changes.keys() <= {"store1"}
    assert "app2" not in hosts.changes
    applied = rebuild.run(*APP2)
    assert applied.returncode == 0, applied.output
    assert same_changes(predicted, applied), repr(same_changes(predicted, applied))

    assert shell("app2", LIKENESS) == before
    assert '"ok"' in served_by("app2")
    assert upstreams() == {"app1": "active", "app2": "active"}
    assert shell("app2", "test -e /usr/sbin/policy-rc.d || echo gone").strip() == "gone"
    kept = {row["check"]: row for row in applied.record["findings"]}
    assert 0 < kept["recovery time (RTO)"]["observed"] < 1800
    assert 0 < kept["recovery point (RPO)"]["observed"] < 86400


def test_second_run_changes_nothing(rebuild: Procedure) -> None:
    outcome = rebuild.run(*APP2)
    assert outcome.returncode == 0, outcome.output
    assert outcome.changes == ()


def test_interruption_and_failure_leave_it_without_traffic_until_a_run_is_whole(rebuild: Procedure) -> None:
    lose("app2")
    cut = rebuild.killed_at("Fetch the snapshots", *APP2)
    assert cut.killed
    assert cut.record["outcome"] == "interrupted"

    failed = rebuild.run(*APP2, "-e", '{"host_rebuild_services": ["evidence-api.service", "never.service"]}')
    assert failed.returncode != 0
    assert failed.record["outcome"] == "failed", failed.output
    assert "never.service" in words(failed)
    assert upstreams() == {"app1": "active", "app2": "drained"}
    # What the killed run had done was not done again.
    assert not [change for change in failed.changes if "Fetch" in change.task]

    last = rebuild.killed_at("Write down that the rebuild is whole", *APP2)
    assert last.killed
    assert '"ok"' in served_by("app2")
    assert upstreams() == {"app1": "active", "app2": "active"}
    # Nothing is left to do but to free what the dead run has locked.
    outcome = rebuild.run(*APP2)
    assert outcome.returncode == 0, outcome.output
    assert outcome.changes == ()
    assert [shell(host, LOCK).strip() for host in ("app2", "proxy1")] == ["free", "free"]
    assert shell("app2", "systemctl is-enabled evidence-api file-backup.timer").split() == ["enabled", "enabled"]
