# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.ops.runbook.plugins.plugin_utils.host_program import PROGRAMS, text


@pytest.mark.parametrize("name", PROGRAMS)
def test_program_stands_alone(name: str, tmp_path: Path) -> None:
    program = tmp_path / name
    program.write_text(text(name), encoding="utf-8")
    result = subprocess.run([sys.executable, "-I", program, "--help"], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "verify" in result.stdout
    tree = ast.parse(text(name), feature_version=(3, 9))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not [each for each in imported if each and each.startswith("ansible")]
