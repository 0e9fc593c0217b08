"""Linters, type checker and the collection's sanity tests; each is one test, so that all of them report."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COLLECTION = ROOT / "collections/ansible_collections/ops/runbook"


def run(*command: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.parametrize(
    "command",
    [
        "ruff check .",
        "ruff format --check .",
        "mypy",
        "yamllint --strict .",
        "ansible-lint --offline",
    ],
)
def test_lint(command: str) -> None:
    result = run(*command.split())
    assert result.returncode == 0, result.stdout


def test_collection_sanity() -> None:
    """Every sanity test of ansible-test that this interpreter can run."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    command = ("ansible-test", "sanity", "--color", "no", "--python", python)
    result = run(*command, cwd=COLLECTION)
    # ansible-test makes venvs of its own and fetches pip for them; without internet, the interpreter's own pip serves.
    bootstrap = re.search(r"manually downloaded and saved to: (\S+)", result.stdout)
    if bootstrap:
        Path(bootstrap[1]).write_text("import ensurepip\n\nensurepip.bootstrap(upgrade=True)\n", encoding="utf-8")
        result = run(*command, cwd=COLLECTION)
    assert result.returncode == 0, result.stdout
