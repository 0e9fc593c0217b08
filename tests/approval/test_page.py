"""The commands of the page about plans work as they stand there, in a checkout with the names that the page uses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from checkout import Checkout, make_checkout

from tests.contract.blocks import blocks

PAGE = Path("runbook_docs/reference/change-approval.md")
PLAYBOOK = "playbooks/maintenance/security_updates.yml"


def commands(language: str) -> list[str]:
    return [block.text for block in blocks(language) if block.path == PAGE]


@pytest.fixture
def production(tmp_path: Path) -> Checkout:
    checkout = make_checkout(tmp_path, os.environ)
    (checkout.root / checkout.playbook).rename(checkout.root / PLAYBOOK)
    inventory = checkout.root / "inventories/production"
    inventory.parent.mkdir()
    (checkout.root / "inventory").rename(inventory)
    hosts = (inventory / "hosts.yml").read_text()
    groups = "  children: {app: {hosts: {app1: , app2: }}}\n"
    (inventory / "hosts.yml").write_text(hosts.replace("/../../hosts/", "/../../../hosts/") + groups)
    (rule,) = commands("yaml")
    (inventory / "group_vars/platform/change_guard.yml").write_text(rule)
    keys = tmp_path / "home/.ssh"
    keys.mkdir(parents=True)
    checkout.key("anna").rename(keys / "id_ed25519")
    (tmp_path / "keys/anna.pub").rename(keys / "id_ed25519.pub")
    checkout.environment |= {
        "HOME": str(tmp_path / "home"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{checkout.environment['PATH']}",
    }
    return checkout


def test_make_approve_apply_and_check(production: Checkout) -> None:
    make, sign, apply, check, add = commands("bash")

    def do(command: str, code: int = 0) -> str:
        result = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=production.root,
            env=production.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert result.returncode == code, f"{command}\n{result.stdout}"
        return result.stdout

    do(add)
    production.commit()
    printed = do(make)
    assert apply.strip() in printed, "the command that is printed is that of the page"
    assert "nobody approved" in do(apply, code=2)
    do(sign)
    assert 'Good "runbook-plan" signature for anna@example.org' in do(check)
    do(apply)
    assert production.host_file("app2").read_text() == "first\n"
