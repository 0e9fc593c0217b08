"""Which runs have a plan, and what a plan holds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from checkout import Checkout

SECRET = "correct-horse-battery-staple"
VAULT = Path(sys.executable).with_name("ansible-vault")


class TestRefused:
    """None of these runs its tasks, or leaves a plan."""

    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            ((), "it is the plan of a check-mode run: add --check --diff"),
            (("--check",), "a plan without differences says too little to be approved: add --diff"),
        ],
    )
    def test_options(self, checkout: Checkout, options: tuple[str, ...], reason: str) -> None:
        refused = checkout.run(*options, runbook_plan_out=str(checkout.plan))
        assert f"runbook_plan_out: no plan can be saved: {reason}" in refused.refusal
        assert "TASK" not in refused.output
        assert not checkout.plan.exists()

    def test_two_playbooks(self, checkout: Checkout) -> None:
        checkout.playbook += " playbooks/maintenance/other_file.yml"
        assert "a plan is that of one playbook" in checkout.make().refusal

    def test_a_change_that_is_in_no_commit(self, checkout: Checkout) -> None:
        checkout.write("inventory/group_vars/platform/file.yml", 'managed_file_content: "second\\n"\n')
        assert "the checkout has changes that are not committed" in checkout.make().refusal
        assert not checkout.plan.exists()

    def test_no_commit(self, checkout: Checkout) -> None:
        checkout.git("update-ref", "-d", "HEAD")
        (checkout.root / ".git").rename(checkout.root.parent / "git")
        assert "the version of the playbook is unknown: fatal: not a git repository" in checkout.make().refusal

    def test_a_file_that_would_be_a_change_of_the_checkout(self, checkout: Checkout) -> None:
        refused = checkout.run("--check", "--diff", runbook_plan_out="plan.json")
        assert "plan.json would be a change of the checkout" in refused.refusal

    def test_a_file_that_is_approved(self, checkout: Checkout) -> None:
        assert checkout.make().code == 0
        content = checkout.plan.read_bytes()
        checkout.sign(checkout.key("anna"))
        refused = checkout.run("--check", "--diff", runbook_plan_out=str(checkout.plan))
        assert "has signatures (change.json.anna.sig); choose another file" in refused.refusal
        assert checkout.plan.read_bytes() == content

    def test_a_question_at_the_terminal(self, checkout: Checkout) -> None:
        path = checkout.root / checkout.playbook
        path.write_text(path.read_text().replace("  hosts:", "  vars_prompt: [{name: colour}]\n  hosts:"))
        checkout.commit()
        assert "it asks for colour at the terminal" in checkout.make().refusal

    def test_a_run_that_failed(self, checkout: Checkout) -> None:
        checkout.write("inventory/group_vars/platform/file.yml", "{}\n")
        checkout.commit()
        failed = checkout.make()
        assert (failed.code, failed.record["outcome"]) == (2, "failed")
        assert "no plan is saved: the run failed" in failed.output
        assert not checkout.plan.exists()

    def test_a_procedure_that_verifies_no_plan(self, checkout: Checkout) -> None:
        refused = checkout.make("--skip-tags", "always", "--start-at-task", "Write the file")
        assert "no task of this run verifies plans" in refused.refusal
        assert not checkout.plan.exists()

    def test_a_secret_on_the_command_line(self, checkout: Checkout) -> None:
        refused = checkout.make(api_token=SECRET)
        assert "the extra variable api_token holds a secret" in refused.refusal
        assert SECRET not in refused.refusal
        assert not checkout.plan.exists()

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("change_guard_approvals", "two"),
            ("change_guard_plan_lifetime", "3 days"),
            ("change_guard_accounts", ["anna"]),
            ("change_guard_allowed_signers", 7),
        ],
    )
    def test_a_wrong_rule(self, checkout: Checkout, name: str, value: object) -> None:
        checkout.policy(**{name: value})
        refusal = checkout.make().refusal
        assert f"{name} of app1: it is {value!r}, not " in refusal


class TestContent:
    def test_secrets_are_not_in_it(self, checkout: Checkout) -> None:
        password = checkout.root.parent / "vault-password"
        password.write_text("the password of the vault")
        made = subprocess.run(
            [str(VAULT), "encrypt_string", "--vault-password-file", str(password), "--name", "vaulted", SECRET],
            check=True,
            capture_output=True,
            text=True,
        )
        content = 'managed_file_content: "{{ vaulted }}\\n{{ api_token }}\\n{{ colour }}\\n"\n'
        checkout.write("inventory/group_vars/platform/file.yml", f"{content}api_token: named-{SECRET}\n{made.stdout}")
        checkout.policy()
        options = ("--vault-password-file", str(password))
        planned = checkout.make(*options, colour="red", runbook_reason=f"because of {SECRET}")
        assert planned.code == 0, planned.output
        assert checkout.planned["changes"][0]["diff"][-3:] == ["+[secret]", "+[secret]", "+red"]
        written = "\n".join(
            path.read_text(errors="replace") for path in (checkout.root / ".state").rglob("*") if path.is_file()
        )
        assert "because of [secret]" in written
        assert SECRET not in written
        assert "password of the vault" not in written
        # What a secret hides is bound by the digest of the inventory.
        assert checkout.apply(*options, colour="red").code == 0
        assert checkout.host_file("app1").read_text() == f"{SECRET}\nnamed-{SECRET}\nred\n"

    def test_two_plans_of_the_same_change_predict_the_same(self, checkout: Checkout) -> None:
        """Templates and contents go through temporary files; hosts end in any order."""
        checkout.write("playbooks/maintenance/templates/file.j2", "of {{ inventory_hostname }}\n")
        checkout.write(
            checkout.playbook,
            (checkout.root / checkout.playbook).read_text()
            + """
    - name: Render a template
      ansible.builtin.template:
        src: file.j2
        dest: "{{ managed_file_path }}.rendered"
        mode: "0600"

    - name: Touch a file
      ansible.builtin.file:
        path: "{{ managed_file_path }}.touched"
        state: touch
        mode: "0600"
