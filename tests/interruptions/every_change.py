"""The whole matrix: every procedure, killed after its lock and after every change in turn. It takes an hour or more.

Its name keeps it out of `make test`: `make test-interruptions` names it. `-k NAME` takes one procedure.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.interruptions import matrix
from tests.scenario import ROOT

MODULES = sorted(ROOT.glob("molecule/*/tests/interruption.py"))
CASES = {path.parts[-3]: matrix.from_scenario(matrix.procedure_of(path), matrix.load(path)) for path in MODULES}

pytestmark = pytest.mark.usefixtures("interruptions_lab")


def every_point(case: matrix.Case, folder: Path) -> None:
    wrong = []
    for number, error in matrix.points(case, folder):
        print(f"{case.name}: point {number} {'FAILED' if error else 'ok'}", file=sys.__stderr__, flush=True)
        if error:
            wrong.append(f"point {number}: {error}")
    assert not wrong, "\n\n".join(wrong)


def test_guarded(guarded: matrix.Case, tmp_path: Path) -> None:
    every_point(guarded, tmp_path)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_procedure(case: matrix.Case, tmp_path: Path) -> None:
    every_point(case, tmp_path)
