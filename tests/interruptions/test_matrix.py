"""The smallest procedure is killed after its lock, at its first change, in the middle, and at its last.

`make test-interruptions` kills each procedure at every point: every_change.py.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tests.interruptions import matrix

pytestmark = [pytest.mark.xdist_group("lab"), pytest.mark.usefixtures("interruptions_lab")]


def test_first_middle_and_last_change(guarded: matrix.Case, tmp_path: Path) -> None:
    guarded.prepare()
    check = guarded.procedure(tmp_path / "check").run("--check")
    assert check.returncode == 0, check.output
    last = len(check.changes)
    assert last == 8, check.changes
    for number in (1, last // 2 + 1, last):
        assert matrix.after_change(guarded, number, tmp_path / str(number))


def test_a_kill_between_lock_and_first_change(guarded: matrix.Case, tmp_path: Path) -> None:
    matrix.after_lock(guarded, tmp_path)


def test_a_procedure_that_forgets_is_noticed(guarded: matrix.Case, tmp_path: Path) -> None:
    """Killed after the last file of app2: its next run finds nothing to do, and must restore the traffic."""
    forgetful = dataclasses.replace(guarded, options=("-e", "forgetful=true"))
    with pytest.raises(AssertionError, match="an upstream server is drained"):
        matrix.after_change(forgetful, 7, tmp_path)
