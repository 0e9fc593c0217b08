"""Schedules that systemd keeps on the controller. A host of the lab stands for it, since it has a systemd."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

from tests.scenario import ROOT, Procedure, shell


def installing(name: str, host: str, state: Path, folder: Path) -> Procedure:
    """The procedure that installs a schedule on this host."""
    inventory = folder / "controller.yml"
    inventory.write_text(f"controller: {{hosts: {{{host}: }}}}\n", encoding="utf-8")
    return Procedure(f"backup_recovery/{name}", (ROOT / "inventories/lab", inventory), state)


def service_of_timer(host: str, unit: str) -> dict[str, str]:
    """What the service of a timer says, once systemd has taken both and will start them."""
    states = shell(host, f"systemctl is-active {unit}.timer; systemctl is-enabled {unit}.timer").split()
    assert states == ["active", "enabled"]
    shell(host, f"systemd-analyze verify --man=no {unit}.timer")
    return dict(line.split("=", 1) for line in shell(host, f"systemctl cat {unit}.service").splitlines() if "=" in line)


def hosts_of(service: dict[str, str]) -> str:
    """The hosts that the command of a service finds, with its playbook and its inventories."""
    words = [*shlex.split(service["ExecStart"]), "--list-hosts"]
    return subprocess.run(words, cwd=service["WorkingDirectory"], check=True, capture_output=True, text=True).stdout
