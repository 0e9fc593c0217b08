from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from ansible_collections.ops.runbook.plugins.module_utils.finding import Finding
from ansible_collections.ops.runbook.plugins.plugin_utils.outlook import Change, Changes
from ansible_collections.ops.runbook.plugins.plugin_utils.render_console import one_line, render
from ansible_collections.ops.runbook.plugins.plugin_utils.reports import Report, ReportError

PAGE = "monitoring-procedures/health-checks"
FULL = Finding(
    "root filesystem",
    "db1",
    "critical",
    "/ is 97 % full",
    97.0,
    "used below 80 %",
    "%",
    "largest: /srv",
    f"{PAGE}#disk",
)
SLOW = Finding("evidence-api ready", "app1", "warning", "answers in 312 ms", 0.312, "time to answer below 250 ms", "s")
CHANGE = Change("db1", "disk", "critical", "ok", "full")
FINE = Finding("clock", "app1", "ok")
REPORT = Report(
    "monitoring_procedures/health_checks", "r", datetime(2026, 11, 23, 7, 30, tzinfo=UTC), (FINE, SLOW, FULL)
)


def text(report: Report, width: int = 100, path: str = "") -> str:
    return "\n".join(line.text for line in render(report, width, path))


def test_table_reads_worst_first_in_aligned_columns() -> None:
    lines = text(REPORT, path="report.html").splitlines()
    assert lines[3:] == [
        "STATUS    HOST  CHECK               OBSERVED  EXPECTED",
        "critical  db1   root filesystem     97 %      used below 80 %",
        "          / is 97 % full",
        "          largest: /srv",
        "          → monitoring-procedures/health-checks#disk",
        "warning   app1  evidence-api ready  312 ms    time to answer below 250 ms",
        "          answers in 312 ms",
        "",
        "1 critical · 1 warning · 1 ok on 2 hosts",
        "Report: report.html",
    ]


def test_rows_have_the_tone_of_their_status() -> None:
    tones = {line.text.split()[0]: line.tone for line in render(REPORT, 100) if line.tone}
    assert tones == {"critical": "critical", "warning": "warning", "1": "critical"}


def test_when_all_is_well_there_is_no_table() -> None:
    lines = text(replace(REPORT, findings=(FINE, replace(FINE, host="app2")))).splitlines()
    assert lines[2:] == ["", "2 ok on 2 hosts"][-len(lines[2:]) :]
    assert lines[-1] == "2 ok on 2 hosts"
    assert "STATUS" not in "".join(lines)


def test_no_finding_is_not_well() -> None:
    (line,) = [line for line in render(replace(REPORT, findings=()), 100) if line.tone]
    assert (line.text, line.tone) == ("No check ran: nothing is known about the platform.", "unknown")


@pytest.mark.parametrize("width", [40, 79, 100, 120, 300])
def test_nothing_is_wider_than_the_terminal(width: int) -> None:
    long = "an-unusually-long-name-without-any-space" * 4
    finding = Finding(long, long, "critical", f"{long} {long}", long, long, "", f"{long}\n{long}", PAGE)
    widest = max(len(line.text) for line in render(replace(REPORT, findings=(finding, FULL, SLOW)), width))
    assert widest <= min(max(width, 79), 120)


def test_long_text_is_wrapped_and_not_lost() -> None:
    finding = replace(SLOW, check="evidence-api answers on the internal network of the second site")
    table = text(replace(REPORT, findings=(finding,)), width=79)
    words = [word for line in table.splitlines() for word in line.split()]
    assert all(word in words for word in finding.check.split())


def test_many_findings_end_in_a_pointer_to_the_report() -> None:
    many = tuple(replace(FULL, host=f"node{number}") for number in range(100))
    table = text(replace(REPORT, findings=many))
    assert table.count("root filesystem") == 60
    assert "and 40 more, in the report" in table
    assert "100 critical" in table


def test_changes_are_told_in_numbers() -> None:
    since = (REPORT.time - timedelta(days=3)).isoformat()
    changes = Changes(since, new=(CHANGE, CHANGE), unobserved=(CHANGE,))
    told = text(replace(REPORT, sections={"changes": changes.to_dict()}))
    assert "2 new · 1 not observed this time" in told
    assert "Since 2026-11-2" in told
    quiet = text(replace(REPORT, sections={"changes": Changes(since).to_dict()}))
    assert "nothing has changed" in quiet
    assert "Since" not in text(replace(REPORT, sections={"changes": Changes().to_dict()}))


def test_findings_do_not_steer_the_terminal() -> None:
    """Details quote logs, and logs quote strangers."""
    evil = replace(FULL, title="\x1b[2J\x1b]0;taken\x07full", detail="\x9b31mred\r\nok", check="a\x1bb", host="\x08h")
    shown = text(replace(REPORT, findings=(evil,))) + one_line(evil)
    assert not [letter for letter in shown if (letter < " " and letter != "\n") or "\x7f" <= letter <= "\x9f"]


def test_one_line_says_what_where_and_what_to_do() -> None:
    said = one_line(FULL)
    assert said == "critical: root filesystem on db1 - / is 97 % full (see monitoring-procedures/health-checks#disk)"


def test_tables_of_the_procedure_stand_before_the_sum() -> None:
    rows = [
        ["app1", "journal", "1.2 GiB"],
        ["db1", "/a/very/long/name/of/a/file/that/does/not/fit/into/its/column/of/the/table \x1b[31m", "0 B"],
    ]
    table = {"title": "Disk reclaimed", "columns": ["Host", "Area", "Reclaimed"], "rows": rows, "note": "All of it."}
    empty = {"title": "Restarted", "columns": ["Host"], "rows": []}
    lines = text(replace(REPORT, findings=(FINE,), sections={"tables": [table, empty]}), width=79).splitlines()
    assert lines[3:] == [
        "Disk reclaimed",
        "  HOST  AREA                                                          RECLAIMED",
        "  app1  journal                                                       1.2 GiB",
        "  db1   /a/very/long/name/of/a/file/that/does/not/fit/into/its/colum  0 B",
        "        n/of/the/table  [31m",
        "  All of it.",
        "",
        "Restarted",
        "  nothing",
        "",
        "1 ok on 1 host",
    ]


def test_long_tables_are_cut() -> None:
    table = {"title": "T", "columns": ["N"], "rows": [[number] for number in range(25)]}
    lines = text(replace(REPORT, sections={"tables": [table]})).splitlines()
    assert "  19" in lines
    assert "  20" not in lines
    assert "  and 5 more, in the report" in lines


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"title": "T", "rows": []}, "Table 1 of the report is no mapping with title"),
        ({"title": "T", "columns": ["A", "B"], "rows": [["x"]]}, "has not 2 cells"),
        ({"title": "T", "columns": ["A"], "rows": [], "notes": ""}, "Table 1 of the report"),
    ],
)
def test_wrong_tables_are_named(table: dict[str, object], message: str) -> None:
    with pytest.raises(ReportError, match=message):
        render(replace(REPORT, sections={"tables": [table]}), 100)