""",
        )
        checkout.commit()
        for host in ("app1", "app2"):
            Path(f"{checkout.host_file(host)}.touched").touch(0o600)
        first, second = [checkout.make().record and checkout.planned for _time in range(2)]
        assert len(first["changes"]) == 6
        assert [change["host"] for change in first["changes"]] == ["app1"] * 3 + ["app2"] * 3
        assert first["changes"] == second["changes"]
        assert "/ansible-" not in json.dumps(first)
        headers = [line for change in first["changes"] for line in change["diff"] if line.startswith(("---", "+++"))]
        assert len(headers) == 12
        assert not [line for line in headers if str(checkout.root) in line]

    def test_a_long_difference_is_whole(self, checkout: Checkout) -> None:
        lines = [f"line {number} of a long file that is not cut" for number in range(1500)]
        checkout.write("inventory/group_vars/platform/file.yml", json.dumps({"managed_file_content": "\n".join(lines)}))
        checkout.commit()
        made = checkout.make("--limit", "app1")
        assert made.code == 0, made.output
        assert checkout.planned["changes"][0]["diff"][3:] == [f"+{line}" for line in lines]
        assert len(made.record["changes"][0]["diff"]) < 5_000

    def test_it_names_playbook_commit_limit_reasons_and_requester(self, checkout: Checkout) -> None:
        made = checkout.make("--limit", "app1", "--tags", "all", runbook_ticket="CHG-7")
        assert made.code == 0, made.output
        planned = checkout.planned
        assert planned["playbook"] == "playbooks/maintenance/managed_file.yml"
        assert planned["version"] == {"commit": checkout.git("rev-parse", "HEAD")}
        assert (planned["limit"], planned["hosts"]) == ("app1", ["app1"])
        assert (planned["variables"], planned["why"]) == ({}, {"ticket": "CHG-7"})
        assert planned["requester"]["sudo_user"] == "rita"
