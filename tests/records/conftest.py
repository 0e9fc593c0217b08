"""Real runs of ansible-playbook against local connections, each in a project of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.ops.runbook.plugins.module_utils.ledger import Ledger
from ansible_collections.ops.runbook.plugins.module_utils.ledger_entry import Entry

ROOT = Path(__file__).resolve().parents[2]
PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")
#: What may say where a run comes from must not leak in from the machine that runs the tests.
FOREIGN = ("ANSIBLE_", "RUNBOOK_", "AWX_", "TOWER_", "JOB_ID", "SUDO_USER", "PROJECT_REVISION")

CONFIG = """\
[defaults]
collections_path = {collections}
callbacks_enabled = ops.runbook.run_record
inventory = inventory
interpreter_python = {python}
retry_files_enabled = false
localhost_warning = false

[runbook]
state_dir = state
"""

INVENTORY = """\
platform:
  children:
    app:
      hosts:
        app1:
        app2:
  vars:
    ansible_connection: local
"""


@dataclass
class Project:
    """A folder with an ansible.cfg, an inventory and playbooks."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def state(self) -> Path:
        return self.root / "state"

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.state / "ledger")

    def write(self, path: str, text: str) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def playbook(self, tasks: str, path: str = "playbooks/test.yml", hosts: str = "platform") -> str:
        """A playbook with one play; the tasks are indented by the caller's YAML as it stands."""
        indented = "".join(f"    {line}\n" for line in tasks.strip("\n").splitlines())
        self.write(path, f"- name: Test\n  hosts: {hosts}\n  gather_facts: false\n  tasks:\n{indented}")
        return path

    def start(self, *arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(PLAYBOOK), *arguments],
            cwd=self.root,
            env={**self.environment, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, code: int = 0, environment: Mapping[str, str] | None = None) -> str:
        """The output of a run that must end with that exit code."""
        process = self.start(*arguments, environment=environment)
        output, _ = process.communicate(timeout=120)
        assert process.returncode == code, output
        return output

    def entries(self) -> list[Entry]:
        return list(self.ledger.entries())

    def kinds(self) -> list[str]:
        return [entry.kind for entry in self.entries()]

    def record(self) -> dict[str, Any]:
        """The body of the newest entry."""
        return self.entries()[-1].body

    def wait_for(self, path: str, process: subprocess.Popen[str]) -> None:
        """Wait until a task of the run has made the file."""
        deadline = time.monotonic() + 60
        while not (self.root / path).exists():
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline, f"{path} never came"
            time.sleep(0.02)

    def command(self, *arguments: str, code: int = 0) -> str:
        """The output of runbook-ledger."""
        result = subprocess.run(
            [sys.executable, str(ROOT / "bin" / "runbook-ledger"), *arguments],
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == code, result.stdout + result.stderr
        return result.stdout + result.stderr

    def everything_written(self) -> str:
        """The content of all files in the state directory, and their names."""
        files = [path for path in self.state.rglob("*") if path.is_file()]
        return "\n".join(f"{path}\n{path.read_bytes().decode('utf-8', 'replace')}" for path in files)


#: An action whose result is its arguments.
ANSWER = """
from ansible.plugins.action import ActionBase

class ActionModule(ActionBase):
    _requires_connection = False

    def run(self, tmp=None, task_vars=None):
        return {**super().run(tmp, task_vars), **self._task.args}
"""


def make_project(directory: Path) -> Project:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(FOREIGN)}
    environment.update(ANSIBLE_HOME=str(directory / "home"), ANSIBLE_LOCAL_TEMP=str(directory / "tmp"))
    project = Project(directory / "project", environment)
    project.write("ansible.cfg", CONFIG.format(collections=ROOT / "collections", python=sys.executable))
    project.write("inventory/hosts.yml", INVENTORY)
    return project


def with_answer(project: Project) -> Project:
    project.write("playbooks/action_plugins/answer.py", ANSWER)
    project.write("playbooks/library/answer.py", "")
    return project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path)


@pytest.fixture
def answers(project: Project) -> Project:
    """A project whose task `answer` returns its arguments as its result."""
    return with_answer(project)
