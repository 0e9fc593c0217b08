"""The site: strictly built, without network, with everything that is generated in place."""

from __future__ import annotations

import html
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from ansible_collections.ops.runbook.plugins.plugin_utils import catalogue

from tests.contract.blocks import ROOT
from tests.reports.browser import executable

CATALOGUE = catalogue.read(ROOT / "runbook_docs")
HEALTH_CHECKS = "monitoring-procedures/health-checks.html"


def build(config: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Links and anchors that lead nowhere end a strict build."""
    return subprocess.run(
        ["mkdocs", "build", "--strict", "--quiet", "--config-file", str(config), "--site-dir", str(site)],
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    result = build(ROOT / "mkdocs.yml", folder)
    assert result.returncode == 0, result.stdout
    return folder


def text(page: Path) -> str:
    """What a reader sees, without tags."""
    return without_tags(page.read_text(encoding="utf-8").partition("<article")[2].partition("</article>")[0])


def without_tags(source: str) -> str:
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", source))).strip()


def tables(page: Path) -> list[list[list[str]]]:
    """The page's tables: rows of cells, the first of which are the headings."""
    source = page.read_text(encoding="utf-8")
    return [
        [
            [without_tags(cell) for cell in re.findall(r"<t[hd]\b.*?>(.*?)</t[hd]>", row, re.DOTALL)]
            for row in re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)
        ]
        for table in re.findall(r"<table>(.*?)</table>", source, re.DOTALL)
    ]


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    fetched = {
        f"{page.relative_to(site)}: {address}"
        for page in site.rglob("*.html")
        for address in re.findall(
            r'<(?:script|link|img|iframe)[^>]+(?:src|href)="(https?:[^"]+)"', page.read_text("utf-8")
        )
    }
    assert fetched == set()


def test_no_marker_is_left(site: Path) -> None:
    assert [str(page) for page in site.rglob("*.html") if "<!-- generated" in page.read_text("utf-8")] == []


@pytest.mark.parametrize("name", sorted(CATALOGUE.names))
def test_index_names_every_procedure(site: Path, name: str) -> None:
    titles = {item.name: item.title for item in CATALOGUE.procedures}
    titles |= {item.name: item.title for item in CATALOGUE.planned}
    assert titles[name] in text(site / "index.html")


@pytest.mark.parametrize("procedure", [pytest.param(item, id=item.name) for item in CATALOGUE.procedures])
def test_page_begins_with_its_facts(site: Path, procedure: catalogue.Procedure) -> None:
    page = site / f"{procedure.name}.html"
    beginning = text(page).partition("Purpose")[0]
    assert procedure.impact in beginning
    assert procedure.playbook in beginning
    assert "<strong>Impact</strong>" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("column", "row", "answer"),
    [
        ("Answered within", "SEV1", "15 min"),
        ("Update every", "SEV1", "30 min"),
        ("Resolved within", "SEV1", "4 h"),
        ("Resolved within", "SEV4", "30 days"),
        ("Who is told, counted from the start", "SEV3", "on-call (at once) → operations lead (1 day)"),
        ("Back within (RTO)", "database", "1 h"),
        ("Loses at most (RPO)", "database", "5 min"),
        ("Loses at most (RPO)", "app", "0 s"),
        ("Every", "database log", "60 s"),
        ("Kept for", "evidence files", "365 days"),
        ("Restore tested every", "configuration and secrets", "90 days"),
        ("Kept for", "sealed evidence", "2555 days"),
        ("Kept for", "logs", "400 days"),
    ],
)
def test_index_answers_what_is_promised(site: Path, column: str, row: str, answer: str) -> None:
    found = {
        line[headings.index(column)]
        for headings, *lines in tables(site / "index.html")
        for line in lines
        if column in headings and line[0] == row
    }
    assert found == {answer}


def test_variables_come_from_the_argument_specs(site: Path) -> None:
    assert "health_check_timeout" in text(site / HEALTH_CHECKS)


def test_check_types_have_their_thresholds(site: Path) -> None:
    assert "space that programs can get" in text(site / HEALTH_CHECKS)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of what the site is made from."""
    for name in ("runbook_docs", "scripts", "roles", "inventories", "collections"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("addition", "message"),
    [
        pytest.param("[gone](gone.md)", "gone.md", id="link"),
        pytest.param("[gone](index.md#gone)", "#gone", id="anchor"),
        pytest.param("<!-- generated: gone -->", "no table 'gone'", id="marker"),
    ],
)
def test_strict_build_notices(copy: Path, addition: str, message: str) -> None:
    page = copy / "runbook_docs/index.md"
    page.write_text(f"{page.read_text(encoding='utf-8')}\n{addition}\n", encoding="utf-8")
    result = build(copy / "mkdocs.yml", copy / "site")
    assert result.returncode != 0
    assert message in result.stdout


def test_search_works_from_disk(site: Path) -> None:
    """In a browser, opened as a file: the worker that searches is replaced by a frame there."""
    address = f"{(site / 'index.html').as_uri()}?q=replication"
    result = subprocess.run(
        [
            executable(),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--virtual-time-budget=15000",
            "--dump-dom",
            address,
        ],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    results = re.findall(r'href="([^"?]+)[^"]*" class="md-search-result__link"', result.stdout)
    assert any(HEALTH_CHECKS in link for link in results), results
