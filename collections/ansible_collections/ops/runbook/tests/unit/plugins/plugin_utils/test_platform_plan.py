# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a platform is rebuilt from its store, and when that is refused."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.ops.runbook.plugins.plugin_utils import platform_plan, rebuild_plan
from ansible_collections.ops.runbook.plugins.plugin_utils.platform_plan import Plan, Wishes, plan, shown
from ansible_collections.ops.runbook.plugins.plugin_utils.rebuild_plan import RefusalError

HOSTS = ("app1", "db1", "db2", "proxy1")
NOW = 2_000_000.0
SHA = "-" + "0" * 40 + ".zst"
#: A backup that ended 1000 s ago, and a log that was archived until 100 s ago.
BACKUPS: dict[str, Any] = {
    "info": [
        {
            "name": "evidence",
            "status": {"code": 0, "message": "ok"},
            "db": [{"id": 1}],
            "archive": [{"id": "15-1", "database": {"id": 1}}],
            "backup": [
                {
                    "label": "F",
                    "type": "full",
                    "database": {"id": 1},
                    "archive": {"start": "000000010000000000000002", "stop": "000000010000000000000002"},
                    "timestamp": {"start": NOW - 1010, "stop": NOW - 1001},
                    "info": {"size": 30_000_000, "repository": {"size": 3_000_000}},
                }
            ],
        }
    ],
    "listing": {
        f"0000000100000000/000000010000000000000002{SHA}": {"type": "file", "time": NOW - 1001},
        f"0000000100000000/000000010000000000000003{SHA}": {"type": "file", "time": NOW - 100},
    },
    "histories": {},
}


def options(host: str) -> dict[str, Any]:
    own: dict[str, Any] = {"peers": [], "root": "", "services": [f"{host}.service"], "keep": [], "replace": False}
    return {"host": host, "store": "store1", "port": 8000, **own}


def wishes(**changes: Any) -> Wishes:
    given: dict[str, Any] = {
        "hosts": HOSTS,
        "databases": ("db1", "db2"),
        "entrances": ("proxy1",),
        "store": "store1",
        "stanza": "evidence",
        "cluster": {"cluster": "15/main", "data": "/data"},
        "options": {host: options(host) for host in HOSTS},
        **changes,
    }
    return Wishes(**given)


def snapshot(host: str) -> dict[str, Any]:
    made = "2026-11-23T01:00:00Z"
    return {"id": f"{host}-id", "short_id": host, "time": made, "tags": ["configuration"], "received": 1795395600.0}


STORED: dict[str, Any] = {"snapshots": {host: [snapshot(host)] for host in HOSTS}, "wrong": {}}
BARE: dict[str, Any] = {"state": {}, "store": "", "signs": []}
NOBODY: dict[str, Any] = {"restore": {}, "serves": ""}
FINISHED: dict[str, Any] = {"number": 1, "begun": NOW - 60, "finished": NOW - 5, "done": [], "sources": {}}


def planned(
    machines: dict[str, Any] | None = None, servers: dict[str, Any] | None = None, **changes: Any
) -> tuple[Plan, str]:
    backups = changes.pop("backups", BACKUPS)
    made = plan(
        wishes(**changes),
        {**dict.fromkeys(HOSTS, BARE), **(machines or {})},
        {"db1": NOBODY, "db2": NOBODY, **(servers or {})},
        STORED,
        backups,
        run="abc",
        now=NOW,
    )
    return made, "\n".join(shown(made))


def under_way(host: str, *done: str) -> dict[str, Any]:
    state = {
        "number": 1,
        "begun": NOW - 60,
        "done": list(done),
        "sources": {"configuration": {**snapshot(host), "host": host}},
    }
    return {**BARE, "state": state, "signs": ["/data/PG_VERSION is there"]}


def restore(phase: str) -> dict[str, Any]:
    estimate = {"backup": "F", "moment": NOW - 100, "seconds": 16.0, "target_type": "default", "wish": "latest"}
    estimate |= {"kind": "full", "backup_ended": NOW - 1000, "size": 1, "segments": 2, "measured": False}
    estimate |= {"lost_seconds": 100.0, "lost_segments": 0}
    began = {"began": NOW - 50, "run": "old", "wish": "latest", "timeline": 2}
    return {**NOBODY, "restore": {**began, "phase": phase, "estimate": estimate}}


