# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From the probe's answers to findings: values are compared with thresholds, and every check gets its finding."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.ops.runbook.plugins.module_utils.finding import STATUSES, Finding
from ansible_collections.ops.runbook.plugins.module_utils.probe import MARK
from ansible_collections.ops.runbook.plugins.plugin_utils.checks import CHECK_TYPES, REMEDY_PAGE, Quantity
from ansible_collections.ops.runbook.plugins.plugin_utils.checks_units import format_amount

#: Name of the finding about the host itself.
REACHABLE = "reachable"
#: Its metric that tells when the sweep began: of what happened later, the host may have told nothing.
ASKED = "asked_timestamp_seconds"


def parse_answers(output: str) -> tuple[dict[str, dict[str, Any]], bool]:
    """The probe's answers by check name among whatever else was printed, and whether it came to its end."""
    answers: dict[str, dict[str, Any]] = {}
    complete = False
    for line in output.splitlines():
        if not line.startswith(MARK):
            continue
        try:
            answer = json.loads(line[len(MARK) :])
        except ValueError:
            continue  # cut off in the middle: the check counts as unanswered
        if answer.pop("done", False):
            complete = True
        else:
            answers[answer.pop("name")] = answer
    return answers, complete


def _exceeds(limit: Mapping[str, Any], value: float) -> bool:
    number: float = limit["number"]
    return value < number if limit["falling"] else value >= number


def _crossed(check: Mapping[str, Any], answer: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Status and sentence of every aspect that is beyond a threshold, each with its worst."""
    worst: dict[str, tuple[str, str]] = {}
    for limit in check["limits"]:
        value = answer["values"].get(limit["value"])
        if value is None or not _exceeds(limit, value):
            continue
        seen = format_amount(value, limit["kind"])
        bound = f"{'below' if limit['falling'] else 'from'} {format_amount(limit['number'], limit['kind'])}"
        text = answer["title"] if not limit["aspect"] else f"{limit['label']}: {seen} ({limit['level']} {bound})"
        worst[limit["aspect"]] = (limit["level"], text)  # warning comes before critical
    return list(worst.values())


def _expected(limits: Sequence[Mapping[str, Any]]) -> str:
    """What would be ok: 'used below 80 %, replication lag below 10 MiB'."""
    parts, told = [], set()
    for limit in limits:
        if limit["aspect"] in told:
            continue
        told.add(limit["aspect"])
        amount = format_amount(limit["number"], limit["kind"])
        if limit["number"] == 0 and not limit["falling"]:
            parts.append(f"not {limit['label']}")
        else:
            parts.append(f"{limit['label']} {'at least' if limit['falling'] else 'below'} {amount}")
    return ", ".join(parts)


def _main_quantity(check: Mapping[str, Any]) -> Quantity | None:
    """The quantity that the finding shows: that of the check's own thresholds, or the type's first."""
    aspect = CHECK_TYPES[check["type"]].aspects.get("")
    if not aspect:
        return None
    named = [limit["value"] for limit in check["limits"] if not limit["aspect"]]
    return next((quantity for quantity in aspect.quantities if quantity.value in named[-1:]), aspect.quantities[0])


def _observed(check: Mapping[str, Any], answer: Mapping[str, Any]) -> tuple[float | None, str]:
    quantity = _main_quantity(check)
    if quantity is None or quantity.value not in answer["values"]:
        return None, ""
    return round(answer["values"][quantity.value] / quantity.scale, 3), quantity.unit


def judge(check: Mapping[str, Any], answer: Mapping[str, Any] | None, host: str, missing: str = "") -> Finding:
    """The finding of one check; ``missing`` is why there is no answer."""
    common = {
        "check": check["name"],
        "host": host,
        "type": check["type"],
        "remedy": check["remedy"],
        "controls": tuple(check["controls"]),
        "expected": _expected(check["limits"]),
    }
    if answer is None:
        return Finding(**common, status="unknown", title=missing or "the host gave no answer")
    seconds = float(answer.get("seconds", 0))
    if "unknown" in answer:
        return Finding(**common, status="unknown", title=answer["unknown"], duration=seconds)
    problems = [tuple(fault) for fault in answer["faults"]] + _crossed(check, answer)
    status = max((level for level, _text in problems), key=STATUSES.index, default="ok")
    ordered = sorted(problems, key=lambda problem: -STATUSES.index(problem[0]))
    title = "; ".join(dict.fromkeys(text for _level, text in ordered)) or answer["title"]
    observed, unit = _observed(check, answer)
    return Finding(
        **common,
        status=status,
        title=title,
        observed=observed,
        unit=unit,
        detail=answer["detail"].strip(),
        duration=seconds,
        metrics=answer["metrics"],
    )


def reachable(host: str, duration: float, asked: float) -> Finding:
    """The finding for a host that answered."""
    return Finding(
        check=REACHABLE,
        host=host,
        status="ok",
        title=f"answered in {format_amount(duration, 'duration')}",
        observed=round(duration, 3),
        unit="s",
        remedy=f"{REMEDY_PAGE}#{REACHABLE}",
        type=REACHABLE,
        duration=round(duration, 3),
        metrics={"round_trip_seconds": round(duration, 3), ASKED: round(asked, 3)},
    )


def unreachable(host: str, title: str, detail: str, duration: float, status: str = "critical") -> Finding:
    """The finding for a host that could not be examined: the one thing wrong that is known about it."""
    return Finding(
        check=REACHABLE,
        host=host,
        status=status,
        title=title,
        detail=detail.strip()[-2000:],
        expected="the host can be logged in to and runs the probe",
        remedy=f"{REMEDY_PAGE}#{REACHABLE}",
        type=REACHABLE,
        duration=round(duration, 3),
    )
