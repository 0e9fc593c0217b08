"""What an operator reads after an update."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.ops.runbook.plugins.plugin_utils.report_tables import tables
from ansible_collections.ops.runbook.plugins.plugin_utils.updates_report import Outcome, finding, sections

PLANNED = ({"name": "openssl", "from": "1", "to": "2", "security": True},)
INSTALLED = ({"name": "openssl", "from": "1", "to": "2", "cves": ["CVE-2026-0001", "CVE-2026-0002"]},)
LEFT = ({"name": "nginx", "from": "1", "to": "2", "security": True, "reason": "held"},)


@pytest.mark.parametrize(
    ("changes", "status", "title"),
    [
        ({}, "ok", "nothing to update"),
        ({"planned": PLANNED, "installed": INSTALLED, "entered": True}, "ok", "1 package updated, 2 CVEs fixed"),
        ({"planned": PLANNED, "check": True}, "ok", "1 package would be updated"),
        ({"planned": PLANNED}, "warning", "1 package not updated: the run ended before"),
        ({"pending": LEFT}, "warning", "nothing to update; 1 security updates still pending"),
        ({"entered": True}, "ok", "an interrupted update was finished"),
        ({"entered": True, "check": True}, "ok", "an interrupted update would be finished"),
        ({"interrupted": True}, "warning", "an interrupted update is not finished: the run ended before"),
        ({"interrupted": True, "entered": True}, "ok", "an interrupted update was finished"),
        ({"reboot_required": True}, "warning", "nothing to update; a reboot is required"),
        ({"waiting": ["dbus.service"]}, "warning", "nothing to update; dbus.service wait for a reboot"),
        ({"rolled_back": INSTALLED, "reason": "nginx failed"}, "critical", "1 package put back: nginx failed"),
        ({"rolled_back": (), "in_doubt": "dpkg failed"}, "critical", "in doubt, not put back: dpkg failed"),
        ({"in_doubt": "lost", "check": True}, "critical", "not predicted to the end: lost"),
        ({"rolled_back": (), "in_doubt": "x", "lost": "no answer"}, "critical", "the host is gone: no answer"),
    ],
)
def test_verdict(changes: dict[str, Any], status: str, title: str) -> None:
    if changes.get("planned") and changes.get("check"):
        changes = {**changes, "entered": True}
    made = finding(Outcome("app1", **changes))
    assert (made.status, made.title) == (status, title)
    assert bool(made.remedy) is (status != "ok")


def test_tables_have_every_package_and_each_fix_once() -> None:
    made = sections([Outcome(host, PLANNED, INSTALLED, entered=True, pending=LEFT) for host in ("app1", "app2")])
    found = {table.title: table.rows for table in tables(made)}
    assert found["Updated"] == (("app1", "openssl", "1", "2"), ("app2", "openssl", "1", "2"))
    assert found["Fixed"] == (("openssl", "app1, app2", "2", "CVE-2026-0001, CVE-2026-0002"),)
    assert [row[4] for row in found["Still pending"]] == ["held", "held"]


def test_check_mode_says_what_would_be() -> None:
    made = sections([Outcome("app1", PLANNED, check=True)])
    assert [table.title for table in tables(made)] == ["Would be updated", "Still pending"]


def test_packages_of_one_source_are_one_row_and_many_cves_are_counted() -> None:
    cves = [f"CVE-2026-{number:04}" for number in range(1, 10)]
    installed = [{"name": name, "from": "1", "to": "2", "cves": cves} for name in ("libssl3", "openssl")]
    outcome = Outcome("app1", PLANNED, installed, entered=True)
    found = {table.title: table.rows for table in tables(sections([outcome]))}
    assert len(found["Fixed"]) == 1
    assert found["Fixed"][0][:3] == ("libssl3, openssl", "app1", "9")
    assert found["Fixed"][0][3].endswith("CVE-2026-0006 and 3 more")
    assert all(cve in finding(outcome).detail for cve in cves)
