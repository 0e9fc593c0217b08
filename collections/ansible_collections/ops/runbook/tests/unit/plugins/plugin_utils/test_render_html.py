from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.ops.runbook.plugins.module_utils.finding import Finding
from ansible_collections.ops.runbook.plugins.plugin_utils.outlook import Changes, Limits, compare, forecasts
from ansible_collections.ops.runbook.plugins.plugin_utils.render_html import Pages, render
from ansible_collections.ops.runbook.plugins.plugin_utils.render_pictures import pictures
from ansible_collections.ops.runbook.plugins.plugin_utils.reports import Report

NOW = datetime(2026, 11, 23, 12, 30, tzinfo=UTC)
PAGE = "monitoring-procedures/health-checks"
FULL = Finding(
    "root filesystem", "db1", "critical", "/ is 97 % full", 97.0, "used below 80 %", "%", "largest: /srv",
    f"{PAGE}#disk", type="disk", metrics={"used_bytes": 97.0, "size_bytes": 100.0},
)  # fmt: skip
REPORT = Report("operational_procedures", "5f0c2b9e", NOW, (FULL, Finding("clock", "app1", "ok")), "Daily operations")


def page(report: Report = REPORT, pages: Pages | None = None, **sections: Any) -> str:
    return render(replace(report, sections=sections), pages or Pages())


def test_page_says_what_is_wrong_and_what_to_do() -> None:
    text = page(pages=Pages("https://runbook.example/"))
    for part in ("Daily operations", "/ is 97 % full", "97 %", "used below 80 %", "largest: /srv", "5f0c2b9e"):
        assert part in text
    assert f'href="https://runbook.example/{PAGE}/#disk"' in text


def test_page_holds_nothing_from_elsewhere() -> None:
    text = page()
    assert not re.search(r"<(?:link|script|img|iframe|object|embed)[^>]+(?:src|href)=\"(?!data:)", text)
    assert "@import" not in text
    assert not re.search(r"url\(", text)
    assert not re.search(r"""\sstyle=|\son\w+=["']""", text)


def test_every_text_is_escaped() -> None:
    evil = "<script>alert(1)</script>\"'&"
    finding = replace(FULL, check=evil, host=evil, title=evil, detail=evil, expected=evil, unit=evil, remedy=evil)
    growth = forecasts(replace(REPORT, findings=(finding,)), [], Limits())
    text = page(
        replace(REPORT, findings=(finding,), title=evil, run_id=evil),
        forecasts=[one.to_dict() for one in growth],
        changes=Changes(since=NOW.isoformat(), new=compare([finding], [replace(REPORT, findings=(
            replace(finding, status="ok"),))]).new).to_dict(),
    )  # fmt: skip
    assert evil not in text
    assert text.count("<script>") == 1
    assert text.count("&lt;script&gt;alert(1)&lt;/script&gt;&#34;&#39;&amp;") > 10


def test_remedy_links_to_the_page_that_is_there(tmp_path: Path) -> None:
    file = tmp_path / f"{PAGE}.md"
    file.parent.mkdir(parents=True)
    file.write_text("# Health checks", encoding="utf-8")
    pages = Pages(folders=(tmp_path / "absent", tmp_path))
    assert pages.link(f"{PAGE}#disk") == f"{file.as_uri()}#disk"
    assert pages.link("maintenance/security-updates") == ""
    assert pages.link("javascript:alert(1)") == ""


def test_remedy_without_a_page_is_named() -> None:
    assert f'<span class="remedy">{PAGE}#disk</span>' in page()


def test_report_without_findings_says_so() -> None:
    text = page(replace(REPORT, findings=()))
    assert "No check ran: nothing is known about the platform." in text
    assert "unknown: Daily operations" in text
    assert "Status board" not in text


def test_many_findings_of_one_check_share_a_card() -> None:
    many = tuple(replace(FULL, host=f"node{number}") for number in range(30))
    text = page(replace(REPORT, findings=many))
    assert text.count('<li class="card') == 1
    assert "on 30 hosts" in text


def test_board_has_a_column_for_each_type_when_checks_are_many() -> None:
    many = tuple(replace(FULL, check=f"check {number}", type=f"type{number % 3}") for number in range(30))
    text = page(replace(REPORT, findings=many))
    head = text[text.index('<table class="board">') : text.index("</thead>")]
    assert re.findall(r'<th scope="col"><span title="(\w+)"', head) == ["type0", "type1", "type2"]


def test_board_shows_the_worst_of_a_column() -> None:
    two = (replace(FULL, status="ok"), FULL)
    text = page(replace(REPORT, findings=two))
    board = text[text.index('<table class="board">') : text.index("</table>")]
    assert re.findall(r'<td><a class="(\w+)"', board) == ["critical"]


