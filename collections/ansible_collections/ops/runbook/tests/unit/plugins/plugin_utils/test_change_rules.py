"""What the guard refuses, and that each error names its variable."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from ansible_collections.ops.runbook.plugins.plugin_utils.change_rules import Ruling, rule
from ansible_collections.ops.runbook.plugins.plugin_utils.role_options import HostOptions

EVENING = {"name": "evening", "days": ["mon"], "start": "20:00", "end": "23:00"}
INSIDE = datetime(2026, 11, 23, 21, tzinfo=UTC)
OUTSIDE = datetime(2026, 11, 23, 12, tzinfo=UTC)
REASON = "the database runs full"


def values(**more: Any) -> dict[str, Any]:
    """Valid options of a host, changed."""
    valid = {
        "procedure": "maintenance/security_updates",
        "expected_minutes": 30.0,
        "windows": [EVENING],
        "freezes": [],
        "timezone": "UTC",
        "ticket": "",
        "ticket_pattern": "",
        "break_glass": "",
        "lock_minutes": 120,
    }
    return {f"change_guard_{name}": value for name, value in (valid | more).items()}


def judged(now: datetime = INSIDE, extra_vars: dict[str, Any] | None = None, **more: Any) -> Ruling:
    hosts = [HostOptions(name, values(**more)) for name in ("app1", "app2")]
    return rule(hosts, extra_vars or {}, now)


def test_admitted() -> None:
    assert judged() == Ruling()


WRONG: dict[str, tuple[dict[str, Any], list[str]]] = {
    "procedure": ({"procedure": "Security updates"}, ["change_guard_procedure", "'Security updates'"]),
    "no time": ({"expected_minutes": 0.0}, ["change_guard_expected_minutes is 0"]),
    "negative time": ({"expected_minutes": -5.0}, ["change_guard_expected_minutes is -5"]),
    "no number": ({"expected_minutes": float("nan")}, ["change_guard_expected_minutes is nan"]),
    "endless": ({"expected_minutes": float("inf")}, ["change_guard_expected_minutes is inf"]),
    "lock that expires in the batch": (
        {"lock_minutes": 29},
        ["objectives_change_lock_minutes is 29", "change_guard_expected_minutes (30)"],
    ),
    "lock for ever": ({"lock_minutes": 10**9}, ["objectives_change_lock_minutes"]),
    "pattern": (
        {"ticket_pattern": "CHG-("},
        ["objectives_change_ticket_pattern is 'CHG-('", "not a regular expression"],
    ),
    "window": ({"windows": [EVENING | {"end": "19:00"}]}, ["objectives_change_windows[0] (evening)", "19:00", "20:00"]),
    "freeze": (
        {"freezes": [{"name": "x", "from": "2026-01-02", "until": "2026-01-01"}]},
        ["objectives_freezes[0] (x)"],
    ),
    "time zone": ({"timezone": "Mars/Base"}, ["objectives_change_windows[0]", "'Mars/Base'"]),
}


@pytest.mark.parametrize("case", WRONG)
def test_errors_name_the_variable(case: str) -> None:
    more, words = WRONG[case]
    ruling = judged(**more)
    assert [word for word in words if word not in ruling.errors[0]] == [], ruling.errors
    assert "on app1" not in ruling.errors[0]


@pytest.mark.parametrize(
    "name",
    [
        *("objectives_change_windows", "change_guard_freezes", "objectives_change_ticket_pattern"),
        *("change_guard_hosts", "objectives_change_lock_minutes", "security_updates_expected_minutes"),
    ],
)
def test_promises_are_not_lifted_from_the_command_line(name: str) -> None:
    [error] = judged(extra_vars={name: []}).errors
    assert error.startswith(f"{name} is given on the command line")


def test_ticket_of_the_inventory_is_none_of_this_run() -> None:
    [error] = judged(ticket="CHG-1").errors
    assert error.startswith("change_guard_ticket is 'CHG-1', but a ticket is for one run")
    assert judged(ticket="CHG-1", extra_vars={"runbook_ticket": "CHG-1"}).errors == []


def test_errors_of_the_options_themselves_are_passed_on() -> None:
    broken = HostOptions("app2", {}, ["missing required arguments: change_guard_procedure"])
    ruling = rule([HostOptions("app1", values()), broken], {}, INSIDE)
    assert ruling.errors == ["on app2: missing required arguments: change_guard_procedure"]


def test_outside_of_the_window() -> None:
    [refusal] = judged(OUTSIDE).refusals
    for words in ("no change window is open", "next window opens at Mon 2026-11-23 20:00 UTC", "runbook_break_glass"):
        assert words in refusal


def test_every_host_has_to_admit_it() -> None:
    other = values(windows=[EVENING | {"days": ["tue"]}])
    [refusal] = rule([HostOptions("app1", values()), HostOptions("db1", other)], {}, INSIDE).refusals
    assert refusal.startswith("on db1: no change window is open")


def test_break_glass_overrides_window_and_freeze_and_says_so() -> None:
    freeze = {"name": "year end", "from": "2026-11-01", "until": "2026-12-01"}
    ruling = judged(OUTSIDE, {"runbook_break_glass": REASON}, break_glass=REASON, freezes=[freeze])
    assert (ruling.errors, ruling.refusals, ruling.break_glass) == ([], [], REASON)
    assert "changes are frozen" in ruling.overridden[0]


def test_break_glass_inside_of_the_window_overrides_nothing() -> None:
    assert judged(INSIDE, {"runbook_break_glass": REASON}, break_glass=REASON).overridden == []


@pytest.mark.parametrize("reason", ["true", "urgent", "very urgent"])
def test_break_glass_needs_a_reason(reason: str) -> None:
    [error] = judged(OUTSIDE, {"runbook_break_glass": reason}, break_glass=reason).errors
    assert "runbook_break_glass is" in error
    assert "at least 3 words" in error


def test_break_glass_is_for_one_run() -> None:
    [error] = judged(OUTSIDE, break_glass=REASON).errors
    assert "not in an inventory" in error


def test_break_glass_does_not_replace_the_ticket() -> None:
    more = {"break_glass": REASON, "ticket_pattern": r"CHG-\d+"}
    [refusal] = judged(OUTSIDE, {"runbook_break_glass": REASON}, **more).refusals
    assert "runbook_ticket is missing" in refusal


@pytest.mark.parametrize(
    ("ticket", "said"),
    [("", "is missing"), ("CHG-12x", "is 'CHG-12x', which does not match"), ("see CHG-12", "which does not match")],
)
def test_ticket_has_to_match_as_a_whole(ticket: str, said: str) -> None:
    [refusal] = judged(extra_vars={"runbook_ticket": ticket}, ticket=ticket, ticket_pattern=r"CHG-\d+").refusals
    for words in ("runbook_ticket", said, repr(r"CHG-\d+"), "objectives_change_ticket_pattern"):
        assert words in refusal


def test_ticket_that_matches() -> None:
    given = {"runbook_ticket": "CHG-12"}
    assert judged(extra_vars=given, ticket="CHG-12", ticket_pattern=r"CHG-\d+") == Ruling()
