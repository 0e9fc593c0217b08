# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The rebuild of a platform against its promises."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ansible_collections.ops.runbook.plugins.plugin_utils.platform_report import Seen, findings, tables

BEGAN = 1_795_395_700.0  # 100 s after the snapshots


def source(host: str) -> dict[str, Any]:
    row = {"id": "x", "name": "x", "time": "2026-11-23T01:00:00Z", "host": host}
    return {"sources": {"configuration": row}}


ORDER = ["db1", "db2", "proxy1"]
PLAN: dict[str, Any] = {
    "order": ORDER,
    "jobs": {host: source(host) for host in ORDER},
    "database": {"primary": "db1", "standbys": ["db2"], "estimate": {"backup": "F", "moment": BEGAN - 40}},
    "entrances": ["proxy1"],
    "promised": {host: {"rto": "1m", "rpo": "1m"} for host in ORDER},
    "lost_at": 0.0,
}
STATES = {
    host: {"begun": BEGAN + number, "took": {"fetch": 5.0 + number, "start": 1.0}, "finished": BEGAN + 50}
    for number, host in enumerate(ORDER)
}
RESTORE = {
    "stopped": BEGAN + 20,
    "fetched": BEGAN + 25,
    "verified": BEGAN + 30,
    "opened": BEGAN + 31,
    "restored_rows": {"evidence.public.evidence": 7},
    "estimate": PLAN["database"]["estimate"],
}
SEEN = Seen(PLAN, STATES, RESTORE, {"db2": 3.0}, BEGAN + 58)


def measured(seen: Seen) -> dict[tuple[str, str], tuple[str, Any]]:
    found = findings(seen, check=False)
    return {(one.host, one.check.split()[1]): (one.status, one.observed) for one in found if one.type == "objective"}


def test_times_and_losses_of_every_host() -> None:
    assert measured(SEEN) == {
        ("db1", "time"): ("ok", 31.0),
        ("db2", "time"): ("ok", 50.0),
        ("proxy1", "time"): ("ok", 58.0),
        ("db1", "point"): ("ok", 40.0),
        ("proxy1", "point"): ("warning", 100.0),
    }


def test_from_the_loss_on_where_it_is_known() -> None:
    found = measured(replace(SEEN, plan={**PLAN, "lost_at": BEGAN - 30}))
    assert found["db1", "time"] == ("critical", 61.0)
    assert found["db1", "point"] == ("ok", 10.0)
    late = {**RESTORE, "estimate": {"backup": "F", "moment": BEGAN - 120}}
    assert measured(replace(SEEN, restore=late))["db1", "point"] == ("warning", 120.0)
    known = replace(SEEN, plan={**PLAN, "lost_at": BEGAN - 30}, restore=late)
    assert measured(known)["db1", "point"] == ("critical", 90.0)


def test_a_run_that_failed_says_how_far_it_came() -> None:
    states = {**STATES, "proxy1": {"begun": BEGAN, "took": {"fetch": 5.0, "packages": 6.0}}}
    found = {one.host: one for one in findings(replace(SEEN, states=states, accepted=0.0), check=False) if not one.type}
    assert found["db1"].status == "ok"
    assert found["proxy1"].status == "critical"
    assert "done: snapshot fetched, packages" in found["proxy1"].title


def test_check_mode_measures_nothing_and_a_second_run_neither() -> None:
    assert [one.title for one in findings(SEEN, check=True)] == ["would be rebuilt"] * 3
    idle = replace(SEEN, plan={**PLAN, "jobs": {}})
    assert [one.title for one in findings(idle, check=False)] == ["is rebuilt already"] * 3
    assert tables(idle, []) == []


def test_tables_have_the_steps_in_order() -> None:
    made = {table["title"]: table["rows"] for table in tables(SEEN, findings(SEEN, check=False))}
    assert [(row[0], row[2]) for row in made["Steps"]] == [
        ("snapshot fetched", "7.0"),
        ("database: backup fetched", "5.0"),
        ("database: log replayed, every row and page read", "5.0"),
        ("database: opened for clients", "1.0"),
        ("database: copied to db2", "3.0"),
        ("services started", "1.0"),
        ("services started", "1.0"),
        ("first write through the entrance, from the beginning", "58.0"),
    ]
    assert made["Rows that are back"] == [["evidence.public.evidence", "7"]]
    assert made["Rebuilt from"][-1][:3] == ["db1", "database", "F"]
    assert len(made["Against the objectives"]) == 5
