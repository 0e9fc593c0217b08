from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.ops.runbook.plugins.plugin_utils.dependency_report import Result, findings, tables

PLAN = {"remark": "3 packages audited by osv, 0 accepted advisories.", "audit": []}
NOTHING: dict[str, Any] = {}


def step(**changes: Any) -> dict[str, Any]:
    moves = [["click", "8.3", "8.5"], ["new", "", "1"]]
    return {"former": "old", "release": "new", "pending": True, "moves": moves, **changes}


SWITCHED = Result(step(), {"changed": True, "seconds": 0.5}, {"changed": True, "removed": ["oldest"]}, NOTHING)
PUT_BACK = Result(step(), NOTHING, NOTHING, {"changed": True, "seconds": 0.25})
NOT_SWITCHED = Result(step(), NOTHING, NOTHING, {"changed": False})
NOT_BEGUN = Result(step(), NOTHING, NOTHING, NOTHING)
UP_TO_DATE = Result(step(pending=False, release="old", moves=[]), NOTHING, NOTHING, NOTHING)
IN_DOUBT = Result(step(), NOTHING, NOTHING, {"failed": True, "msg": "release old is gone"})
CONCLUDED = Result(step(), {"changed": False}, {"changed": False, "removed": []}, NOTHING)


@pytest.mark.parametrize(
    ("result", "word", "runs", "status"),
    [
        (SWITCHED, "switched", "new", "ok"),
        (CONCLUDED, "concluded", "new", "ok"),
        (PUT_BACK, "put back", "old", "critical"),
        (IN_DOUBT, "in doubt", "old or new", "critical"),
        (NOT_SWITCHED, "not switched", "old", "critical"),
        (NOT_BEGUN, "not begun", "old", "warning"),
        (UP_TO_DATE, "up to date", "old", "ok"),
    ],
)
def test_every_end_of_a_host(result: Result, word: str, runs: str, status: str) -> None:
    assert (result.word, result.runs) == (word, runs)
    found = findings({"app1": result}, PLAN, "it died", check=False)[0]
    assert (found.status, found.observed, bool(found.detail)) == (status, runs, status == "critical")
    assert bool(found.remedy) == (status != "ok")


def test_check_mode_says_what_would_be() -> None:
    found = findings({"app1": SWITCHED}, PLAN, "", check=True)[0]
    assert (found.status, found.title, found.observed) == ("ok", "would switch from old to new: 2 packages", "old")
    assert tables({"app1": SWITCHED}, PLAN, check=True)[1]["rows"][0][1] == "would be switched"


@pytest.mark.parametrize(
    ("result", "word"),
    [
        (NOT_BEGUN, "not begun"),
        (NOT_SWITCHED, "not predicted to the end"),
        (IN_DOUBT, "not predicted to the end"),
    ],
)
def test_check_mode_promises_nothing_for_a_host_that_it_did_not_come_through(result: Result, word: str) -> None:
    found = findings({"app1": result}, PLAN, "app1 is lost", check=True)[0]
    assert found.status != "ok"
    assert found.title == f"{word}: old runs"
    assert tables({"app1": result}, PLAN, check=True)[1]["rows"][0][1] == word


def test_tables_name_packages_with_their_hosts_and_measured_times() -> None:
    packages, releases = tables({"app1": SWITCHED, "app2": PUT_BACK, "app3": UP_TO_DATE}, PLAN, check=False)
    assert packages["rows"] == [["click", "8.3", "8.5", "app1, app2"], ["new", "—", "1", "app1, app2"]]
    assert releases["rows"] == [
        ["app1", "switched", "old", "new", "0.50 s", "—", "oldest"],
        ["app2", "put back", "old", "new", "—", "0.25 s", "—"],
        ["app3", "up to date", "old", "old", "—", "—", "—"],
    ]
    assert [table["title"] for table in tables({"app3": UP_TO_DATE}, PLAN, check=False)] == ["Releases"]


@pytest.mark.parametrize(
    ("plan", "status"),
    [
        (PLAN, "ok"),
        ({"remark": "NOT AUDITED: it cannot wait", "audit": ["osv: refused"]}, "warning"),
        ({"remark": "3 packages audited by osv, 1 accepted advisories.", "audit": ["flask 1.0: X"]}, "warning"),
    ],
)
def test_what_is_not_clean_is_a_warning(plan: dict[str, Any], status: str) -> None:
    audit = findings({"app1": UP_TO_DATE}, plan, "", check=False)[-1]
    assert (audit.check, audit.status, audit.title) == ("dependency advisories", status, plan["remark"])
