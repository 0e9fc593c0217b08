# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a change has to fulfil before it begins, and again before each batch: window, freezes, ticket, break-glass."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from ansible_collections.ops.runbook.plugins.plugin_utils import change_window, change_window_entries
from ansible_collections.ops.runbook.plugins.plugin_utils.role_options import HostOptions, by_hosts

#: The extra variables that say why a run is made; only these are recorded as its reasons.
TICKET = "runbook_ticket"
BREAK_GLASS = "runbook_break_glass"
#: A reason of fewer words explains nothing.
REASON_WORDS = 3
_LONGEST_MINUTES = 7 * 24 * 60
#: Where the role's variables come from, unless somebody sets them: that is what an operator corrects.
_SOURCES = {
    "change_guard_windows": "objectives_change_windows",
    "change_guard_freezes": "objectives_freezes",
    "change_guard_ticket_pattern": "objectives_change_ticket_pattern",
    "change_guard_lock_minutes": "objectives_change_lock_minutes",
}


#: What the inventory promises: nobody lifts it with -e, because that is what break-glass is for.
_PROMISED = (
    *("change_guard_windows", "change_guard_freezes", "change_guard_timezone", "change_guard_ticket_pattern"),
    *("objectives_change_windows", "objectives_freezes", "objectives_change_ticket_pattern"),
    *("change_guard_hosts", "change_guard_lock_minutes", "objectives_change_lock_minutes"),
)
#: How the variables end that say how long a batch takes: a shorter one would make room in every window.
_EXPECTED = "_expected_minutes"


@dataclass
class Ruling:
    """What the rules say about a run, or a batch of it."""

    #: Variables that make no sense; refused in check mode too.
    errors: list[str] = field(default_factory=list)
    #: Why the change may not begin now.
    refusals: list[str] = field(default_factory=list)
    #: What break-glass overrides.
    overridden: list[str] = field(default_factory=list)
    #: The reason for break-glass.
    break_glass: str = ""


def rule(hosts: Sequence[HostOptions], extra_vars: Mapping[str, Any], now: datetime, total: int = 0) -> Ruling:
    """Apply the rules of all hosts: the change needs every one of them to admit it.

    Reasons name their hosts unless they are those of all; C(total) says how many that is where these are not all.
    """
    ruling = Ruling()
    total = total or len(hosts)
    errors, closed, refusals = [], [], []
    for host in hosts:
        wrong = host.errors or _wrong(host.values, extra_vars)
        windows, entry_errors = _entries("change_guard_windows", host.values)
        freezes, freeze_errors = _entries("change_guard_freezes", host.values)
        errors += [(host.host, error) for error in [*wrong, *([] if host.errors else entry_errors + freeze_errors)]]
        if not errors:
            refusals += [(host.host, refusal) for refusal in _ticket(host.values)]
            verdict = change_window.judge(windows, freezes, now, _minutes(host.values["change_guard_expected_minutes"]))
            if verdict.reason:
                closed.append((host.host, f"{verdict.reason}; {verdict.opens}"))
    ruling.errors = by_hosts(errors, total)
    ruling.refusals = by_hosts(refusals, total)
    if not ruling.errors:
        ruling.break_glass = next((reason for host in hosts if (reason := _break_glass(host.values))), "")
        _outside(ruling, by_hosts(closed, total))
    return ruling


def _outside(ruling: Ruling, closed: list[str]) -> None:
    if ruling.break_glass:
        ruling.overridden = closed
    else:
        advice = f". If it cannot wait: -e \"{BREAK_GLASS}='the reason, which is recorded'\""
        ruling.refusals += [f"{reason}{advice}" for reason in closed]


