"""Every Molecule scenario, from create to destroy."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCENARIOS = sorted(path.parent.name for path in ROOT.glob("molecule/*/molecule.yml"))
#: Colours, and the bar that Molecule draws before what it runs.
_DECORATION = re.compile(r"\x1b\[[0-9;]*m")
_BAR = re.compile(r"^ *│ ?")
#: How a failure begins in the output of Ansible, of pytest and of Molecule.
_FAILURE = re.compile(r"fatal: |\[ERROR\]|^ERROR|^E  |^FAILED |UNREACHABLE|^critical |Traceback")


def reason(output: str) -> str:
    """The lines that say why a scenario failed, with a few around them; where there are none, the end of the output."""
    lines = [_BAR.sub("", line) for line in _DECORATION.sub("", output).splitlines()]
    near = {n + around for n, line in enumerate(lines) if _FAILURE.search(line) for around in range(-3, 6)}
    return "\n".join([lines[n] for n in sorted(near) if 0 <= n < len(lines)][-150:] or lines[-60:])


# Each in a lab of its own: they run beside each other, and beside the tests that share a lab, as workers are free.
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario(scenario: str, tmp_path: Path) -> None:
    # Without the records that a run which was killed has left: those are of a lab that is gone.
    subprocess.run(["molecule", "reset", "--scenario-name", scenario], cwd=ROOT, check=True, capture_output=True)
    result = subprocess.run(
        ["molecule", "test", "--scenario-name", scenario],
        cwd=ROOT,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if result.returncode:
        whole = tmp_path / "output.txt"
        whole.write_text(result.stdout, encoding="utf-8")
        # Without the traceback of this function: what matters stands first, wherever a log is cut.
        pytest.fail(f"{reason(result.stdout)}\nThe whole output: {whole}", pytrace=False)
