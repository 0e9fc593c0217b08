# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tests of the findings on time and loss."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.ops.runbook.plugins.plugin_utils.disaster_findings import RPO, RTO, report
from ansible_collections.ops.runbook.plugins.plugin_utils.disaster_plan import Plan

NOW = 200.0
PROMISED = {"rto": "60s", "rpo": "5s"}
KINDS = ("fenced", "promoted", "followed", "measured", "power", "probe")
LOST = {"commits": 3, "first": "2026-11-23 21:00:01 UTC", "shared": "2026-11-23 21:00:00 UTC", "tables": []}


def results(**given: Any) -> dict[str, dict[str, Any]]:
    done = {"promoted": {"db2": {"promoted_at": 110.0}}, "probe": {"proxy1": {"accepted_at": 112.5}}}
    return {**{kind: {} for kind in KINDS}, **done, **given}


def plan(mode: str = "failover", **given: Any) -> dict[str, Any]:
    made = Plan(mode, "db2", promote=True, **given).to_dict()
    states = {"db1": {"role": "stopped"}, "db2": {"role": "standby", "guard": "x"}}
    return {**made, "began": 100.0, "states": states, "unreachable": []}


def found(check: str, plan: dict[str, Any], results: Any) -> Any:
    findings, _tables = report(plan, results, PROMISED, check=False, now=NOW)
    (finding,) = [finding for finding in findings if finding.check == check]
    return finding


@pytest.mark.parametrize(("outage", "status", "seconds"), [(100.0, "ok", 12.5), (30.0, "critical", 82.5)])
def test_time_counts_from_the_loss(outage: float, status: str, seconds: float) -> None:
    finding = found(RTO, plan(outage=outage), results(fenced={"db1": {"began": 105.0}}))
    assert (finding.status, finding.observed) == (status, seconds)
    assert finding.metrics["promoted_to_write_seconds"] == 2.5


def test_time_of_a_switchover_counts_from_the_stop() -> None:
    assert found(RTO, plan("switchover"), results(fenced={"db1": {"began": 105.0}})).observed == 7.5


@pytest.mark.parametrize(("second", "status"), [("03.5", "ok"), ("09", "critical")])
def test_loss_that_was_counted(second: str, status: str) -> None:
    lost = {**LOST, "last": f"2026-11-23 21:00:{second} UTC"}
    finding = found(RPO, plan(), results(measured={"db1": {"divergence": lost}}))
    assert finding.status == status
    assert finding.metrics["lost_commits"] == 3
    assert "3 commits of db1" in finding.title


def test_loss_that_nobody_can_count_is_a_warning_at_most() -> None:
    assert found(RPO, plan(outage=100.0, last_commit=20.0), results()).status == "warning"
    assert found(RPO, plan(outage=100.0, last_commit=98.0), results()).status == "ok"
    assert found(RPO, plan(), results()).status == "warning"


def test_a_switchover_loses_nothing() -> None:
    assert found(RPO, plan("switchover"), results()).observed == 0.0


def test_who_is_off_without_a_guard_is_named() -> None:
    made = plan(fence={"db1": "override"}, override="off at the rack")
    made["states"]["db2"]["guard"] = ""
    findings, _tables = report(made, results(), PROMISED, check=False, now=NOW)
    said = [finding.title for finding in findings if finding.check == "fencing"]
    assert len(said) == 2
    assert "second primary" in said[0]
    assert "off at the rack" in said[1]


def test_check_mode_shows_the_plan_alone() -> None:
    findings, tables = report(plan(fence={"db1": "host"}), results(), PROMISED, check=True, now=NOW)
    assert {finding.check for finding in findings} == {"database role"}
    assert tables[0]["rows"] == [["db1", "stopped", "fenced (host)"], ["db2", "standby", "primary"]]


def test_a_fence_that_failed_claims_nothing() -> None:
    nothing = results(promoted={}, probe={})
    findings, tables = report(plan(fence={"db1": "command"}), nothing, PROMISED, check=False, now=NOW)
    assert {finding.check for finding in findings} == {"database role"}
    assert [row[-1] for row in tables[0]["rows"]] == ["was to be fenced (command)", "not promoted"]


@pytest.mark.parametrize(("began", "status"), [(150.0, "ok"), (130.0, "critical")])
def test_time_of_a_failback_counts_until_the_standby_is_back(began: float, status: str) -> None:
    made = {**plan("failback", follow=["db1"]), "promote": False, "began": began}
    followed = results(followed={"db1": {"how": "rewound"}}, promoted={}, probe={})
    finding = found(RTO, made, followed)
    assert (finding.status, finding.observed, finding.type) == (status, NOW - began, "objective")
    assert "until db1 followed db2 again" in finding.title
    findings, _tables = report(made, results(promoted={}, probe={}), PROMISED, check=False, now=NOW)
    assert RTO not in {finding.check for finding in findings}, "it does not follow yet"
