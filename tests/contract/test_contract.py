"""The project keeps its own rules."""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.contract import rules_changes, rules_pages, rules_roles, rules_source
from tests.contract.project import Project, Rule, without_code

ROOT = Path(__file__).resolve().parents[2]
RULES = (*rules_pages.RULES, *rules_roles.RULES, *rules_changes.RULES, *rules_source.RULES)
INSTALLED = Path(str(importlib.metadata.distribution("ansible").locate_file("ansible_collections")))


@pytest.fixture(scope="module")
def project() -> Project:
    return Project(ROOT)


@pytest.mark.parametrize("rule", [pytest.param(rule, id=rule.__name__) for rule in RULES])
def test_rule(rule: Rule, project: Project) -> None:
    violations = list(rule(project))
    assert not violations, f"{rule.__doc__}\n" + "\n".join(violations)


@pytest.mark.parametrize(
    ("name", "version"),
    [
        pytest.param(item["name"], item["version"], id=item["name"])
        for item in yaml.safe_load((ROOT / "requirements.yml").read_text(encoding="utf-8"))["collections"]
    ],
)
def test_collection_is_the_one_of_the_locked_environment(name: str, version: str) -> None:
    """What AWX installs from requirements.yml is what was tested."""
    manifest = json.loads((INSTALLED / name.replace(".", "/") / "MANIFEST.json").read_text(encoding="utf-8"))
    assert manifest["collection_info"]["version"] == version


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_links_of_the_documents_at_the_top(document: str) -> None:
    """The site's own links are checked by its strict build."""
    text = without_code((ROOT / document).read_text(encoding="utf-8"))
    targets = [target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]
    missing = [target for target in targets if target and not (ROOT / target).exists()]
    assert not missing


def test_execution_environment_has_the_locked_versions(tmp_path: Path) -> None:
    """What AWX runs is what was tested, and ansible-builder understands the description."""
    description = (ROOT / "execution-environment.yml").read_text(encoding="utf-8")
    named = set(re.findall(r"^ +package_pip: (\S+==\S+)$", description, re.MULTILINE))
    locked = set(re.findall(r"^(\S+==\S+) ", (ROOT / "requirements.lock").read_text(encoding="utf-8"), re.MULTILINE))
    assert named
    assert named <= locked
    command = [
        "ansible-builder",
        "create",
        "--file",
        "execution-environment.yml",
        "--context",
        str(tmp_path / "context"),
    ]
    result = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
