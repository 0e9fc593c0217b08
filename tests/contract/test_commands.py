"""The commands on the pages run, from the checkout, in a shell, against the lab."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.contract.blocks import ROOT, Block, blocks

EXAMPLE = 'title="example"'
COMMANDS = blocks("bash")


@pytest.mark.parametrize("block", [pytest.param(block, id=str(block)) for block in COMMANDS])
def test_marks(block: Block) -> None:
    """A misspelt mark would silently exempt a command, or run one that must not run."""
    assert block.mark in ("", EXAMPLE)


def shell(command: str, lab: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """The command as an operator types it."""
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=ROOT,
        env={**lab, "PATH": f"{ROOT / '.venv/bin'}{os.pathsep}{lab['PATH']}"},
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def history(lab: dict[str, str]) -> dict[str, str]:
    """The lab, with one run in the ledger that commands can list and show."""
    result = shell("ansible-playbook playbooks/monitoring_procedures/health_checks.yml -i inventories/lab", lab)
    assert result.returncode == 0, result.stdout
    return lab


@pytest.mark.xdist_group("lab")
@pytest.mark.parametrize("block", [pytest.param(block, id=str(block)) for block in COMMANDS if not block.mark])
def test_command(block: Block, history: dict[str, str]) -> None:
    result = shell(block.text, history)
    assert result.returncode == 0, f"{block.text}\n{result.stdout}"
