from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.ops.runbook.plugins.plugin_utils.catalogue import CatalogueError, Duration, load, read

PAGE = {
    "title": "Health checks",
    "summary": "Check every host.",
    "kind": "read-only",
    "playbook": "playbooks/monitoring/health_checks.yml",
    "scenarios": ["health_checks"],
    "roles": ["health_check"],
    "approval": "none",
    "expected_duration": "10s",
    "impact": "None.",
    "alerts": [],
    "owner_role": "on-call",
    "controls": ["A.8.16"],
}
INDEX = {"title": "Runbook", "summary": "All pages.", "kind": "reference"}
DATA = {
    "chapters": {"monitoring": "Monitoring", "": "Operations"},
    "controls": {"A.8.16": "Monitoring activities"},
    "planned": {"monitoring/alerts": {"title": "Alerts", "summary": "Take an alert."}},
}


def write(docs: Path, name: str, front_matter: Any) -> None:
    path = docs / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"---\n{yaml.safe_dump(front_matter)}---\n# Title\n", encoding="utf-8")


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    (tmp_path / "catalogue.yml").write_text(yaml.safe_dump(DATA, sort_keys=False), encoding="utf-8")
    write(tmp_path, "monitoring/health-checks.md", PAGE)
    write(tmp_path, "index.md", INDEX)
    return tmp_path


def test_load_gives_the_procedures(docs: Path) -> None:
    (procedure,) = load(docs)
    assert procedure.name == "monitoring/health-checks"
    assert procedure.chapter == "monitoring"
    assert procedure.expected_duration == Duration(10, "s")
    assert procedure.roles == ("health_check",)
    assert procedure.drill_interval is None


def test_read_gives_references_and_plans_too(docs: Path) -> None:
    catalogue = read(docs)
    assert [page.name for page in catalogue.references] == ["index"]
    assert [plan.title for plan in catalogue.planned] == ["Alerts"]
    assert catalogue.names == {"monitoring/health-checks", "monitoring/alerts"}


def test_pages_stand_in_the_order_of_the_chapters(docs: Path) -> None:
    write(docs, "a.md", PAGE)
    assert [page.name for page in load(docs)] == ["monitoring/health-checks", "a"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"kind": "harmless"}, "kind is 'harmless'; allowed: read-only, mutating, reference", id="kind"),
        pytest.param({"approval": "maybe"}, "approval is 'maybe'; allowed: none, four-eyes", id="approval"),
        pytest.param({"expected_duration": "10"}, "expected_duration is '10'; allowed: a number with unit", id="unit"),
        pytest.param({"drill_interval": "often"}, "drill_interval is 'often'", id="drill"),
        pytest.param({"scenarios": "one"}, "scenarios is 'one'; allowed: a list of texts", id="list"),
        pytest.param({"alerts": [""]}, "alerts is ['']; allowed: a text", id="empty text in a list"),
        pytest.param({"title": " "}, "title is ' '; allowed: a text", id="empty text"),
        pytest.param({"controls": ["A.9.99"]}, "controls has 'A.9.99'; allowed: A.8.16", id="control"),
        pytest.param({"owner": "me"}, "front matter has owner; allowed: title, summary", id="unknown key"),
        pytest.param({"roles": None}, "roles is None; allowed: a list of texts", id="nothing"),
    ],
)
def test_error_names_page_key_and_allowed_values(docs: Path, change: dict[str, Any], message: str) -> None:
    write(docs, "monitoring/health-checks.md", PAGE | change)
    with pytest.raises(CatalogueError) as error:
        load(docs)
    assert "monitoring/health-checks.md: " in str(error.value)
    assert message in str(error.value)


@pytest.mark.parametrize("key", [key for key in PAGE if key != "kind"])
def test_missing_key_is_named(docs: Path, key: str) -> None:
    write(docs, "monitoring/health-checks.md", {name: value for name, value in PAGE.items() if name != key})
    with pytest.raises(CatalogueError, match=f"front matter lacks {key}"):
        load(docs)


def test_reference_has_no_procedure(docs: Path) -> None:
    write(docs, "index.md", INDEX | {"playbook": "playbooks/x.yml"})
    with pytest.raises(CatalogueError, match=r"index.md: front matter has playbook; allowed: title, summary, kind"):
        load(docs)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("# Title\n", "does not begin with front matter", id="none"),
        pytest.param("---\ntitle: [\n---\n", "front matter is not YAML", id="no YAML"),
        pytest.param("---\n- title\n---\n", "front matter is not a mapping", id="a list"),
    ],
)
def test_front_matter_that_is_none(docs: Path, text: str, message: str) -> None:
    (docs / "index.md").write_text(text, encoding="utf-8")
    with pytest.raises(CatalogueError, match=message):
        load(docs)


def test_page_that_is_still_planned(docs: Path) -> None:
    write(docs, "monitoring/alerts.md", PAGE)
    with pytest.raises(CatalogueError, match="planned has 'monitoring/alerts', which has a page by now"):
        load(docs)


def test_chapter_that_is_not_in_the_catalogue(docs: Path) -> None:
    write(docs, "elsewhere/page.md", PAGE)
    with pytest.raises(CatalogueError, match="chapters has no 'elsewhere', the folder of 'elsewhere/page'"):
        load(docs)


@pytest.mark.parametrize(
    ("text", "seconds", "words"), [("90d", 7776000, "90 days"), ("1d", 86400, "1 day"), ("5m", 300, "5 min")]
)
def test_duration(text: str, seconds: int, words: str) -> None:
    assert Duration.parse(text).seconds == seconds
    assert str(Duration.parse(text)) == words
