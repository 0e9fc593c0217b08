from __future__ import annotations

import pytest
from ansible_collections.ops.runbook.plugins.module_utils.finding import Finding
from ansible_collections.ops.runbook.plugins.plugin_utils.verdict import judge


def made(*statuses: str) -> list[Finding]:
    return [Finding("api", f"app{number}", status) for number, status in enumerate(statuses)]


@pytest.mark.parametrize(
    ("fail_on", "failing"),
    [
        ("warning", {"warning", "unknown", "critical"}),
        ("unknown", {"unknown", "critical"}),
        ("critical", {"critical"}),
        ("never", set()),
    ],
)
def test_threshold(fail_on: str, failing: set[str]) -> None:
    for status in ("ok", "warning", "unknown", "critical"):
        assert bool(judge(made("ok", status), fail_on)) == (status in failing)


def test_message_names_each_finding_worst_first() -> None:
    assert judge(made("unknown", "ok", "critical"), "unknown").splitlines() == [
        "2 findings are unknown or worse:",
        "critical: api on app2",
        "unknown: api on app0",
    ]
    assert judge(made("critical"), "critical").splitlines()[0] == "1 finding is critical:"


def test_long_message_ends_in_a_pointer() -> None:
    lines = judge(made(*["critical"] * 30), "unknown").splitlines()
    assert len(lines) == 22
    assert lines[-1] == "and 10 more, in the report"


@pytest.mark.parametrize(
    ("fail_on", "fails"), [("warning", True), ("unknown", True), ("critical", False), ("never", False)]
)
def test_no_finding_at_all_is_unknown(fail_on: str, fails: bool) -> None:
    assert bool(judge([], fail_on)) == fails
