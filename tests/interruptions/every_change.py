"""The whole matrix: every procedure, killed after its lock and after every change in turn.

Its name keeps it out of `make test`: `make test-interruptions` names it. `-k NAME` takes one procedure, and
`POINTS="3 4"` in the environment some of its points. Each procedure has two lanes, one for the even points and one for
the odd ones, with a lab of their own: processors wait less when two labs are at work.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interruptions import matrix
from tests.scenario import ROOT

LANES = 2
MODULES = sorted(ROOT.glob("molecule/*/tests/interruption*.py"))
CASES = {matrix.title(path): matrix.of(path) for path in MODULES}
CHOSEN = tuple(int(number) for number in os.environ.get("POINTS", "").split())

pytestmark = pytest.mark.parametrize("lane", range(LANES))


@pytest.fixture
def lab(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The lane's own lab, which each of its points makes anew."""
    monkeypatch.setenv("LAB", f"cut-{request.node.callspec.id}")
    yield os.environ["LAB"]
    subprocess.run([sys.executable, "-m", "tests.lab", "down"], cwd=ROOT, check=True)


def every_point(case: matrix.Case, lane: int, folder: Path, capfd: pytest.CaptureFixture[str], lab: str) -> None:
    numbers = CHOSEN[lane::LANES] if CHOSEN else itertools.count(lane, LANES)
    wrong = []
    began = time.monotonic()
    for number, error in matrix.points(case, folder, numbers):
        took, began = time.monotonic() - began, time.monotonic()
        with capfd.disabled():
            print(f"{lab}: point {number} {f'FAILED: {error}' if error else 'ok'} ({took:.0f} s)", file=sys.stderr)
        if error:
            wrong.append(f"point {number}: {error}")
    assert not wrong, "\n\n".join(wrong)


def test_guarded(guarded: matrix.Case, lane: int, tmp_path: Path, capfd: pytest.CaptureFixture[str], lab: str) -> None:
    every_point(guarded, lane, tmp_path, capfd, lab)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_procedure(case: matrix.Case, lane: int, tmp_path: Path, capfd: pytest.CaptureFixture[str], lab: str) -> None:
    every_point(case, lane, tmp_path, capfd, lab)
