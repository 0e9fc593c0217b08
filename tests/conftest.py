"""One healthy lab for the tests that only look at it.

Tests that break hosts are Molecule scenarios, each with a lab of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.images import SERVING_HOSTS

ROOT = Path(__file__).resolve().parents[1]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Stop where groups are not kept together: two workers would take down each other's lab."""
    if not getattr(session.config.option, "loadgroup", False):
        return
    for item in session.items:
        if item.get_closest_marker("xdist_group") and "@" not in item.nodeid:
            raise pytest.UsageError(f"pytest-xdist does not know the group of {item.nodeid}: see pyproject.toml")


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Environment of commands that run against the lab `tests`; state goes to a directory of its own.

    Tests that use it belong to the xdist group `lab`, so that one process owns the lab.
    """
    tests_lab = [sys.executable, "-m", "tests.lab"]
    subprocess.run([*tests_lab, "up", "--name", "tests", *SERVING_HOSTS], cwd=ROOT, check=True)
    state = tmp_path_factory.mktemp("state")
    yield {**os.environ, "LAB": "tests", "RUNBOOK_STATE_DIR": str(state)}
    subprocess.run([*tests_lab, "down", "--name", "tests"], cwd=ROOT, check=True)