@pytest.mark.parametrize(
    ("since", "heading"),
    [
        (NOW - timedelta(days=1, minutes=10), "Since yesterday "),
        (NOW - timedelta(minutes=10), " today"),
        (NOW - timedelta(days=3), "Since 2026-11-20 "),
    ],
)
def test_comparison_says_since_when(since: datetime, heading: str) -> None:
    text = page(changes=Changes(since=since.isoformat()).to_dict())
    (found,) = re.findall(r'<h2 id="changes">(.*?)</h2>', text)
    assert heading in found


def test_first_report_says_that_there_is_nothing_to_compare() -> None:
    assert "This is the first report" in page(changes=Changes().to_dict())


def test_who_logged_in_is_listed() -> None:
    logins = Finding(
        "failed logins", "db1", "ok", type="failed_logins", detail="as: root (7)", metrics={"failed_logins": 7}
    )
    sudo = Finding("sudo use", "db1", "ok", type="sudo_use", detail="by: mara (2)", metrics={"sudo_commands": 2})
    text = page(replace(REPORT, findings=(logins, sudo)))
    table = text[text.index('id="access"') :]
    assert re.search(r'<td class="num">7</td><td><pre>as: root \(7\)</pre></td><td class="num">2</td>', table)


def test_other_files_of_the_report_are_linked() -> None:
    assert '<a href="junit.xml">junit.xml</a>' in render(REPORT, Pages(), ["findings.json", "junit.xml"])


def answer(seconds: float, expected: str, **metrics: float) -> Finding:
    return Finding("api", "app1", "ok", expected=expected, type="http", metrics={"latency_seconds": seconds, **metrics})


def test_bar_is_scaled_to_its_limit() -> None:
    (line,) = pictures([answer(0.125, "time to answer below 250 ms", critical_seconds=0.5)], []).latency.shown
    assert 'class="fill ok" width="21.7%"' in line.picture
    assert 'class="mark warning" x1="43.5%"' in line.picture
    assert 'class="mark critical" x1="87.0%"' in line.picture
    assert line.text == "125 ms"


def test_bar_without_a_limit_has_no_marks() -> None:
    (line,) = pictures([answer(0.125, "")], []).latency.shown
    assert "mark" not in line.picture


@pytest.mark.parametrize(
    ("expected", "marks"), [("used below 80 %", ["80.0%"]), ("free at least 5 GiB", []), ("time below 80 s", [])]
)
def test_capacity_takes_its_mark_from_what_was_expected(expected: str, marks: list[str]) -> None:
    (line,) = pictures([replace(FULL, expected=expected)], []).capacity.shown
    assert re.findall(r'mark warning" x1="([^"]+)"', line.picture) == marks
    assert line.text == "97 %, of 100 B"


def test_capacity_says_what_is_left() -> None:
    metrics = {"used_bytes": 28.0, "free_bytes": 2.0 * 2**30, "size_bytes": 250.0 * 2**30}
    (line,) = pictures([replace(FULL, metrics=metrics)], []).capacity.shown
    assert line.text == "97 %, 2 GiB free"


def test_fullest_bars_come_first_and_the_others_unfold() -> None:
    many = [replace(FULL, host=f"node{n}", observed=float(n)) for n in range(30)]
    shown = pictures(many, []).capacity
    assert [line.host for line in shown.shown[:2]] == ["node29", "node28"]
    assert (len(shown.shown), len(shown.more)) == (12, 18)


def test_growth_is_drawn_only_where_it_is_known() -> None:
    def used(amount: float, age: float) -> Report:
        metrics = {"used_bytes": amount * 1e9, "size_bytes": 1e11}
        return replace(REPORT, time=NOW - timedelta(days=age), findings=(replace(FULL, metrics=metrics),))

    past = [used(90, 3), used(91, 2), used(92, 1)]
    growing = pictures([], forecasts(used(93, 0), past, Limits())).growth.shown
    assert [(line.text, line.note) for line in growing] == [("full in 7 days", "+954 MiB a day")]
    assert 'class="full"' in growing[0].picture
    assert pictures([], forecasts(used(93, 0), [], Limits())).growth.shown == []
    assert pictures([], forecasts(used(80, 0), past, Limits())).growth.shown == []


def test_tables_of_the_procedure_are_shown_and_escaped() -> None:
    table = {
        "title": "Disk reclaimed",
        "columns": ["Host", "Area"],
        "rows": [["app1", "<b>logs</b>"]],
        "note": "All of it.",
    }
    text = page(tables=[table])
    assert "Disk reclaimed" in text
    assert "<td>app1</td><td>&lt;b&gt;logs&lt;/b&gt;</td>" in text
    assert "All of it." in text
