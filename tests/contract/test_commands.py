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


@pytest.mark.xdist_group("lab")
@pytest.mark.parametrize("block", [pytest.param(block, id=str(block)) for block in COMMANDS if not block.mark])
def test_command(block: Block, lab: dict[str, str]) -> None:
    """In the order of the pages, because a page's later commands read what its earlier ones wrote."""
    environment = {**lab, "PATH": f"{ROOT / '.venv/bin'}{os.pathsep}{lab['PATH']}"}
    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.text],
        cwd=ROOT,
        env=environment,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, f"{block.text}\n{result.stdout}"
