"""The lab's inventory says what to do when there is no lab, instead of failing somewhere else."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.state import ROOT, Host, State, write_atomically

BIN = Path(sys.executable).parent


def ansible(*command: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", **environment}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)


def test_inventory_can_be_read_without_a_lab(tmp_path: Path) -> None:
    listed = ansible(
        "ansible-inventory", "--list", "-i", str(ROOT / "inventories/lab"), cwd=tmp_path, LAB="no-such-lab"
    )
    assert listed.returncode == 0, listed.stderr
    inventory = json.loads(listed.stdout)
    assert set(inventory["_meta"]["hostvars"]) == {"proxy1", "app1", "app2", "db1", "db2", "store1"}
    assert inventory["app"]["hosts"] == ["app1", "app2"]


def test_inventory_has_the_store_where_the_lab_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Ansible would take the bytecode in the inventory's folder for another inventory.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    spec = importlib.util.spec_from_file_location("connection", ROOT / "inventories/lab/connection.py")
    assert spec
    assert spec.loader
    connection = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(connection)
    folder = tmp_path / "demo"
    for hosts in (["db1"], ["db1", "scratch1", "store1"]):
        accounts = {"store1": "storekeeper"}
        recorded = {name: Host(2200 + len(name), "sha", accounts.get(name, "ops")) for name in hosts}
        write_atomically(folder / "lab.json", State("demo", "bookworm", "golden", recorded).to_json())
        listed = connection.inventory(tmp_path, "demo")
        assert listed["store"]["hosts"] == [name for name in hosts if name == "store1"]
        assert listed["scratch"]["hosts"] == [name for name in hosts if name == "scratch1"]
        assert "undef" in listed["_meta"]["hostvars"]["app1"]["ansible_host"]
    key = listed["_meta"]["hostvars"]["store1"]["ansible_ssh_private_key_file"]
    assert key == str(folder / "storekeeper_ed25519")


def test_connection_without_a_lab_says_what_to_do(tmp_path: Path) -> None:
    tried = ansible(
        "ansible", "app1", "-m", "ansible.builtin.ping", "-i", str(ROOT / "inventories/lab"),
        cwd=tmp_path, LAB="no-such-lab",
    )  # fmt: skip
    assert tried.returncode != 0
    assert "lab 'no-such-lab' is not up: run `make lab`" in tried.stdout + tried.stderr


def test_status_of_no_lab_says_what_to_do() -> None:
    result = ansible(sys.executable, "-m", "tests.lab", "status", "--name", "no-such-lab")
    assert (result.returncode, result.stderr) == (1, "lab: lab 'no-such-lab' is not up: run `make lab`\n")
