"""Every Molecule scenario, from create to destroy."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCENARIOS = sorted(path.parent.name for path in ROOT.glob("molecule/*/molecule.yml"))

# Two at a time, beside the tests that share a lab: with more labs at work the processors would only be slow.
GROUPED = [
    pytest.param(name, marks=pytest.mark.xdist_group(f"scenarios-{number % 2}"))
    for number, name in enumerate(SCENARIOS)
]


@pytest.mark.parametrize("scenario", GROUPED)
def test_scenario(scenario: str) -> None:
    result = subprocess.run(
        ["molecule", "test", "--scenario-name", scenario],
        cwd=ROOT,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert result.returncode == 0, result.stdout[-20_000:]
