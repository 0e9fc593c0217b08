from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.ops.runbook.plugins.module_utils.probe import MARK
from ansible_collections.ops.runbook.plugins.plugin_utils.checks_judge import judge, parse_answers, reachable
from ansible_collections.ops.runbook.plugins.plugin_utils.checks_resolve import resolve


def answer(**changes: Any) -> dict[str, Any]:
    empty = {"title": "seen", "detail": "", "values": {}, "metrics": {}, "faults": [], "seconds": 0.1}
    return {**empty, **changes}


@pytest.mark.parametrize(
    ("used", "status"), [(79.9, "ok"), (80, "warning"), (89.9, "warning"), (90, "critical"), (100, "critical")]
)
def test_a_rising_value_is_bad_from_its_threshold_on(used: float, status: str) -> None:
    finding = judge(resolve("root", {"disk": "/"}), answer(values={"used_percent": used, "free_bytes": 1}), "h")
    assert (finding.status, finding.observed, finding.unit) == (status, used, "%")
    assert finding.expected == "space used below 80 %"


@pytest.mark.parametrize(
    ("days", "status"), [(31, "ok"), (30, "ok"), (29.9, "warning"), (6.9, "critical"), (-1, "critical")]
)
def test_a_falling_value_is_bad_below_its_threshold(days: float, status: str) -> None:
    finding = judge(resolve("c", {"certificate": "localhost:443"}), answer(values={"left": days * 86400}), "h")
    assert (finding.status, finding.observed, finding.unit) == (status, days, "days")
    assert finding.expected == "time left at least 30 days"


def test_free_space_is_judged_where_the_threshold_is_a_size() -> None:
    check = resolve("root", {"disk": "/", "warning": "2GiB", "critical": "1GiB"})
    seen = answer(values={"used_percent": 99.0, "free_bytes": 1.5 * 2**30})
    finding = judge(check, seen, "h")
    assert (finding.status, finding.observed, finding.unit) == ("warning", 1.5 * 2**30, "B")


def test_a_fault_is_bad_whatever_the_values_are_and_the_worst_comes_first() -> None:
    seen = answer(values={"used_percent": 85}, faults=[["critical", "/ is mounted read-only"]], title="/ is 85 % full")
    finding = judge(resolve("root", {"disk": "/"}), seen, "h")
    assert (finding.status, finding.title) == ("critical", "/ is mounted read-only; / is 85 % full")


def test_an_aspect_beyond_its_threshold_says_which_and_how_far() -> None:
    seen = answer(values={"lag": 45, "lag_bytes": 200 * 2**20, "retained_bytes": 0})
    finding = judge(resolve("r", {"replication": True}), seen, "h")
    assert finding.status == "critical"
    assert finding.title == (
        "replication lag: 200.0 MiB (critical from 100.0 MiB); replication lag: 45 s (warning from 30 s)"
    )


def test_no_answer_and_an_unobservable_check_are_unknown() -> None:
    check = resolve("root", {"disk": "/"})
    assert judge(check, None, "h", "the probe ended early").status == "unknown"
    finding = judge(check, {"unknown": "/: Permission denied", "seconds": 0.2}, "h")
    assert (finding.status, finding.title, finding.duration) == ("unknown", "/: Permission denied", 0.2)


def test_answers_are_found_among_other_output() -> None:
    lines = ["Welcome!", MARK + json.dumps({"name": "a", "title": "x"}), "noise", MARK + '{"name": "b", "ti']
    answers, complete = parse_answers("\n".join(lines))
    assert (answers, complete) == ({"a": {"title": "x"}}, False)
    assert parse_answers(MARK + '{"done": true}') == ({}, True)


def test_a_host_that_answers_has_a_finding_with_its_round_trip() -> None:
    finding = reachable("h", 0.25, 1764000000.5)
    assert (finding.status, finding.title, finding.metrics) == (
        "ok",
        "answered in 250 ms",
        {"round_trip_seconds": 0.25, "asked_timestamp_seconds": 1764000000.5},
    )