def _wrong(values: Mapping[str, Any], extra_vars: Mapping[str, Any]) -> list[str]:
    """What is wrong with single values."""
    errors = [
        f"{name} is given on the command line, but only the inventory says when and how changes may be made; "
        f"if this one cannot wait, use {BREAK_GLASS}"
        for name in (*_PROMISED, *sorted(name for name in extra_vars if name.endswith(_EXPECTED)))
        if name in extra_vars
    ]
    procedure, expected, lock = (
        values[f"change_guard_{name}"] for name in ("procedure", "expected_minutes", "lock_minutes")
    )
    if not re.fullmatch(r"[a-z0-9_]+(/[a-z0-9_]+)*", procedure):
        errors.append(f"change_guard_procedure is {procedure!r}, not a path below playbooks/ without extension")
    if not (math.isfinite(expected) and 0 < expected <= _LONGEST_MINUTES):
        errors.append(
            f"change_guard_expected_minutes is {expected:g}; it lies above 0 and up to {_LONGEST_MINUTES}. "
            f"Where a procedure has a variable that ends in {_EXPECTED}, it is that one"
        )
    elif not expected <= lock <= _LONGEST_MINUTES:
        errors.append(
            f"{_named('change_guard_lock_minutes')} is {lock}; it lies between change_guard_expected_minutes "
            f"({expected:g}), so that no lock expires while a batch is at work, and {_LONGEST_MINUTES}"
        )
    return errors + _wrong_pattern(values) + _wrong_reason(values, extra_vars) + _wrong_ticket(values, extra_vars)


def _wrong_pattern(values: Mapping[str, Any]) -> list[str]:
    pattern = values.get("change_guard_ticket_pattern") or ""
    try:
        re.compile(pattern)
    except re.error as error:
        return [f"{_named('change_guard_ticket_pattern')} is {pattern!r}, not a regular expression: {error}"]
    return []


def _wrong_reason(values: Mapping[str, Any], extra_vars: Mapping[str, Any]) -> list[str]:
    reason = _break_glass(values)
    if not reason:
        return []
    if not str(extra_vars.get(BREAK_GLASS) or "").strip():
        return [
            f"change_guard_break_glass is {reason!r}, but break-glass is for one run and is recorded: "
            f"give it as -e {BREAK_GLASS}=..., not in an inventory or a playbook"
        ]
    if len(reason.split()) < REASON_WORDS:
        return [
            f"{BREAK_GLASS} is {reason!r}; it is a reason of at least {REASON_WORDS} words, for those who read it later"
        ]
    return []


def _wrong_ticket(values: Mapping[str, Any], extra_vars: Mapping[str, Any]) -> list[str]:
    ticket = str(values.get("change_guard_ticket") or "").strip()
    if not ticket or str(extra_vars.get(TICKET) or "").strip():
        return []
    return [
        f"change_guard_ticket is {ticket!r}, but a ticket is for one run and is recorded: give it as -e {TICKET}=..., "
        "not in an inventory or a playbook"
    ]


def _break_glass(values: Mapping[str, Any]) -> str:
    return str(values.get("change_guard_break_glass") or "").strip()


def _ticket(values: Mapping[str, Any]) -> list[str]:
    pattern = values.get("change_guard_ticket_pattern") or ""
    ticket = str(values.get("change_guard_ticket") or "").strip()
    if not pattern or re.fullmatch(pattern, ticket):
        return []
    said = f"{TICKET} is {ticket!r}, which does not match" if ticket else f"{TICKET} is missing; it has to match"
    return [f"{said} the pattern {pattern!r} of {_named('change_guard_ticket_pattern')}: give it as -e {TICKET}=..."]


def _entries(name: str, values: Mapping[str, Any]) -> tuple[list[change_window.Entry], list[str]]:
    return change_window_entries.read(
        _named(name), values.get(name) or [], str(values.get("change_guard_timezone") or "UTC")
    )


def _named(variable: str) -> str:
    """The variable that the inventory sets: the role's own is only its default's name here."""
    return _SOURCES.get(variable, variable)


def _minutes(value: float) -> timedelta:
    return timedelta(minutes=value)
