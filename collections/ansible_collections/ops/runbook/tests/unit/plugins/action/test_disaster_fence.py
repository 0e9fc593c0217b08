"""A host is fenced when a second command proves it, and only then; the commands are real ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from ansible_collections.ops.runbook.plugins.action.disaster_fence import fence


def test_proven(tmp_path: Path) -> None:
    """The power goes off some time after the command: the proof is asked for again."""
    off = str(tmp_path / "{host}")
    slowly = ("sh", "-c", f"(sleep 0.7; touch {off}) >/dev/null 2>&1 &")
    assert fence("db1", slowly, ("test", "-e", off), 10) == ""
    assert [path.name for path in tmp_path.iterdir()] == ["db1"]


@pytest.mark.parametrize(
    ("command", "proof", "words"),
    [
        (("true",), ("false",), "nothing proves that db1 is off: false ended with 1"),
        (("sh", "-c", "echo no route to {host}-bmc; exit 3"), ("true",), "ended with 3: no route to db1-bmc"),
        (("/no/such/program",), ("true",), "No such file"),
        (("sleep", "30"), ("true",), "timed out"),
        (("true",), ("sleep", "30"), "timed out"),
    ],
)
def test_not_fenced(command: Sequence[str], proof: Sequence[str], words: str) -> None:
    problem = fence("db1", command, proof, 0.3)
    assert problem.startswith(("db1 is not fenced: ", "nothing proves that db1 is off: "))
    assert words in problem
