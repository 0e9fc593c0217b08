from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.ops.runbook.plugins.module_utils.probe import Result, observe
from ansible_collections.ops.runbook.plugins.module_utils.probe_services import plugin


def run(command: Any) -> Result:
    return plugin({"subject": command})


@pytest.mark.parametrize(("code", "status"), [(1, "warning"), (2, "critical"), (3, "unknown"), (127, "unknown")])
def test_the_exit_status_is_the_status(code: int, status: str) -> None:
    result = run(f"echo 'DISK: bad'; exit {code}")
    assert [fault[0] for fault in result.faults] == [status]


def test_the_first_line_is_the_title_and_performance_data_are_metrics() -> None:
    result = run(["printf", r"LOAD OK - fine|load1=0.5;1;2 'free space'=12B used=83%%;90 time=1.2e-05s\n"])
    assert result.title == "LOAD OK - fine"
    assert result.faults == []
    assert result.metrics == {"load1": 0.5, "free_space_bytes": 12, "used_percent": 83, "time_seconds": 1.2e-05}


def test_text_below_the_first_line_is_no_performance_data() -> None:
    result = run(["printf", r"OK|a=1\nwritten with owner=5\nand more|b=2\nc=.5\n"])
    assert (result.title, result.detail) == ("OK", "written with owner=5\nand more")
    assert result.metrics == {"a": 1, "b": 2, "c": 0.5}


def test_a_plugin_that_says_nothing_is_still_a_result() -> None:
    assert run("true").title == "no output"
    assert run("echo problem >&2; exit 2").title == "problem"


def test_a_plugin_that_does_not_exist_is_unobservable() -> None:
    answer = observe({"name": "x", "type": "plugin", "options": {"subject": ["/no/such/plugin"]}})
    assert answer == {"unknown": "/no/such/plugin: No such file or directory"}
