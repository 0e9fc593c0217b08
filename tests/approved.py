"""Changes under a plan that somebody else has approved, for the scenarios of procedures.

A plan names a commit of a checkout without changes: the playbooks are committed in a checkout of their own, whatever
the state of this one. Roles, plugins and inventories are the real ones; one more inventory demands the approval.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

from tests.scenario import ROOT, Outcome, Procedure

#: Who makes the plan, and who approves it.
REQUESTER, APPROVER = "rita", "anna"
NAMESPACE = "runbook-plan"
HOSTS = "platform:\n  children: {proxy: , app: , database: }\n"
DEMAND = "change_guard_approvals: 1\nchange_guard_allowed_signers: %s\n"


@dataclass(frozen=True)
class Planned:
    """A procedure whose runs need an approved plan, and that plan."""

    procedure: Procedure
    plan: Path
    key: Path

    @classmethod
    def of(cls, procedure: Procedure, folder: Path) -> Planned:
        """Demand an approval of the procedure's changes; the folder is for what that needs."""
        checkout, inventory = folder / "checkout", folder / "inventory"
        shutil.copytree(ROOT / "playbooks", checkout / "playbooks")
        identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
        for command in (("init",), ("add", "--all"), ("commit", "--message", "Begin")):
            _run("git", "-C", str(checkout), *identity, *command)
        (inventory / "group_vars").mkdir(parents=True)
        (inventory / "hosts.yml").write_text(HOSTS, encoding="utf-8")
        approvers = inventory / "allowed_signers.cfg"
        (inventory / "group_vars/platform.yml").write_text(DEMAND % approvers, encoding="utf-8")
        key = folder / APPROVER
        _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key))
        signers = {REQUESTER: "ssh-ed25519 AAAA", APPROVER: key.with_suffix(".pub").read_text(encoding="utf-8").strip()}
        lines = "".join(f"{name}@example.org {public}\n" for name, public in signers.items())
        approvers.write_text(lines, encoding="utf-8")
        demanding = replace(
            procedure,
            inventories=(*procedure.inventories, inventory),
            playbook=checkout / f"playbooks/{procedure.name}.yml",
        )
        return cls(demanding, procedure.state / "plans/change.json", key)

    def make(self, *options: str) -> Outcome:
        """Make the plan, in check mode."""
        return self._run("--check", "--diff", "-e", f"runbook_plan_out={self.plan}", *options)

    def apply(self, *options: str) -> Outcome:
        """Apply the plan."""
        return self._run("--diff", "-e", f"runbook_plan={self.plan}", *options)

    def sign(self) -> None:
        """Approve it, as somebody else."""
        command = ["ssh-keygen", "-q", "-Y", "sign", "-f", str(self.key), "-n", NAMESPACE]
        made = subprocess.run(command, input=self.plan.read_bytes(), capture_output=True, check=True)
        self.plan.with_name(f"{self.plan.name}.{APPROVER}.sig").write_bytes(made.stdout)

    def assert_applied(self, outcome: Outcome) -> None:
        """The run was approved by somebody else than its requester, and did what was planned."""
        approval = outcome.record["approval"]
        assert [person["principal"] for person in approval["approved_by"]] == [f"{APPROVER}@example.org"]
        assert approval["deviations"] == []

    def _run(self, *options: str) -> Outcome:
        return self.procedure.run(*options, extra={"SUDO_USER": REQUESTER})


def _run(*command: str) -> None:
    subprocess.run(command, env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}, check=True, capture_output=True)
