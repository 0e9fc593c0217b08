"""What routine maintenance makes of what hosts answered: findings, tables, and the program that asks."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from ansible_collections.ops.runbook.plugins.module_utils.finding import Finding
from ansible_collections.ops.runbook.plugins.plugin_utils.fan_out import Reply
from ansible_collections.ops.runbook.plugins.plugin_utils.maintenance_findings import findings
from ansible_collections.ops.runbook.plugins.plugin_utils.maintenance_program import answer, program
from ansible_collections.ops.runbook.plugins.plugin_utils.maintenance_report import Done, failures, tables

MIB = 2**20
LIMITS = {
    "wraparound_warning": 50.0,
    "wraparound_critical": 75.0,
    "bloat": 0.5,
    "bloat_size": 100.0 * MIB,
    "index_size": 10.0 * MIB,
    "index_age": 86400.0,
}


def index(name: str, size: int = 20 * MIB) -> dict[str, Any]:
    return {"name": f"public.{name}", "table": "public.t", "bytes": size}


def postgresql(*, standby: bool = False, xids: int = 10, unused: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    table = {"name": "public.t", "dead": 0, "live": 0, "modified": 0, "age": 1, "bytes": 400 * MIB, "bloat": 0}
    database = {
        "name": "evidence",
        "bytes": 900 * MIB,
        "tables": [{**table, **more}],
        "unused": [index(name) for name in unused],
        "counted": 100_000.0,
    }
    return {"standby": standby, "system": "1", "xids": xids, "multixacts": 1, "databases": [database]}


def host(server: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    areas = {"postgresql": {"items": [], "notes": [], "bytes": 0, "seen": server or {}}}
    return {"areas": areas, "filesystems": {}, **more}


def found(seen: dict[str, dict[str, Any]]) -> dict[tuple[str, str], Finding]:
    return {(one.host, one.check): one for one in findings(seen, dict.fromkeys(seen, LIMITS))}


@pytest.mark.parametrize(("xids", "status"), [(2**29, "ok"), (2**30, "warning"), (2**31 - 2**29, "critical")])
def test_wraparound_headroom(xids: int, status: str) -> None:
    finding = found({"db1": host(postgresql(xids=xids))})["db1", "wraparound headroom"]
    assert (finding.status, finding.observed) == (status, round(100 * xids / 2**31, 1))


def test_an_index_is_unused_only_if_no_server_uses_it() -> None:
    seen = {
        "db1": host(postgresql(unused=("both", "here"))),
        "db2": host(postgresql(standby=True, unused=("both",))),
        "other": host({**postgresql(unused=()), "system": "2"}),
    }
    finding = found(seen)["db1", "unused indexes"]
    assert finding.status == "warning"
    assert finding.detail == "evidence: public.both on public.t, 20 MiB\nasked: db1, db2"
    assert ("db2", "unused indexes") not in found(seen)


def test_small_indexes_and_young_statistics_say_nothing() -> None:
    small = postgresql()
    small["databases"][0]["unused"] = [index("small", 9 * MIB)]
    young = postgresql(unused=("x",))
    young["databases"][0]["counted"] = 100.0
    for server in (small, young):
        assert found({"db1": host(server)})["db1", "unused indexes"].status == "ok"


@pytest.mark.parametrize(("bloat", "status"), [(199 * MIB, "ok"), (201 * MIB, "warning"), (None, "ok")])
def test_bloat(bloat: int | None, status: str) -> None:
    assert found({"db1": host(postgresql(bloat=bloat))})["db1", "table bloat"].status == status


def test_what_only_a_restart_or_a_reboot_solves() -> None:
    seen = {"app1": host(reboot=True, reboot_for=["linux-image"], stale={"api.service": ["/lib/x"]}, waiting={})}
    assert found(seen)["app1", "reboot required"].title == "a reboot is required by linux-image"
    assert found(seen)["app1", "outdated services"].title == "on deleted libraries: api.service"
    fine = found({"app1": host(reboot=False, reboot_for=[], stale={}, waiting={})})
    assert {finding.status for finding in fine.values()} == {"ok"}


def test_a_host_that_cannot_be_inspected_is_critical() -> None:
    assert found({"app1": {"error": "timed out"}})["app1", "inspection"].status == "critical"


ITEM = {"area": "logs", "subject": "/var/log/a.1", "size": 3 * MIB, "why": "last written 500 days ago"}
CLEANED: dict[str, Any] = {
    "areas": {"logs": {"items": [ITEM], "bytes": 3 * MIB, "notes": []}},
    "before": {"/": {"size": 100 * MIB, "used": 50 * MIB}, "/tmp": {"size": MIB, "used": 0}},
    "filesystems": {"/": {"size": 100 * MIB, "used": 47 * MIB}, "/tmp": {"size": MIB, "used": 0}},
}


def rows(done: dict[str, Done], *, check: bool = False) -> dict[str, list[list[str]]]:
    return {table["title"]: table["rows"] for table in tables(done, dict.fromkeys(done, LIMITS), check=check)}


def test_tables_say_what_was_done() -> None:
    done = {
        "app1": Done(host(), CLEANED, ["api.service"], rebooted=True),
        "app2": Done(host(), left="not reached: the run ended before it"),
        "db1": Done(host(postgresql())),
    }
    told = rows(done)
    assert told["Disk reclaimed"] == [["app1", "rotated logs", "1", "3 MiB"], ["together", "", "", "3 MiB"]]
    assert told["File systems"] == [["app1", "/", "50 MiB of 100 MiB", "47 MiB of 100 MiB", "3 MiB"]]
    removed = [["app1", "rotated logs", "/var/log/a.1", "3 MiB", "last written 500 days ago"]]
    assert told["What was removed and done"] == removed
    assert told["Restarts and reboots"] == [
        ["app1", "reboot"],
        ["app1", "api.service"],
        ["app2", "not reached: the run ended before it"],
    ]
    assert told["PostgreSQL"] == [["db1", "primary", "900 MiB", "0 %", "0", "0 B", "0 B"]]
    assert rows(done, check=True)["What would be removed and done"] == removed


def test_what_failed_is_a_finding() -> None:
    failure = "systemctl restart api.service: failed\nits last words"
    done = {
        "app1": Done(host(), restarted=["api.service"], failure=failure),
        "app2": Done(host(), left="not reached: the run ended before it"),
        "app3": Done(host()),
    }
    assert [(one.host, one.status, one.title, one.detail) for one in failures(done)] == [
        ("app1", "critical", "systemctl restart api.service: failed", failure),
        ("app2", "warning", "not reached: the run ended before it", ""),
    ]
    assert rows(done)["Restarts and reboots"] == [
        ["app1", "failed: systemctl restart api.service: failed"],
        ["app2", "not reached: the run ended before it"],
    ]


def test_an_area_that_failed_reclaims_nothing() -> None:
    cleaned = {**CLEANED, "areas": {"logs": {**CLEANED["areas"]["logs"], "failed": True}}}
    told = rows({"app1": Done(host(), cleaned)})
    assert told["Disk reclaimed"] == []
    assert told["What was removed and done"][0][-1] == "not done, or in part: it failed"


def test_nothing_to_do_is_said() -> None:
    assert rows({"app1": Done(host())}) == {"Disk reclaimed": []}


def test_the_program_answers_on_this_machine() -> None:
    job = {"areas": {}, "observe": {"reboot": {}}, "paths": ["/"], "lock": "/nonexistent"}
    done = subprocess.run([sys.executable, "-ISBX", "utf8", "-"], input=program(job), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    told = answer(Reply(0, f"Welcome\n{done.stdout.decode()}", ""))
    assert told["areas"] == {}
    assert told["reboot"] in (True, False)
    assert told["filesystems"]["/"]["size"] > 0


def test_an_area_that_fails_is_the_answer() -> None:
    options = {"paths": ["/etc"], "roots": ["/var/log"], "keep": 1.0}
    job = {"areas": {"logs": options}, "observe": {}, "paths": ["/"], "lock": ""}
    done = subprocess.run([sys.executable, "-ISBX", "utf8", "-"], input=program(job), capture_output=True, check=False)
    assert "leads to /etc, outside /var/log" in answer(Reply(0, done.stdout.decode(), ""))["error"]


def test_no_answer_is_an_error() -> None:
    assert answer(Reply(error="timed out")) == {"error": "timed out"}
    assert "ended with 1 and said: Boom" in answer(Reply(1, "", "Traceback\nBoom"))["error"]
    assert answer(Reply(0, f"@ops.runbook.maintenance {json.dumps({'areas': {}})}\n")) == {"areas": {}}
