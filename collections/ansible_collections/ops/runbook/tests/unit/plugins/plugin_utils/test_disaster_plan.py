# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tests of the plan: who becomes the primary, who is fenced, and when nothing is done."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.ops.runbook.plugins.plugin_utils.disaster_plan import (
    Plan,
    RefusalError,
    Wishes,
    may_go_back,
    plan,
)

COMMON: dict[str, Any] = {"fenced": False, "slot": "db1", "system": "7", "source": True, "lsn": "0/5000"}
PRIMARY: dict[str, Any] = {**COMMON, "role": "primary", "lag_bytes": 0, "transaction_seconds": 0}
STANDBY: dict[str, Any] = {**COMMON, "role": "standby", "streaming": True, "slot": "db2", "last_commit": 90.0}
STOPPED: dict[str, Any] = {**COMMON, "role": "stopped", "clean": False, "checkpoint": "0/4000", "outage": 100.0}
AWAY: dict[str, Any] = {"role": "unreachable", "error": "No route to host", "fenced": False}
ALONE = {**STANDBY, "streaming": False}
#: Its source is away from the controller only.
ANSWERED = {**STANDBY, "source_answers": True}
FENCED = {**STOPPED, "fenced": True, "clean": True}


def planned(mode: str, db1: dict[str, Any], db2: dict[str, Any], **wishes: Any) -> Plan:
    return plan(mode, {"db1": db1, "db2": db2}, Wishes(**wishes))


def test_switchover_moves_everything() -> None:
    made = planned("switchover", PRIMARY, STANDBY, primary="db2")
    assert (made.promote, made.fence, made.follow, made.slots) == (True, {"db1": "host"}, ["db1"], ["db1"])


def test_switchover_that_is_done_has_no_work() -> None:
    assert not planned("switchover", PRIMARY, STANDBY, primary="db1").has_work


def test_switchover_goes_on_where_it_was_killed() -> None:
    made = planned("switchover", FENCED, ALONE, primary="db2")
    assert (made.promote, made.fence, made.follow) == (True, {"db1": "host"}, ["db1"])
    # After the promotion only the old primary is left to do.
    made = planned("switchover", FENCED, {**PRIMARY, "slot": "db2"}, primary="db2")
    assert (made.promote, made.fence, made.follow) == (False, {}, ["db1"])


@pytest.mark.parametrize(
    ("db1", "db2", "words"),
    [
        (AWAY, STANDBY, "a switchover needs every database host"),
        (PRIMARY, ALONE, "db2 does not stream from db1"),
        ({**PRIMARY, "lag_bytes": 11 * 2**20}, STANDBY, "11.0 MiB behind, at most 10"),
        ({**PRIMARY, "transaction_seconds": 16}, STANDBY, "a transaction on db1 is 16 s old, at most 15 s"),
        (STOPPED, ALONE, "there is no primary to switch over from"),
        ({**FENCED, "clean": False}, ALONE, "there is no primary to switch over from"),
        (PRIMARY, STOPPED, "db2 cannot become the primary"),
        (PRIMARY, {**STANDBY, "system": "8"}, "different databases"),
        (PRIMARY, PRIMARY, "db1 and db2 both accept writes"),
    ],
)
def test_switchover_is_refused(db1: dict[str, Any], db2: dict[str, Any], words: str) -> None:
    with pytest.raises(RefusalError, match=words):
        planned("switchover", db1, db2, primary="db2")


def test_failover_fences_on_the_host_where_it_can() -> None:
    made = planned("failover", STOPPED, ALONE)
    assert (made.primary, made.promote, made.fence) == ("db2", True, {"db1": "host"})
    assert (made.outage, made.last_commit) == (100.0, 90.0)


@pytest.mark.parametrize(
    ("wishes", "how"), [({"can_cut_power": True}, "command"), ({"override": "off at the rack"}, "override")]
)
def test_failover_from_a_host_that_cannot_be_reached(wishes: dict[str, Any], how: str) -> None:
    # A receiver whose source has lost its power believes for a minute that it streams.
    for standby in (ALONE, STANDBY):
        assert planned("failover", AWAY, standby, **wishes).fence == {"db1": how}


@pytest.mark.parametrize(
    ("db1", "db2", "wishes", "words"),
    [
        (AWAY, ALONE, {}, "nobody can prove"),
        (AWAY, ANSWERED, {"override": "off at the rack"}, "it is alive"),
        (AWAY, ANSWERED, {"can_cut_power": True}, "it answers db2: it is alive"),
        (AWAY, ALONE, {"override": "yes"}, "say in three words or more"),
        (PRIMARY, STANDBY, {}, "there is nothing to fail over from"),
        (PRIMARY, STANDBY, {"primary": "db2"}, "disaster_recovery_switchover.yml, which loses nothing"),
        (STOPPED, STOPPED, {}, "no standby can be promoted"),
        (STOPPED, ALONE, {"primary": "db3"}, "no database host"),
    ],
)
def test_failover_is_refused(db1: dict[str, Any], db2: dict[str, Any], wishes: dict[str, Any], words: str) -> None:
    with pytest.raises(RefusalError, match=words):
        planned("failover", db1, db2, **wishes)


def test_failover_that_is_done_has_no_work() -> None:
    assert not planned("failover", FENCED, {**PRIMARY, "slot": "db2"}).has_work


def test_failover_promotes_who_has_received_most() -> None:
    states = {"db1": STOPPED, "db2": ALONE, "db3": {**ALONE, "lsn": "1/0"}}
    assert plan("failover", states, Wishes()).primary == "db3"
    with pytest.raises(RefusalError, match="db3 has received more than db2"):
        plan("failover", states, Wishes(primary="db2"))


def test_failback_takes_whoever_does_not_follow() -> None:
    made = planned("failback", STOPPED, PRIMARY)
    assert (made.primary, made.follow, made.slots) == ("db2", ["db1"], ["db1"])
    assert not planned("failback", PRIMARY, STANDBY).has_work
    assert planned("failback", PRIMARY, {**STANDBY, "stray_slots": 1}).follow == ["db2"]


def test_failback_decides_between_no_two_primaries() -> None:
    with pytest.raises(RefusalError, match="both accept writes"):
        planned("failback", PRIMARY, PRIMARY, standby="db1")


@pytest.mark.parametrize(
    ("db1", "db2", "words"),
    [
        (AWAY, PRIMARY, "db1 cannot be reached: No route to host"),
        (STOPPED, ALONE, "there is no primary that could be followed"),
        ({**STOPPED, "source": False}, PRIMARY, "primary_conninfo is empty on db1"),
    ],
)
def test_failback_is_refused(db1: dict[str, Any], db2: dict[str, Any], words: str) -> None:
    with pytest.raises(RefusalError, match=words):
        planned("failback", db1, db2)


def test_prepare_guards_who_is_not() -> None:
    states = {"db1": {**PRIMARY, "guard": "digest"}, "db2": {**STANDBY, "guard": ""}}
    assert plan("prepare", states, Wishes(guard="digest")).guard == ["db2"]


def test_the_old_primary_serves_again_only_beside_standbys() -> None:
    assert may_go_back({"db1": STOPPED, "db2": ALONE}, "db1")
    for other in (AWAY, PRIMARY, STOPPED, {"role": "unresponsive"}):
        assert not may_go_back({"db1": STOPPED, "db2": other}, "db1")
