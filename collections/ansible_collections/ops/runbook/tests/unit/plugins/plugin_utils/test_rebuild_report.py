# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A rebuild against its promises."""

from __future__ import annotations

from typing import Any

from ansible_collections.ops.runbook.plugins.plugin_utils.rebuild_report import findings, tables

SOURCE = {"id": "abcdef", "name": "abc", "time": "2026-11-23T01:00:00.5Z", "host": "app2"}
PLAN: dict[str, Any] = {"host": "app2", "age": 60.0, "job": {"sources": {"configuration": SOURCE}}}


def test_promises_that_are_kept_are_said_as_well() -> None:
    found = findings(PLAN, 30.0, "30m", "1d", check=False)
    assert [(one.check, one.status, one.observed) for one in found[1:]] == [
        ("recovery time (RTO)", "ok", 30.0),
        ("recovery point (RPO)", "ok", 60.0),
    ]
    assert [table["title"] for table in tables(PLAN, found)] == ["Rebuilt from", "Against the objectives"]


def test_late_is_critical_and_old_a_warning() -> None:
    found = findings({**PLAN, "age": 90000.0}, 1801.0, "30m", "1d", check=False)
    assert [one.status for one in found] == ["ok", "critical", "warning"]


def test_nothing_is_measured_where_nothing_was_done() -> None:
    (would,) = findings(PLAN, 0.0, "30m", "1d", check=True)
    assert would.title == "The host would be rebuilt."
    (already,) = findings({**PLAN, "job": {}}, 0.0, "30m", "1d", check=False)
    assert already.title == "The host is rebuilt already."
    assert tables({**PLAN, "job": {}}, [already]) == []
