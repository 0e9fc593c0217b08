# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""In which points a run differs from the plan that was approved, in words."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.ops.runbook.plugins.plugin_utils.change_plan import Plan, PlanError, stable, work_tree

#: How many differing changes one message lists.
MOST = 10
_SHOWN = 100

Change = Mapping[str, Any]


def inputs(approved: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The inputs that differ; empty where none does."""
    found = [
        f"{name}: approved is {approved[name]}, this run is {now[name]}"
        for name in ("procedure", "playbook")
        if approved[name] != now[name]
    ]
    if approved["version"] != now["version"]:
        found.append(f"commit: approved is {_version(approved)}, this run is {_version(now)}")
    if approved["inventory_sha256"] != now["inventory_sha256"]:
        found.append("inventory: a group, a host or a variable is not as it was when the plan was made")
    if approved["limit"] != now["limit"]:
        found.append(f"limit: approved is {_limit(approved)}, this run has {_limit(now)}")
    found += _hosts(approved["hosts"], now["hosts"])
    if approved["options"] != now["options"]:
        found.append(f"options: approved are {_json(approved['options'])}, this run has {_json(now['options'])}")
    found += _variables(approved["variables"], now["variables"])
    return found


def changes(approved: Iterable[Change], predicted: Iterable[Change]) -> list[str]:
    """The changes that differ, host by host; empty where none does."""
    before, after = _by_host(approved), _by_host(predicted)
    found = [
        line for host in sorted({*before, *after}) for line in _of(host, before.get(host, []), after.get(host, []))
    ]
    return found[:MOST] + ([f"and {len(found) - MOST} more"] if len(found) > MOST else [])


def deviations(body: Mapping[str, Any]) -> list[str]:
    """In which changes the run with this record was not what its plan said; empty where it made exactly those."""
    try:
        plan = Plan.read(Path(body["approval"]["plan"]))
    except PlanError as error:
        return [f"not compared: {error}"]
    if plan.digest != body["approval"]["sha256"]:
        return ["not compared: the plan's file was replaced during the run"]
    made = stable(body["changes"], work_tree(Path(body["what"]["playbook"])))
    without = [[{**change, "diff": []} for change in found] for found in (plan.changes, made)]
    before, after = (_by_host(found) for found in without)
    return [
        line.replace("would be done now", "was done").replace("would not be done now", "was not done")
        for host in sorted({*before, *after})
        for line in _of(host, before.get(host, []), after.get(host, []))
    ]


def _version(values: Mapping[str, Any]) -> str:
    return " ".join(str(value) for value in values["version"].values()) or "unknown"


def _limit(values: Mapping[str, Any]) -> str:
    return f"--limit {values['limit']}" if values["limit"] else "none"


def _hosts(approved: list[str], now: list[str]) -> Iterator[str]:
    more, fewer = sorted(set(now) - set(approved)), sorted(set(approved) - set(now))
    if more:
        yield f"hosts: {', '.join(more)} not approved"
    if fewer:
        yield f"hosts: {', '.join(fewer)} approved and not in this run"


def _variables(approved: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted({*approved, *now}):
        if name not in approved:
            # Its value may be a secret: a plan with one would not have been saved.
            yield f"variables: {name} is given and not approved"
        elif name not in now:
            yield f"variables: {name} is approved as {_json(approved[name])} and not given"
        elif approved[name] != now[name]:
            yield f"variables: {name} is approved as {_json(approved[name])} and given with another value"


def _by_host(events: Iterable[Change]) -> dict[str, list[Change]]:
    found: dict[str, list[Change]] = {}
    for event in events:
        found.setdefault(str(event["host"]), []).append(event)
    return found


def _of(host: str, approved: list[Change], predicted: list[Change]) -> Iterator[str]:
    """What differs on one host. Changes are told apart by what they are about, and then by what they do."""
    before, after = [_about(change) for change in approved], [_about(change) for change in predicted]
    for step, start, end, other, last in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if step == "equal":
            for old, new in zip(approved[start:end], predicted[other:last], strict=True):
                if old != new:
                    yield f"{host}: {_name(old)} would now do something else: {_first_difference(old, new)}"
            continue
        yield from (f"{host}: {_name(change)} is approved and would not be done now" for change in approved[start:end])
        yield from (
            f"{host}: {_name(change)} would be done now and is not approved" for change in predicted[other:last]
        )


def _about(change: Change) -> tuple[str, ...]:
    return tuple(str(change.get(name, "")) for name in ("task", "action", "subject", "item"))


def _name(change: Change) -> str:
    about = [str(change[name]) for name in ("subject", "item") if change.get(name)]
    return f"'{change['task']}'" + (f" ({_short(', '.join(about))})" if about else "")


def _first_difference(old: Change, new: Change) -> str:
    """The first lines that differ; both come from plans, so they hold no secrets."""
    before, after = old.get("diff", []), new.get("diff", [])
    number = next((at for at, pair in enumerate(zip(before, after, strict=False)) if pair[0] != pair[1]), None)
    if number is None:
        number = min(len(before), len(after))
    lines = [_short(diff[number]) if number < len(diff) else "nothing" for diff in (before, after)]
    return f"line {number + 1} of the difference is approved as {lines[0]!r} and is now {lines[1]!r}"


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _json(value: Any) -> str:
    return _short(json.dumps(value, sort_keys=True))
