"""The lab that every kill point makes anew, and the smallest procedure."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interruptions import matrix
from tests.scenario import ROOT


@pytest.fixture(scope="module")
def interruptions_lab() -> Iterator[None]:
    """Its name is in the environment; kill points start it. Those who use it belong to the xdist group `lab`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAB", "interruptions")
        yield
        subprocess.run([sys.executable, "-m", "tests.lab", "down"], cwd=ROOT, check=True)


@pytest.fixture
def guarded() -> matrix.Case:
    """The smallest procedure."""
    folder = Path(__file__).with_name("guarded")
    case = matrix.from_scenario("guarded", matrix.load(folder / "interruption.py"))
    return dataclasses.replace(case, playbook=folder / "playbook.yml")
