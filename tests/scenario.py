"""What scenarios share: running a procedure as an operator does, and a root shell on its hosts."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab.podman import environment
from tests.lab.state import Lab

ROOT = Path(__file__).resolve().parents[1]


def shell(host: str, script: str) -> str:
    """Run a script as root on a host of the scenario's lab, past SSH, which is itself a subject of tests."""
    container = Lab(os.environ["LAB"]).container(host)
    result = subprocess.run(
        ["podman", "exec", "--interactive", container, "bash", "-euo", "pipefail"],
        env=environment(),
        input=script,
        capture_output=True,
        check=False,
        text=True,
    )
    assert result.returncode == 0, f"{host}: {script}\n{result.stdout}{result.stderr}"
    return result.stdout


@dataclass(frozen=True)
class Outcome:
    """What a procedure printed, how it ended, and its report."""

    returncode: int
    output: str
    #: The content of findings.json; empty where no report was written.
    report: dict[str, Any]

    @property
    def findings(self) -> list[dict[str, Any]]:
        """All findings."""
        findings: list[dict[str, Any]] = self.report.get("findings", [])
        return findings

    @property
    def bad(self) -> dict[tuple[str, str], str]:
        """(host, check) → status of every finding that is not ok."""
        return {(f["host"], f["check"]): f["status"] for f in self.findings if f["status"] != "ok"}


@dataclass(frozen=True)
class Procedure:
    """A procedure that publishes findings, with its inventories and a state directory."""

    name: str
    inventories: tuple[Path, ...]
    state: Path

    def run(self, *options: str, prefix: Sequence[str] = ()) -> Outcome:
        """Run it, under another program if there is a prefix."""
        inventories = [word for path in self.inventories for word in ("--inventory", str(path))]
        reports = self.state / "reports" / self.name
        before = set(reports.glob("*/findings.json"))
        result = subprocess.run(
            [*prefix, "ansible-playbook", f"playbooks/{self.name}.yml", *inventories, *options],
            cwd=ROOT,
            env={**os.environ, "RUNBOOK_STATE_DIR": str(self.state)},
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        new = sorted(set(reports.glob("*/findings.json")) - before)
        report = json.loads(new[-1].read_text(encoding="utf-8")) if new else {}
        return Outcome(result.returncode, result.stdout, report)
