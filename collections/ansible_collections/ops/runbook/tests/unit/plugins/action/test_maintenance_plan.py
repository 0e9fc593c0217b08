"""The plan of routine maintenance in real runs of ansible-playbook on this machine; nothing is cleaned."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parents[8]
PLAYBOOK = """
- hosts: platform
  gather_facts: false
  tasks:
    - ansible.builtin.import_role: {name: routine_maintenance, tasks_from: preflight, rolespec_validate: false}
    - ansible.builtin.debug: {msg: "{{ __routine_maintenance_plan | to_json }}"}
      run_once: true
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An inventory of two names for this machine."""
    (tmp_path / "ansible.cfg").touch()
    (tmp_path / "playbook.yml").write_text(PLAYBOOK, encoding="utf-8")
    hosts = {"hosts": {"h1": {}, "h2": {}}, "vars": {"ansible_connection": "local"}}
    (tmp_path / "hosts.json").write_text(json.dumps({"platform": hosts}), encoding="utf-8")
    return tmp_path


def run(folder: Path, **variables: Any) -> subprocess.CompletedProcess[str]:
    promise = {"objectives_retention": {"logs": {"keep": "400d"}}}
    given = {**promise, "routine_maintenance_areas": ["reboot"], **variables}
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
        "ANSIBLE_ROLES_PATH": str(PROJECT / "roles"),
        "ANSIBLE_COLLECTIONS_PATH": str(PROJECT / "collections"),
        "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
    }
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    command = [program, "-i", str(folder / "hosts.json"), "-e", json.dumps(given), str(folder / "playbook.yml")]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


def refusal(folder: Path, **variables: Any) -> str:
    done = run(folder, **variables)
    assert done.returncode == 2
    assert '"refused": true' in done.stdout
    return done.stdout + done.stderr


def test_hosts_with_nothing_to_do_are_told_apart(folder: Path) -> None:
    done = run(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert '\\"cleans\\": false' in done.stdout


def test_a_host_that_cannot_be_inspected_refuses_the_run(folder: Path) -> None:
    gone = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
    hosts = {"h1": {"ansible_connection": "local"}, "h2": gone}
    (folder / "hosts.json").write_text(json.dumps({"platform": {"hosts": hosts}}), encoding="utf-8")
    said = refusal(folder)
    assert "- h2: it cannot be inspected:" in said
    assert "- h1" not in said


def test_a_wrong_option_of_one_host_names_it(folder: Path) -> None:
    hosts = {"h1": {}, "h2": {"routine_maintenance_releases_keep": 0}}
    inventory = {"hosts": hosts, "vars": {"ansible_connection": "local"}}
    (folder / "hosts.json").write_text(json.dumps({"platform": inventory}), encoding="utf-8")
    assert "routine_maintenance_releases_keep keeps 0 releases; keep at least 1, the one that runs (on h2)" in refusal(
        folder
    )


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"routine_maintenance_temporary": "10d"}, "routine_maintenance_temporary"),
        ({"routine_maintenance_rank": "first"}, "routine_maintenance_rank"),
        ({"routine_maintenance_log_keep": "{{ nosuch }}"}, "routine_maintenance_log_keep: 'nosuch' is undefined"),
        ({"objectives_retention": {"logs": {}}}, "routine_maintenance_log_promise"),
    ],
)
def test_wrong_options_are_refused(folder: Path, variables: dict[str, Any], message: str) -> None:
    assert message in refusal(folder, **variables)
