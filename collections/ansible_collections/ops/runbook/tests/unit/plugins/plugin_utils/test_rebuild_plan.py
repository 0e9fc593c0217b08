# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From what a host is rebuilt, and when that is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from ansible_collections.ops.runbook.plugins.module_utils.backup_restic import moment
from ansible_collections.ops.runbook.plugins.plugin_utils.rebuild_plan import (
    RefusalError,
    age,
    job,
    machine_program,
    said,
    store_program,
)

OPTIONS: dict[str, Any] = {
    "host": "app2",
    "store": "store1",
    "port": 8000,
    "peers": ["app1"],
    "root": "/opt/api",
    "services": ["api.service"],
    "keep": [],
    "replace": False,
}
BARE: dict[str, Any] = {"state": {}, "store": "", "signs": []}


def snapshot(number: int, tag: str, bears: str = "") -> dict[str, Any]:
    """One that came in that day; it bears another time if somebody has given it one."""
    day = f"2026-11-2{number}T01:00:00.5Z"
    received = moment(day) + 60.0
    return {
        "id": f"{tag}{number}",
        "short_id": f"{tag[0]}{number}",
        "time": bears or day,
        "tags": [tag],
        "received": received,
    }


FORGED = [snapshot(5, "configuration", "2099-01-01T00:00:00Z"), snapshot(6, "configuration", "2001-01-01T00:00:00Z")]


STORED = {
    "snapshots": {
        "app2": [snapshot(1, "configuration"), snapshot(3, "configuration"), snapshot(2, "application")],
        "app1": [snapshot(4, "application")],
    },
    "wrong": {},
}


def planned(machine: dict[str, Any], stored: Any = None, **options: Any) -> dict[str, Any]:
    found = job({**OPTIONS, **options}, machine, stored or STORED, "no answer")
    assert found is not None
    return found


def test_the_newest_snapshots_of_the_host() -> None:
    found = planned(BARE)
    assert {tag: row["id"] for tag, row in found["sources"].items()} == {
        "configuration": "configuration3",
        "application": "application2",
    }
    assert found["number"] == 1


def test_the_release_of_a_peer_where_the_host_has_none() -> None:
    stored = {"snapshots": {**STORED["snapshots"], "app2": [snapshot(1, "configuration")]}, "wrong": {}}
    assert planned(BARE, stored)["sources"]["application"]["host"] == "app1"


def test_no_forged_snapshot_is_taken() -> None:
    """Neither one from the future, nor one that came in long after the time that it bears."""
    stored = {"snapshots": {"app2": [snapshot(1, "configuration"), *FORGED]}, "wrong": {}}
    assert planned(BARE, stored, root="")["sources"]["configuration"]["id"] == "configuration1"
    only = {"snapshots": {"app2": FORGED}, "wrong": {}}
    with pytest.raises(RefusalError, match="c5, c6 bear a time at which they did not come in"):
        planned(BARE, only, root="")


def test_the_snapshot_that_the_operator_names() -> None:
    named = {"configuration": "configuration1", "application": "application4"}
    found = planned(BARE, snapshots=named)["sources"]
    assert {tag: (row["id"], row["host"]) for tag, row in found.items()} == {
        "configuration": ("configuration1", "app2"),
        "application": ("application4", "app1"),
    }
    with pytest.raises(RefusalError, match=r"no configuration for app2 \(app2: c9 is none of c1, c3"):
        planned(BARE, snapshots={"configuration": "c9"})


def test_a_host_without_application_needs_no_release() -> None:
    assert list(planned(BARE, root="")["sources"]) == ["configuration"]


def test_a_rebuild_under_way_goes_on_with_its_own_snapshots() -> None:
    sources = {"configuration": {"id": "old", "time": "2026-11-20T01:00:00Z", "host": "app2"}}
    found = planned({"state": {"number": 4, "sources": sources}, "store": "", "signs": ["api.service runs"]})
    assert (found["number"], found["sources"]) == (4, sources)


def test_a_host_that_is_rebuilt_and_runs_has_nothing_to_do() -> None:
    machine = {"state": {"number": 1, "finished": 5.0}, "store": "", "signs": ["api.service runs"]}
    assert job(OPTIONS, machine, STORED, "") is None
    assert planned(machine, replace=True)["number"] == 2


@pytest.mark.parametrize(
    ("machine", "stored", "words"),
    [
        ({**BARE, "signs": ["api.service runs"]}, STORED, "app2 is not bare: api.service runs"),
        ({**BARE, "store": "refused"}, STORED, "app2 does not reach store1:8000"),
        (BARE, None, "store1, which has the backups, cannot be asked: no answer"),
        (BARE, {"snapshots": {}, "wrong": {}}, r"no configuration for app2 \(app2: no snapshot has the tag"),
        (
            BARE,
            {"snapshots": {}, "wrong": {"app2": "wrong password"}},
            r"no configuration for app2 \(app2: wrong password",
        ),
        (
            BARE,
            {"snapshots": {"app2": [snapshot(1, "configuration")]}, "wrong": {}},
            r"no application for app2 \(app2: no snapshot has the tag application; app1: no snapshot",
        ),
        ({**BARE, "state": {"number": 1, "finished": 5.0}}, STORED, "api.service does not run now"),
    ],
)
def test_refusals_say_why(machine: dict[str, Any], stored: Any, words: str) -> None:
    with pytest.raises(RefusalError, match=words):
        job(OPTIONS, machine, stored, "no answer")


def test_the_age_of_the_configuration() -> None:
    made = datetime(2026, 11, 23, 1, tzinfo=UTC).timestamp()
    assert age(planned(BARE), made + 60) == 60.0
    assert age(None, 5.0) == 0.0


def test_the_programs_are_python_and_their_answers_are_found() -> None:
    for program in (machine_program("store1", 8000, ["a.service"], ["/opt"]), store_program(["app2"], "/r", "/p")):
        compile(program, "program", "exec")
    assert said('hello\n@ops.runbook.rebuild {"a": 1}\n') == {"a": 1}
    assert said("nothing") is None