def test_the_database_comes_first_and_the_entrance_last() -> None:
    made, text = planned()
    assert made.order == ["db1", "db2", "app1", "proxy1"]
    assert made.queue == made.order
    assert made.database["restore"]
    assert (made.database["primary"], made.database["follow"]) == ("db1", ["db2"])
    assert made.database["job"]["estimate"]["backup"] == "F"
    assert "db2     configuration of 2026-11-23T01:00:00 (db2); follows db1" in text
    assert "100 s of changes, 0 segments of log" in text
    assert "What was written after" in text


def test_another_primary_on_demand() -> None:
    made, _text = planned(primary="db2")
    assert made.order[:2] == ["db2", "db1"]


def test_a_rebuild_under_way_goes_on_and_restores_only_once() -> None:
    made, text = planned({"db1": under_way("db1", "fetch", "files")}, {"db1": restore("concluded")})
    assert not made.database["restore"]
    assert made.database["state"]["timeline"] == 2
    assert "goes on after files" in text
    made, _text = planned({"db1": under_way("db1", "fetch")}, {"db1": restore("verified")})
    assert made.database["restore"]
    assert made.database["job"]["estimate"]["seconds"] == 16.0


def test_a_restore_of_an_earlier_life_says_nothing() -> None:
    old = restore("concluded")
    old["restore"]["began"] = NOW - 10_000
    assert planned({"db1": under_way("db1")}, {"db1": old})[0].database["restore"]


def test_what_is_rebuilt_is_left_alone() -> None:
    machines = {host: {"state": FINISHED, "store": "", "signs": [f"{host}.service runs"]} for host in HOSTS}
    made, text = planned(machines, {"db1": {**restore("concluded"), "serves": "primary"}})
    assert (made.queue, made.jobs) == ([], {})
    assert "rebuilt already, nothing to do" in text


@pytest.mark.parametrize(
    ("servers", "changes", "words"),
    [
        ({"db2": {**NOBODY, "serves": "primary"}}, {"primary": "db1"}, "db2 accepts writes.*db1: two primaries"),
        ({"db2": restore("concluded")}, {"primary": "db1"}, "db2 has the restored database"),
        ({"db2": {**NOBODY, "serves": "primary"}}, {"hosts": ("app1", "db1")}, "db2 accepts writes"),
        ({}, {"primary": "app1"}, "platform_rebuild_primary is 'app1'.*db1, db2"),
        ({}, {"backups": {"error": "no route"}}, "store1 cannot give the database back: pgBackRest says no route"),
        ({}, {"stanza": "other"}, "stanza 'other' cannot be read"),
        (
            {"db1": {**NOBODY, "restore": {"began": NOW, "phase": "aside", "wish": "a time", "run": "x"}}},
            {},
            "unfinished",
        ),
    ],
)
def test_refusals_about_the_database(servers: dict[str, Any], changes: dict[str, Any], words: str) -> None:
    with pytest.raises(RefusalError, match=words):
        planned(None, servers, **changes)


def test_a_stanza_without_backups_is_refused() -> None:
    entry = {**BACKUPS["info"][0], "backup": []}
    with pytest.raises(RefusalError, match="has no backup yet"):
        planned(backups={**BACKUPS, "info": [entry]})


def test_every_host_that_is_not_bare_is_named_and_the_advice_once() -> None:
    serving = {**BARE, "signs": ["x.service runs"]}
    with pytest.raises(RefusalError) as caught:
        planned({"app1": serving, "proxy1": serving})
    lines = str(caught.value).splitlines()
    assert lines[:2] == ["- app1 is not bare: x.service runs", "- proxy1 is not bare: x.service runs"]
    assert len([line for line in lines if "host_rebuild_replace" in line]) == 1


def test_programs_are_python_and_their_answers_are_found() -> None:
    machine = rebuild_plan.machine_program("store1", 8000, [], [])
    snapshots = rebuild_plan.store_program(["db1"], "/r", "/p")
    for program in (platform_plan.database_program(machine), platform_plan.store_program(snapshots, "evidence")):
        compile(program, "program", "exec")
    assert platform_plan.said('x\n@ops.runbook.database {"serves": "t"}\n', platform_plan.DATABASE_MARK) == {
        "serves": "t"
    }
    assert platform_plan.said("nothing", platform_plan.DATABASE_MARK) == {}
