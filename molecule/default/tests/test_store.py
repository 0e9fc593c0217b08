"""The store: in other hands than the platform, with the programs that keep backups."""

from __future__ import annotations

import os
import subprocess

from testinfra.host import Host

from tests.lab.hosts import ssh_command
from tests.lab.state import Lab

testinfra_hosts = ["ansible://store"]


def test_programs_are_installed(host: Host) -> None:
    for program in ("pgbackrest", "restic", "rclone"):
        assert host.check_output(f"{program} version")


def test_administrator_is_not_that_of_the_platform(host: Host) -> None:
    assert host.check_output("ls /home") == "storekeeper"
    assert host.run("id ops").rc != 0


def test_key_of_the_platform_opens_nothing(host: Host) -> None:
    lab = Lab(os.environ["LAB"])
    state = lab.read()
    assert state is not None
    for account in ("ops", "root", "storekeeper"):
        command = ssh_command(lab, state.hosts["store1"].port, "true", account=account)
        command[command.index("-i") + 1] = str(lab.key)
        tried = subprocess.run(command, capture_output=True, text=True, check=False)
        assert tried.returncode == 255
        assert "Permission denied" in tried.stderr
