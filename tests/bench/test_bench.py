"""The benchmark still does what it measures: the parts that change hosts, with little data."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("part", ["backup", "failover", "restore", "seal"])
def test_a_part_runs_to_its_end(part: str) -> None:
    command = [sys.executable, "-m", "tests.bench", "--small", "--runs", "1", part]
    environment = {**os.environ, "PYTHONPATH": "collections"}
    result = subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-4000:]
