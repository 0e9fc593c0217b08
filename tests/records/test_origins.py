"""Where a run comes from: a terminal, ansible-runner, AWX, an event."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import ansible_runner
import pytest
from ansible_collections.ops.runbook.plugins.module_utils.ledger_verifier import verify
from conftest import PLAYBOOK

if TYPE_CHECKING:
    from conftest import Project

OK = "- name: Say something\n  ansible.builtin.debug: {msg: hello}\n"
#: What AWX passes, besides what ansible-runner sets.
AWX_VARIABLES = {
    "awx_job_id": 42,
    "awx_job_launch_type": "scheduled",
    "awx_job_template_name": "Health checks",
    "awx_schedule_name": "every hour",
    "awx_user_name": "jane",
}


def runner(project: Project, directory: Path, **arguments: object) -> object:
    """A run in a fresh private data directory whose project is this one's."""
    shutil.copytree(project.root, directory / "project")
    (directory / "inventory").mkdir()
    shutil.copy(project.root / "inventory/hosts.yml", directory / "inventory")
    environment = {**project.environment, "RUNBOOK_STATE_DIR": str(project.state)}
    environment["PATH"] = f"{PLAYBOOK.parent}:{os.environ['PATH']}"
    environment["ANSIBLE_CONFIG"] = str(directory / "project/ansible.cfg")
    return ansible_runner.run(
        private_data_dir=str(directory), playbook="playbooks/test.yml", envvars=environment, quiet=True, **arguments
    )


def test_a_terminal(project: Project) -> None:
    path = project.playbook(OK)
    leader, follower = pty.openpty()
    subprocess.run(
        [PLAYBOOK, path], cwd=project.root, env=project.environment, stdin=follower, check=True, capture_output=True
    )
    os.close(leader)
    os.close(follower)
    assert project.record()["origin"] == {"kind": "terminal", "tty": True}


def test_sudo(project: Project) -> None:
    project.run(project.playbook(OK), environment={"SUDO_USER": "jane"})
    assert project.record()["who"]["sudo_user"] == "jane"
    assert project.command("list").splitlines()[1].split()[4] == "jane"


def test_ansible_runner(project: Project, tmp_path: Path) -> None:
    project.playbook(OK)
    result = runner(project, tmp_path / "fresh", ident="job-7")
    assert result.rc == 0, result.stdout.read()
    assert project.kinds() == ["started", "finished"]
    assert project.record()["origin"] == {"kind": "ansible-runner", "ident": "job-7"}
    assert project.record()["procedure"] == "test"
    assert verify(project.ledger.directory).ok


def test_awx(project: Project, tmp_path: Path) -> None:
    project.playbook(OK)
    project.environment.update(JOB_ID="42", PROJECT_REVISION="a" * 40)
    result = runner(project, tmp_path / "fresh", extravars=AWX_VARIABLES)
    assert result.rc == 0, result.stdout.read()
    record = project.record()
    assert record["origin"] == {
        "kind": "awx",
        "job_id": "42",
        "job_launch_type": "scheduled",
        "job_template_name": "Health checks",
        "schedule_name": "every hour",
    }
    assert record["who"]["awx_user"] == "jane"
    assert record["what"]["commit"] == "a" * 40
    assert project.command("list").splitlines()[1].split()[4] == "jane"


def test_awx_by_its_environment_alone(project: Project) -> None:
    project.run(project.playbook(OK), environment={"JOB_ID": "9", "AWX_ISOLATED_DATA_DIR": "/runner/artifacts/9"})
    assert project.record()["origin"] == {"kind": "awx", "job_id": "9"}


@pytest.mark.parametrize("variable", ["JOB_ID", "PROJECT_REVISION"])
def test_a_variable_of_some_other_system_is_not_awx(project: Project, variable: str) -> None:
    project.run(project.playbook(OK), environment={variable: "9"})
    assert project.record()["origin"]["kind"] == "terminal"


def test_an_event(project: Project) -> None:
    event = {"ruleset": "Alerts", "rule": "Disk is full", "event": {"meta": {"uuid": "e-1"}, "alert": "disk"}}
    project.run(project.playbook(OK), "-e", json.dumps({"ansible_eda": event}))
    expected = {"ruleset": "Alerts", "rule": "Disk is full", "event": "e-1"}
    assert project.record()["origin"] == {"kind": "event-driven", "event": expected}


def test_an_event_that_started_an_awx_job(project: Project) -> None:
    project.run(project.playbook(OK), "-e", json.dumps({"awx_job_id": 5, "ansible_eda": {"rule": "r"}}))
    assert project.record()["origin"] == {"kind": "awx", "job_id": "5", "event": {"rule": "r"}}
