"""A small checkout of its own with a procedure under the guard, people with keys, and runs of it.

A plan names a commit, and tests make commits: so they have a repository of their own, with the project's roles and
collection beside it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")
#: What may say where a run comes from must not leak in from the machine that runs the tests.
FOREIGN = ("ANSIBLE_", "RUNBOOK_", "AWX_", "TOWER_", "JOB_ID", "SUDO_USER", "PROJECT_REVISION")
REQUESTER = "rita"
NAMESPACE = "runbook-plan"

CONFIG = f"""\
[defaults]
collections_path = {ROOT / "collections"}
roles_path = {ROOT / "roles"}
callbacks_enabled = ops.runbook.run_record
retry_files_enabled = false
localhost_warning = false

[connection]
pipelining = true

[runbook]
state_dir = .state
"""

HOSTS = f"""\
platform:
  hosts:
    app1:
    app2:
  vars:
    ansible_connection: local
    ansible_python_interpreter: {sys.executable}
    managed_file_path: "{{{{ inventory_dir }}}}/../../hosts/{{{{ inventory_hostname }}}}.conf"
"""


@dataclass(frozen=True)
class Run:
    """What a run printed, how it ended, and its record."""

    code: int
    output: str
    record: dict[str, Any]

    @property
    def refusal(self) -> str:
        """Why it was refused; fails where it was not."""
        assert (self.code, self.record["outcome"]) == (2, "refused"), self.output
        return str(self.record["refusal"])


@dataclass
class Checkout:
    """A git work tree with a procedure, and a state directory that git ignores."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)
    #: The inventories of its runs.
    inventories: tuple[str, ...] = ("inventory",)
    playbook: str = "playbooks/maintenance/managed_file.yml"

    @property
    def plan(self) -> Path:
        return self.root / ".state/plans/change.json"

    @property
    def planned(self) -> dict[str, Any]:
        plan: dict[str, Any] = json.loads(self.plan.read_text())
        return plan

    def write(self, path: str, text: str) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "Change something")

    def restore(self, commit: str) -> None:
        """The checkout as it was in that commit, with its plan and without approvals."""
        self.git("reset", "--quiet", "--hard", commit)
        self.git("clean", "--quiet", "--force", "-d")
        for signature in self.plan.parent.glob("*.sig"):
            signature.unlink()

    def policy(self, **variables: Any) -> None:
        """The inventory's word on plans."""
        given = {"change_guard_allowed_signers": "{{ inventory_dir }}/allowed_signers.cfg", **variables}
        self.write("inventory/group_vars/platform/policy.yml", json.dumps(given))
        self.commit()

    def person(self, name: str, options: str = "", key: str = "") -> Path:
        """The key of somebody who is added to those who may sign."""
        path = self.key(key or name.partition("@")[0])
        public = " ".join(path.with_suffix(".pub").read_text().split()[:2])
        with (self.root / "inventory/allowed_signers.cfg").open("a") as file:
            file.write(f"{name} {options} {public}\n")
        self.commit()
        return path

    def key(self, name: str) -> Path:
        """A key pair, made where there is none yet."""
        path = self.root.parent / "keys" / name
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
        return path

    def run(self, *options: str, **variables: str) -> Run:
        """Run the procedure as the requester."""
        process = self.start(*options, **variables)
        output, _errors = process.communicate()
        return Run(process.returncode, output, self.records()[-1])

    def start(self, *options: str, **variables: str) -> subprocess.Popen[str]:
        """Begin a run of the procedure."""
        extra = [word for name, value in variables.items() for word in ("-e", json.dumps({name: value}))]
        inventories = [word for path in self.inventories for word in ("-i", path)]
        return subprocess.Popen(
            [str(PLAYBOOK), *self.playbook.split(), *inventories, *extra, *options],
            cwd=self.root,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def make(self, *options: str, **variables: str) -> Run:
        """Make the plan."""
        self.plan.unlink(missing_ok=True)
        return self.run("--check", "--diff", *options, runbook_plan_out=str(self.plan), **variables)

    def apply(self, *options: str, **variables: str) -> Run:
        """Apply the plan."""
        return self.run(*options, runbook_plan=str(self.plan), **variables)

    def sign(self, key: Path, *, name: str = "", namespace: str = NAMESPACE, over: bytes = b"") -> None:
        """Approve the plan, or sign something else in its place."""
        command = ["ssh-keygen", "-q", "-Y", "sign", "-f", str(key), "-n", namespace]
        made = subprocess.run(command, input=over or self.plan.read_bytes(), capture_output=True, check=True)
        self.plan.with_name(f"{self.plan.name}.{name or key.name}.sig").write_bytes(made.stdout)

    def records(self) -> list[dict[str, Any]]:
        """The bodies of all entries that end a run."""
        return [entry["body"] for entry in self.entries() if entry["kind"] == "finished"]

    def entries(self) -> list[dict[str, Any]]:
        lines = (self.root / ".state/ledger/ledger.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def wait_for(self, happened: Callable[[list[dict[str, Any]]], bool]) -> None:
        """Wait until the ledger says so."""
        deadline = time.monotonic() + 60
        while not happened(self.entries()):
            assert time.monotonic() < deadline, [(entry["kind"], entry["run_id"]) for entry in self.entries()]
            time.sleep(0.1)

    def host_file(self, host: str) -> Path:
        return self.root.parent / "hosts" / f"{host}.conf"

    def git(self, *arguments: str) -> str:
        identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
        command = ["git", *identity, *arguments]
        made = subprocess.run(command, cwd=self.root, check=True, env=self.environment, capture_output=True, text=True)
        return made.stdout.strip()


def make_checkout(directory: Path, environment: Mapping[str, str]) -> Checkout:
    """A checkout with the procedures of this folder and two hosts that are folders."""
    own = {key: value for key, value in environment.items() if not key.startswith(FOREIGN)}
    own |= {"ANSIBLE_HOME": str(directory / "home"), "SUDO_USER": REQUESTER, "GIT_CONFIG_GLOBAL": os.devnull}
    checkout = Checkout(directory / "checkout", own)
    (directory / "hosts").mkdir()
    shutil.copytree(ROOT / "tests/approval/playbooks", checkout.root / "playbooks")
    checkout.write("ansible.cfg", CONFIG)
    checkout.write(".gitignore", ".state/\n")
    checkout.write("inventory/hosts.yml", HOSTS)
    checkout.write("inventory/group_vars/platform/file.yml", 'managed_file_content: "first\\n"\n')
    checkout.write("inventory/allowed_signers.cfg", f"{REQUESTER}@example.org ssh-ed25519 AAAA\n")
    checkout.git("init", "--quiet")
    checkout.commit()
    return checkout
