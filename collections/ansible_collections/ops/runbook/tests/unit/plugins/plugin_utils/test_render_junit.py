from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

from ansible_collections.ops.runbook.plugins.module_utils.finding import Finding
from ansible_collections.ops.runbook.plugins.plugin_utils.render_junit import render
from ansible_collections.ops.runbook.plugins.plugin_utils.reports import Report

FULL = Finding("root filesystem", "db1", "critical", "/ is 97 % full", 97.0, "used below 80 %", "%", duration=0.25)
FINDINGS = (
    FULL,
    Finding("clock", "db1", "unknown", "did not answer"),
    Finding("certificate", "db1", "warning", "expires in 19 days"),
    Finding("clock", "app10", "ok"),
    Finding("clock", "app2", "ok"),
)
REPORT = Report("monitoring_procedures/health_checks", "r", datetime(2026, 11, 23, 7, 30, tzinfo=UTC), FINDINGS)


def read(report: Report) -> ET.Element:
    return ET.fromstring(render(report))


def test_hosts_are_suites_and_checks_are_cases() -> None:
    suites = read(REPORT).findall("testsuite")
    assert [suite.get("name") for suite in suites] == ["app2", "app10", "db1"]
    assert [case.get("name") for case in suites[2]] == ["root filesystem", "clock", "certificate"]
    assert suites[2][0].get("classname") == "monitoring_procedures.health_checks.db1"
    assert suites[2][0].get("time") == "0.250"


def test_status_decides_how_a_case_ends() -> None:
    full, unknown, warning = read(REPORT).findall("testsuite[@name='db1']/testcase")
    assert [part.tag for part in full] == ["failure"]
    assert [part.tag for part in unknown] == ["error"]
    assert [part.tag for part in warning] == ["system-out"]
    assert full[0].get("message") == "/ is 97 % full"
    assert "observed 97 %, expected used below 80 %" in (full[0].text or "")
    assert "warning: expires in 19 days" in (warning[0].text or "")


def test_counts_agree_with_the_cases() -> None:
    root = read(REPORT)
    assert {key: root.get(key) for key in ("tests", "failures", "errors")} == {
        "tests": "5", "failures": "1", "errors": "1",
    }  # fmt: skip
    assert root.findall("testsuite")[2].get("failures") == "1"


def test_any_text_gives_xml_that_can_be_read() -> None:
    evil = replace(FULL, check="a<b>&\"'", title="]]>\x00\x1b[31m\ud800", detail="\ufffe <!-- -->")
    (case,) = read(replace(REPORT, findings=(evil,))).iter("testcase")
    assert case.get("name") == "a<b>&\"'"
    assert case[0].get("message") == "]]>\ufffd\ufffd[31m\ufffd"
