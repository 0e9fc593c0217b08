"""What an operator reads of drift and of a change."""

from __future__ import annotations

from typing import Any

from ansible_collections.ops.runbook.plugins.plugin_utils.configuration_findings import changes, drift


def row(name: str, **further: Any) -> dict[str, Any]:
    """A file that differs in its content."""
    state = {"exists": True, "sha256": "x", "mode": "0644", "owner": "root", "group": "root"}
    made = {
        "kind": "file",
        "name": name,
        "subject": f"/etc/{name}",
        "differs": ["content"],
        "secret": False,
        "before": state,
        "after": state,
        "version": "",
        "altered": False,
        "diff": [{"before": "old line\nsame\n", "after": "new line\nsame\n"}],
    }
    return {**made, **further}


def host(*rows: dict[str, Any], **further: Any) -> dict[str, Any]:
    """What one host said."""
    said = {"rows": list(rows), "errors": [], "orphans": [], "unfinished": [], "pending_restart": {}, "versions": []}
    said["changed"] = any(one["differs"] for one in rows)
    return {"said": {**said, **further}, "unreachable": "", "errors": []}


def test_drift_says_who_moved() -> None:
    findings, _tables = drift(
        {
            "app1": host(
                row("same", differs=[]),
                row("by-hand", altered=True, version="v1"),
                row("newer", version="v1"),
                row("never"),
            )
        }
    )
    assert {finding.check: finding.status for finding in findings} == {
        "file same": "ok",
        "file by-hand": "critical",
        "file newer": "warning",
        "file never": "critical",
    }
    titles = {finding.check: finding.title for finding in findings}
    assert titles["file by-hand"] == "/etc/by-hand was changed on the host since version v1: other content"
    assert titles["file newer"].endswith("the inventory has changed since: other content")
    assert "- old line\n+ new line" in findings[1].detail


def test_drift_of_a_secret_file_shows_no_line() -> None:
    findings, _tables = drift({"app1": host(row("key", secret=True))})
    assert "line" not in findings[0].detail
    assert "x" not in (findings[0].observed, findings[0].expected)


def test_what_cannot_be_looked_at_is_critical() -> None:
    plan = {"app1": {"said": {}, "unreachable": "refused", "errors": ["x"]}}
    findings, _tables = drift(plan)
    assert [(finding.check, finding.status, finding.detail) for finding in findings] == [
        ("reachable", "critical", "refused")
    ]


def test_left_over_unfinished_and_pending_are_warnings() -> None:
    said = host(
        orphans=[{"kind": "file", "subject": "/etc/old", "name": "old", "version": "v1"}],
        unfinished=["v2"],
        pending_restart={"postgresql@15-main.service": ["max_connections"]},
        versions=[{"id": "v1", "time": "t", "state": "rolled_back", "ticket": "CHG-1", "subjects": ["/etc/old"]}],
    )
    findings, tables = drift({"db1": said})
    assert [finding.status for finding in findings] == ["warning"] * 3
    assert tables[0]["rows"] == [["db1", "v1", "rolled back", "CHG-1", "/etc/old"]]


def test_a_change_says_how_far_each_host_came() -> None:
    plan = {name: host(row("a")) for name in ("done", "back", "stuck", "waiting")} | {
        "same": host(row("a", differs=[]))
    }
    results = {
        "done": {"apply": {"changed": True, "version": "v3", "reloaded": ["nginx.service"]}},
        "back": {
            "apply": {"changed": True, "version": "v3"},
            "rollback": {"changed": True, "failures": [], "reason": "not healthy"},
        },
        "stuck": {
            "apply": {"failed": True, "put_back": True, "msg": "no", "failures": ["x.service failed"]},
            "rollback": {"failed": True, "failures": ["x.service failed"], "msg": "x.service failed", "reason": "no"},
        },
    }
    findings, tables = changes(plan, results, check=False)
    assert {finding.host: finding.status for finding in findings} == {
        "done": "ok",
        "back": "critical",
        "stuck": "critical",
        "waiting": "warning",
        "same": "ok",
    }
    details = {finding.host: finding.detail for finding in findings}
    assert details["back"] == "not healthy"
    assert details["stuck"] == "no\nx.service failed"
    assert [cells[0] for cells in tables[0]["rows"]] == ["done", "done", "back", "stuck", "waiting"]
    assert [cells[3] for cells in tables[0]["rows"]] == ["changed", "in use", "put back", "in doubt", "not reached"]


def test_check_mode_predicts() -> None:
    findings, tables = changes({"app1": host(row("a"))}, {"app1": {"apply": {"changed": True}}}, check=True)
    assert findings[0].title == "1 difference would be changed"
    assert tables[0]["title"] == "Changes predicted"


def test_check_mode_promises_nothing_for_hosts_that_it_did_not_come_through() -> None:
    plan = {name: host(row("a")) for name in ("never", "lost", "beside")}
    results = {
        "lost": {"apply": {"failed": True, "changed": False, "msg": "lost"}, "rollback": {"changed": False}},
        "beside": {"apply": {"changed": True}, "rollback": {"changed": False}},
    }
    findings, tables = changes(plan, results, check=True)
    assert {finding.status for finding in findings} == {"warning"}
    assert {cells[3] for cells in tables[0]["rows"]} == {"not reached"}
