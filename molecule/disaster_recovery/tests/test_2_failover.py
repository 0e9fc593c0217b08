"""The primary is lost: it is fenced, or the run refuses; the loss is measured; what comes back is no primary."""

from __future__ import annotations

import json

from platform_state import (
    UNIT,
    await_boot,
    cut_off_from_controller,
    finding,
    is_on,
    power,
    power_switch,
    query,
    refuses_writes,
    role,
    roles,
    start_attempts,
    stored,
)
from writer import live_clients

from tests.scenario import Procedure, Untouched, same_changes, shell

HOSTS = ("proxy1", "app1", "app2", "db1", "db2")
LOOK = ("--check", "--diff")
OVERRIDE = json.dumps({"disaster_recovery_override": "I pulled its plug myself"})
ADDRESS = "getent ahostsv4 {host} | head -1 | cut -d' ' -f1"
#: db2 is the primary when these tests begin; the standby hears nothing more of it, while applications still do.
CUT_OFF = "ip route add blackhole $(" + ADDRESS.format(host="db1") + ")"
RECONNECT = "ip route del blackhole $(" + ADDRESS.format(host="db1") + ")"
#: The standby finds nobody at the primary's name any more; what is connected stays so.
LOST = "echo 192.0.2.1 db2 >> /etc/hosts"
FOUND = "grep -v 192.0.2.1 /etc/hosts > /root/hosts; cat /root/hosts > /etc/hosts; rm /root/hosts"


def test_failover_with_a_live_writer_measures_the_loss_and_failback_saves_it(
    failover: Procedure, failback: Procedure
) -> None:
    with live_clients() as seen:
        shell("db2", f"{CUT_OFF}; sleep 2; systemctl kill --signal=KILL {UNIT}; sleep 1")
        outcome = failover.run()
    shell("db2", RECONNECT)
    assert outcome.returncode == 0, outcome.output
    assert roles() == {"db1": "primary", "db2": "down"}
    lost = set(seen.acknowledged) - stored("db1")
    assert lost
    assert len(seen.acknowledged) > len(lost)
    point = finding(outcome, "recovery point (RPO)")
    assert point["metrics"]["lost_commits"] >= len(lost)
    # A commit whose answer the client never got is lost too, and so are some of the server's own (statistics).
    assert point["metrics"]["lost_commits"] <= len(lost) + 6
    assert 0.5 < point["observed"] < 30
    time = finding(outcome, "recovery time (RTO)")
    assert time["status"] == "ok"
    assert 0 < time["metrics"]["promoted_to_write_seconds"] <= time["observed"]
    assert finding(outcome, "redundancy")["status"] == "warning"

    # Nobody gets the old primary started.
    said = start_attempts("db2")
    assert role("db2") == "down", said
    assert refuses_writes("db2")

    query("db1", "ALTER SYSTEM SET primary_slot_name = 'elsewhere'")
    # The primary has nothing to do, and begins another segment of its log after each checkpoint.
    query("db1", "ALTER SYSTEM SET archive_timeout = 1")
    query("db1", "SELECT pg_reload_conf()")
    back = failback.run()
    assert back.returncode == 0, back.output
    query("db1", "ALTER SYSTEM RESET archive_timeout")
    query("db1", "SELECT pg_reload_conf()")
    assert roles() == {"db1": "primary", "db2": "standby"}
    assert refuses_writes("db2")
    assert stored("db2") == stored("db1")
    shell("db2", "! grep -q elsewhere /var/lib/postgresql/15/main/postgresql.auto.conf")
    saved = shell("db2", "cat /var/lib/ops-runbook/database/diverged/*/evidence.evidence.jsonl").splitlines()
    assert lost <= {json.loads(line)["id"] for line in saved}
    assert finding(back, "recovery point (RPO)")["metrics"]["lost_commits"] == point["metrics"]["lost_commits"]
    measured = {found["check"]: found for found in back.record["findings"] if found.get("type") == "objective"}
    took = measured["recovery time (RTO)"]
    assert (took["status"], took["expected"]) == ("ok", "<= 1h")
    assert 1 < took["observed"] < back.record["duration"]


