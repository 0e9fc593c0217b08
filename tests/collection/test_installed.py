"""The built collection works where there is no checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.lab.images import SERVING_HOSTS

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.xdist_group("lab")


def run(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    result = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=env,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert result.returncode == 0, result.stdout
    return result.stdout


@pytest.fixture(scope="module")
def tarball(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("dist")
    return Path(run(sys.executable, ROOT / "scripts/dist.py", output, cwd=output).splitlines()[-1])


@pytest.fixture(scope="module")
def installed(tarball: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A folder with nothing but ansible-core and the collection, and the environment that uses them."""
    home = tmp_path_factory.mktemp("installed")
    uv = ROOT / ".bootstrap/bin/uv"
    run(uv, "venv", "--python", sys.executable, home / "venv", cwd=home)
    run(
        uv, "pip", "install", "--python", home / "venv/bin/python", f"ansible-core=={version('ansible-core')}", cwd=home
    )
    environment = {
        "PATH": f"{home / 'venv/bin'}:/usr/bin:/bin",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "ANSIBLE_COLLECTIONS_PATH": str(home / "collections"),
        "ANSIBLE_CALLBACKS_ENABLED": "ops.runbook.run_record",
        "RUNBOOK_STATE_DIR": str(home / "state"),
    }
    run("ansible-galaxy", "collection", "install", tarball, "-p", home / "collections", cwd=home, env=environment)
    return home, environment


def test_health_checks_run_from_the_installed_collection(
    installed: tuple[Path, dict[str, str]], lab: dict[str, str]
) -> None:
    home, environment = installed
    run(
        "ansible-playbook",
        "ops.runbook.monitoring_procedures.health_checks",
        "--inventory",
        ROOT / "inventories/lab",
        cwd=home,
        env={**environment, "LAB": lab["LAB"]},
    )
    [folder] = (home / "state/reports/monitoring_procedures/health_checks").glob("2*")
    assert (folder / "report.html").is_file()
    findings = json.loads((folder / "findings.json").read_text(encoding="utf-8"))["findings"]
    assert {finding["host"] for finding in findings} == set(SERVING_HOSTS)
    ledger = home / "state/ledger/ledger.jsonl"
    assert '"procedure":"monitoring_procedures/health_checks"' in ledger.read_text(encoding="utf-8").replace(": ", ":")


def test_roles_are_documented(installed: tuple[Path, dict[str, str]]) -> None:
    home, environment = installed
    roles = sorted(path.name for path in (ROOT / "roles").iterdir())
    listing = run("ansible-doc", "--type", "role", "--list", cwd=home, env=environment)
    assert [role for role in roles if f"ops.runbook.{role}" not in listing] == []
    for role in roles:
        assert "ENTRY POINT" in run("ansible-doc", "--type", "role", f"ops.runbook.{role}", cwd=home, env=environment)


def test_catalogue_is_inside(installed: tuple[Path, dict[str, str]]) -> None:
    home, _ = installed
    pages = home / "collections/ansible_collections/ops/runbook/runbook_docs"
    assert (pages / "monitoring-procedures/health-checks.md").is_file()


def test_galaxy_importer_accepts_it(tarball: Path, tmp_path: Path) -> None:
    # Its ansible-lint only warns, and is given up after three minutes; the same files are linted in tests/quality.
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "GALAXY_IMPORTER_RUN_ANSIBLE_LINT": "false"}
    output = run(sys.executable, "-m", "galaxy_importer.main", tarball, cwd=tmp_path, env=environment)
    assert "Importer processing completed successfully" in output
    assert "ERROR" not in output
