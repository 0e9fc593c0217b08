"""The HTML report in a browser: it needs nothing but itself, and it can be read on every screen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.ops.runbook.plugins.plugin_utils import render_html
from ansible_collections.ops.runbook.plugins.plugin_utils.reports import Report

from tests.reports import samples
from tests.reports.browser import Page, browser

EVIL = "<script>document.title = 'taken'</script><img src=https://example.org/x onerror=\"document.title='taken'\">"
SHOWN = "Array.from(document.querySelectorAll('.findings tbody tr')).filter(row => !row.hidden)"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def write(report: Report, folder: Path) -> Path:
    file = folder / "report.html"
    file.write_text(render_html.render(report, render_html.Pages("https://runbook.example")), encoding="utf-8")
    return file


def hostile() -> Report:
    """A report in which every text is markup."""
    report = samples.daily()
    findings = tuple(
        replace(finding, check=f"{finding.check} {EVIL}", title=EVIL, detail=EVIL, expected=EVIL, unit=EVIL)
        for finding in report.findings
    )
    return replace(report, findings=findings, title=f"Daily {EVIL}", run_id=EVIL)


@pytest.mark.parametrize("report", [samples.daily(), samples.large(), hostile()], ids=["daily", "large", "hostile"])
@pytest.mark.parametrize("width", [390, 1280])
def test_page_asks_for_nothing_and_complains_of_nothing(page: Page, report: Report, width: int, tmp_path: Path) -> None:
    page.show_as(width)
    file = write(report, tmp_path)
    page.open(file)
    page.evaluate("document.querySelector('.board td a').focus()")
    assert page.complaints() == []
    # The tab's icon is part of the file.
    assert [url for url in page.requests() if not url.startswith("data:")] == [file.as_uri()]


def test_markup_in_findings_stays_text(page: Page, tmp_path: Path) -> None:
    page.open(write(hostile(), tmp_path))
    assert page.evaluate("document.title").startswith("critical: Daily <script>")
    assert page.evaluate("document.querySelectorAll('main img, main script').length") == 0
    assert EVIL in page.evaluate("document.querySelector('.card pre').textContent")


def test_policy_stops_what_gets_through_nevertheless(page: Page, tmp_path: Path) -> None:
    file = write(samples.daily(), tmp_path)
    file.write_text(file.read_text(encoding="utf-8").replace("<main>", f"<main>{EVIL}"), encoding="utf-8")
    page.open(file)
    assert page.evaluate("document.title") != "taken"
    page.evaluate("fetch(location.href).catch(() => 0)")
    stopped = " ".join(told for told in page.complaints() if "Content Security Policy" in told)
    assert all(kind in stopped for kind in ("inline script", "image", "inline event handler", "connect-src")), stopped


@pytest.mark.parametrize("report", [samples.daily(), samples.large()], ids=["daily", "large"])
@pytest.mark.parametrize("width", [390, 768, 1280])
def test_page_never_scrolls_sideways(page: Page, report: Report, width: int, tmp_path: Path) -> None:
    """What is wider than the screen scrolls in a container of its own."""
    page.show_as(width)
    page.open(write(report, tmp_path))
    page.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_host_names_stay_in_sight_on_a_phone(page: Page, tmp_path: Path) -> None:
    page.show_as(390)
    page.open(write(samples.large(), tmp_path))
    place = "document.querySelector('.board tbody th').getBoundingClientRect().left"
    before = page.evaluate(place)
    page.evaluate("document.querySelector('.board').parentElement.scrollLeft = 200")
    assert page.evaluate("document.querySelector('.board').parentElement.scrollLeft") == 200
    assert page.evaluate(place) == pytest.approx(before, abs=4)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_has_contrast(page: Page, dark: bool, tmp_path: Path) -> None:
    """At least 4.5 to 1 between text and ground, wherever a status has a ground of its own."""
    page.show_as(1280, dark=dark)
    page.open(write(samples.daily(), tmp_path))
    assert page.evaluate(CONTRAST) == []


CONTRAST = """(() => {
  const light = (colour) => {
    const parts = colour.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255);
    const [r, g, b] = parts.map((c) => c <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (!colour.startsWith("rgba(0, 0, 0, 0")) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const faint = [];
  const texts = "h1, h2, h3, p, dt, dd, code, pre, a, .badge, .badge i, .dot, .muted, .num, td, th";
  for (const element of document.querySelectorAll(texts)) {
    const [a, b] = [light(getComputedStyle(element).color), light(ground(element))].sort((x, y) => y - x);
    const ratio = (a + .05) / (b + .05);
    if (element.textContent.trim() && ratio < 4.5) faint.push(`${element.outerHTML.slice(0, 80)}: ${ratio.toFixed(1)}`);
  }
  return faint;
})()"""


def test_filters_narrow_the_list(page: Page, tmp_path: Path) -> None:
    page.show_as(1280)
    page.open(write(samples.large(), tmp_path))
    assert page.evaluate(f"{SHOWN}.length") == 800
    assert not page.evaluate("document.getElementById('everything').open")
    page.evaluate("document.querySelector('.tally .unknown').click()")
    assert page.evaluate("document.getElementById('everything').open")
    assert page.evaluate(f"{SHOWN}.every(row => row.dataset.status === 'unknown')")
    assert page.evaluate(f"{SHOWN}.length") == 12
    assert page.evaluate("document.getElementById('matching').textContent") == "12 of 800"
    page.evaluate("document.querySelector('[data-host=node7]').click()")
    assert page.evaluate(f"new Set({SHOWN}.map(row => row.dataset.host)).size") == 1
    assert page.evaluate(f"{SHOWN}.length") == 20


def test_cell_of_the_board_shows_its_finding(page: Page, tmp_path: Path) -> None:
    page.show_as(1280)
    page.open(write(samples.daily(), tmp_path))
    page.evaluate("document.querySelector('.board td a.critical').focus()")
    assert not page.evaluate("document.getElementById('peek').hidden")
    assert "evidence-api.service is failed" in page.evaluate("document.getElementById('peek').textContent")
    page.evaluate("document.activeElement.blur()")
    assert page.evaluate("document.getElementById('peek').hidden")


def test_link_to_a_finding_opens_the_list_at_it(page: Page, tmp_path: Path) -> None:
    page.show_as(1280)
    page.open(write(samples.large(), tmp_path))
    assert not page.evaluate("document.getElementById('everything').open")
    page.evaluate("document.querySelector('.board td a.unknown').click()")
    page.evaluate("new Promise(done => setTimeout(done, 200))")
    place = page.evaluate("document.querySelector('tr:target').getBoundingClientRect().top")
    assert 0 < place < 900


def test_status_is_told_without_colour(page: Page, tmp_path: Path) -> None:
    page.open(write(samples.daily(), tmp_path))
    signs = "Array.from(document.querySelectorAll('.board td a'), cell => `${cell.className} ${cell.textContent}`)"
    assert set(page.evaluate(signs)) == {"ok ✓", "warning !", "unknown ?", "critical ✕"}
    assert page.evaluate("document.querySelectorAll('.board td a:not([aria-label])').length") == 0


def test_large_report_is_small(page: Page, tmp_path: Path) -> None:
    """40 hosts with 20 checks each: under 1 MB, and no script that the browser gives up."""
    file = write(samples.large(), tmp_path)
    assert file.stat().st_size < 1_000_000
    page.open(file)
    assert page.evaluate("document.readyState") == "complete"