def test_failover_from_a_host_that_cannot_be_reached(failover: Procedure, failback: Procedure) -> None:
    """Refused until somebody vouches for it; switched on again, it does not start as a second primary."""
    power("db1", "off")
    refused = failover.run()
    assert refused.record["outcome"] == "refused", refused.output
    assert "disaster_recovery_override" in refused.output
    assert role("db2") == "standby"

    looked = Untouched.hosts("db2", "app1", "app2", "proxy1")
    predicted = failover.run("-e", OVERRIDE, *LOOK)
    assert looked.changes == {}
    outcome = failover.run("-e", OVERRIDE, "--diff")
    assert outcome.returncode == 0, outcome.output
    assert same_changes(predicted, outcome), repr(same_changes(predicted, outcome))
    assert role("db2") == "primary"
    assert "I pulled its plug myself" in finding(outcome, "fencing")["title"]

    power("db1", "on")
    await_boot("db1")
    assert "another host is the primary" in shell("db1", f"journalctl -u {UNIT} --no-pager")
    assert roles() == {"db1": "down", "db2": "primary"}
    assert refuses_writes("db1")

    rebuild = "-e", "disaster_recovery_method=rebuild", "--diff"
    looked = Untouched.hosts(*HOSTS)
    predicted = failback.run(*rebuild, "--check")
    assert looked.changes == {}
    back = failback.run(*rebuild)
    assert back.returncode == 0, back.output
    assert same_changes(predicted, back), repr(same_changes(predicted, back))
    assert roles() == {"db1": "standby", "db2": "primary"}
    assert refuses_writes("db1")


def test_second_run_changes_nothing(failover: Procedure, failback: Procedure) -> None:
    """A primary that serves is not failed over from, and a standby that follows is not brought back again."""
    refused = failover.run()
    assert refused.record["outcome"] == "refused", refused.output
    assert "disaster_recovery_switchover.yml" in refused.output
    again = failback.run()
    assert again.changes == (), again.output
    assert roles() == {"db1": "standby", "db2": "primary"}


def test_failover_behind_a_fence_that_lies_then_one_that_is_proven(failover: Procedure) -> None:
    """The primary serves and cannot be reached; later the controller dies when it is off and nobody writes."""
    switch = power_switch()
    cut_off_from_controller("db2")
    with live_clients() as seen:
        refused = failover.run("-e", json.dumps(switch))
    assert refused.record["outcome"] == "refused", refused.output
    assert "db2 cannot be reached from here, but it answers db1: it is alive" in " ".join(refused.output.split())
    assert seen.failed == []
    assert is_on("db2")

    shell("db1", LOST)
    lying = {**switch, "disaster_recovery_fence_command": ["true"], "disaster_recovery_timeout": 2}
    with live_clients() as seen:
        failed = failover.run("-e", json.dumps(lying))
    assert failed.record["outcome"] == "failed", failed.output
    assert "nothing proves that db2 is off" in " ".join(failed.output.split())
    # The one that may still serve goes on alone, and is written to again.
    assert roles() == {"db1": "standby", "db2": "primary"}
    assert seen.failed == []
    assert seen.refused > 0
    assert set(seen.acknowledged) <= stored("db2")
    for host in ("app1", "app2"):
        shell(host, "! test -e /etc/evidence-api/read-only")

    cut = failover.killed_at("Make the standby the primary", "-e", json.dumps(switch))
    assert cut.killed
    assert cut.record["outcome"] == "interrupted"
    assert not is_on("db2")
    outcome = failover.run("-e", json.dumps(switch))
    assert outcome.returncode == 0, outcome.output
    assert role("db1") == "primary"
    with live_clients() as seen:
        pass
    assert seen.acknowledged
    assert seen.failed == []

    shell("db1", FOUND)
    power("db2", "on")
    await_boot("db2")
    assert roles() == {"db1": "primary", "db2": "down"}
    assert refuses_writes("db2")


def test_failback_of_a_host_whose_log_is_gone(failback: Procedure) -> None:
    """Nobody knew the slot of a host that could not be reached, so the new primary has kept nothing for it."""
    assert query("db1", "SELECT count(*) FROM pg_replication_slots") == "0"
    for _ in range(2):
        query("db1", "SELECT pg_switch_wal(); CHECKPOINT")
    rewind = failback.run("-e", "disaster_recovery_method=rewind")
    assert rewind.record["outcome"] == "failed", rewind.output
    assert "has to be copied anew, with method rebuild" in " ".join(rewind.output.split())
    assert roles() == {"db1": "primary", "db2": "down"}
    back = failback.run()
    assert back.returncode == 0, back.output
    assert "rebuilt" in finding(back, "redundancy")["title"]
    assert roles() == {"db1": "primary", "db2": "standby"}


def test_two_primaries_are_refused(failover: Procedure, failback: Procedure) -> None:
    """Somebody promoted the standby by hand."""
    shell("db2", "pg_ctlcluster 15 main promote")
    assert roles() == {"db1": "primary", "db2": "primary"}
    for refused in (failover.run(), failback.run("-e", "disaster_recovery_standby=db2")):
        assert refused.record["outcome"] == "refused", refused.output
        assert "both accept writes" in " ".join(refused.output.split())
    assert roles() == {"db1": "primary", "db2": "primary"}
