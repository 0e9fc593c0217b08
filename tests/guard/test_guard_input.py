"""What the guard cannot make sense of is refused, with the variable's name, before any host is touched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.scenario import Outcome, Procedure

#: Hosts at an address where nobody answers: whoever touches them says "unreachable", and is not refused.
UNREACHABLE = {"ansible_host": "127.0.0.1", "ansible_port": 1, "ansible_user": "nobody"}
WINDOW = {"name": "night", "days": ["sun"], "start": "02:00", "end": "04:00"}
ALWAYS = {"name": "always", "days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "start": "00:00", "end": "24:00"}

#: Case → what the inventory says, what the command line says, and what the error names.
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], list[str]]] = {
    "window with end before start": (
        {"objectives_change_windows": [ALWAYS, WINDOW | {"start": "22:00", "end": "02:00"}]},
        {},
        ["objectives_change_windows[1] (night)", "ends (02:00) before its start (22:00)", "02:00 next day"],
    ),
    "unknown time zone": (
        {"objectives_change_windows": [WINDOW | {"timezone": "Europe/Berln"}]},
        {},
        ["objectives_change_windows[0] (night)", "'Europe/Berln'", "did you mean 'Europe/Berlin'"],
    ),
    "unknown day": (
        {"objectives_change_windows": [WINDOW | {"days": ["sonntag"]}]},
        {},
        ["objectives_change_windows[0] (night)", "'sonntag', which is no day"],
    ),
    "freeze with end before start": (
        {
            "objectives_change_windows": [ALWAYS],
            "objectives_freezes": [{"name": "year end", "from": "2027-01-04", "until": "2026-12-18"}],
        },
        {},
        ["objectives_freezes[0] (year end)", "2026-12-18", "2027-01-04"],
    ),
    "no window at all": (
        {},
        {},
        ["change_guard_windows", "objectives_change_windows"],
    ),
    "pattern that is none": (
        {"objectives_change_windows": [ALWAYS], "objectives_change_ticket_pattern": "CHG-["},
        {},
        ["objectives_change_ticket_pattern", "'CHG-['"],
    ),
    "ticket that does not match": (
        {"objectives_change_windows": [ALWAYS], "objectives_change_ticket_pattern": "CHG-[0-9]+"},
        {"runbook_ticket": "none"},
        ["runbook_ticket", "'none'", "CHG-[0-9]+"],
    ),
    "lock that expires too early": (
        {"objectives_change_windows": [ALWAYS], "objectives_change_lock_minutes": 0},
        {},
        ["objectives_change_lock_minutes is 0"],
    ),
    "lock minutes that are none": (
        {"objectives_change_windows": [ALWAYS], "objectives_change_lock_minutes": "two hours"},
        {},
        ["change_guard_lock_minutes", "two hours"],
    ),
    "expected time of nothing": (
        {"objectives_change_windows": [ALWAYS]},
        {"guarded_minutes": 0},
        ["change_guard_expected_minutes is 0"],
    ),
    "procedure that is none": (
        {"objectives_change_windows": [ALWAYS]},
        {"change_guard_procedure": "../../etc"},
        ["change_guard_procedure is '../../etc'"],
    ),
    "break-glass without a reason": (
        {"objectives_change_windows": []},
        {"runbook_break_glass": "urgent"},
        ["runbook_break_glass is 'urgent'", "at least 3 words"],
    ),
    "break-glass from the inventory": (
        {"objectives_change_windows": [], "runbook_break_glass": "this is always urgent"},
        {},
        ["runbook_break_glass", "not in an inventory"],
    ),
    "window from the command line": (
        {"objectives_change_windows": []},
        {"objectives_change_windows": [ALWAYS]},
        ["objectives_change_windows is given on the command line", "runbook_break_glass"],
    ),
    "hosts to lock from the command line": (
        {"objectives_change_windows": [ALWAYS]},
        {"change_guard_hosts": []},
        ["change_guard_hosts is given on the command line"],
    ),
    "expected time from the command line": (
        {"objectives_change_windows": [ALWAYS]},
        {"change_guard_expected_minutes": 0.01},
        ["change_guard_expected_minutes is given on the command line"],
    ),
    "ticket from the inventory": (
        {"objectives_change_windows": [ALWAYS], "runbook_ticket": "CHG-1"},
        {},
        ["change_guard_ticket is 'CHG-1'", "-e runbook_ticket="],
    ),
    "unknown host to lock": (
        {"objectives_change_windows": [ALWAYS], "change_guard_hosts": ["app1", "ap2"]},
        {},
        ["change_guard_hosts names 'ap2'", "'app2'"],
    ),
}


def run_on(groups: dict[str, Any], given: dict[str, Any], folder: Path) -> Outcome:
    """A run of the small change with this inventory and this command line."""
    path = folder / "hosts.json"
    path.write_text(json.dumps(groups), encoding="utf-8")
    playbook = Path(__file__).with_name("change.yml")
    return Procedure("tests/change", (path,), folder / "state", playbook).run("--extra-vars", json.dumps(given))


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        (
            {"objectives_freezes": [{"name": "audit", "from": "2026-01-01", "until": "2099-12-31"}]},
            "on proxy1: changes are frozen until",
        ),
        ({"change_guard_approvals": 2}, "proxy1 will be touched too, with 2 approvals: add them to --limit"),
    ],
)
def test_rules_of_a_host_that_is_only_locked(tmp_path: Path, rules: dict[str, Any], words: str) -> None:
    """The application's hosts are drained at a proxy that is none of the play's hosts."""
    always = {"objectives_change_windows": [ALWAYS]}
    groups = {
        "app": {"hosts": {"app1": UNREACHABLE}, "vars": {**always, "change_guard_hosts": ["app1", "proxy1"]}},
        "proxy": {"hosts": {"proxy1": {**UNREACHABLE, **always, **rules}}},
    }
    run = run_on(groups, {}, tmp_path)
    assert (run.returncode, run.record["outcome"]) == (2, "refused"), run.output
    assert words in run.record["refusal"]
    assert run.changes == ()


@pytest.mark.parametrize("case", CASES)
def test_refused(tmp_path: Path, case: str) -> None:
    inventory, given, words = CASES[case]
    groups = {"app": {"hosts": {"app1": UNREACHABLE, "app2": UNREACHABLE}, "vars": inventory}}
    run = run_on(groups, given, tmp_path)
    assert (run.returncode, run.record["outcome"]) == (2, "refused"), run.output
    assert [word for word in words if word not in run.record["refusal"]] == [], run.record["refusal"]
    assert run.changes == ()
