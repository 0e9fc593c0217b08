"""Runs that are not what was approved: each is refused with its reason, and no host is changed."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from checkout import Checkout
    from conftest import Planned


class TestApprovals:
    def test_nobody(self, planned: Planned) -> None:
        refusal = planned.checkout.apply(size="3").refusal
        assert "approvals: app1, app2 demand 2, nobody approved" in refusal

    def test_signatures_that_do_not_count(self, planned: Planned) -> None:
        plan = planned.checkout.plan
        for key in (planned.anna, planned.requester, planned.stranger, planned.second_key, planned.expired_key):
            planned.checkout.sign(key)
        planned.checkout.sign(planned.anna, name="zz-again")
        planned.checkout.sign(planned.ben, name="over-something-else", over=plan.read_bytes() + b"\n")
        planned.checkout.sign(planned.ben, name="for-something-else", namespace="git")
        plan.with_name("change.json.sig").write_text("I, ben, approve.\n")
        refusal = planned.checkout.apply(size="3").refusal
        assert "- approvals: app1, app2 demand 2, Anna approved\n" in refusal
        for name, reason in {
            "rita.sig": "rita@example.org requested the change, and nobody approves their own",
            "stranger.sig": f"nobody in {planned.checkout.root}/inventory/allowed_signers.cfg has the key SHA256:",
            "zz-again.sig": "anna@example.org has signed already (Anna, ",
            "anna.sig": "anna@example.org has signed already (Anna, ",
            "emil.sig": "emil may not sign: ",
            "over-something-else.sig": "it is a signature over something else than this plan",
            "for-something-else.sig": "it was made for 'git'; sign with -n runbook-plan",
            "sig": "it is no signature of ssh-keygen",
        }.items():
            assert f"- signature change.json.{name}: {reason}" in refusal
        assert "key has expired" in refusal

    def test_one_key_of_two_people(self, planned: Planned) -> None:
        planned.checkout.sign(planned.shared_key)
        planned.checkout.sign(planned.shared_key, name="dora")
        refusal = planned.checkout.apply(size="3").refusal
        assert "demand 2, carl approved" in refusal
        assert "one person counts once" in refusal

    def test_nothing_but_the_inventory_says_who_may_approve(self, planned: Planned) -> None:
        own = planned.checkout.root.parent / "own_signers"
        own.write_text(f"somebody {planned.stranger.with_suffix('.pub').read_text()}")
        planned.checkout.sign(planned.stranger)
        variables = {"change_guard_approvals": "1", "change_guard_allowed_signers": str(own)}
        refusal = planned.checkout.apply(size="3", **variables).refusal
        assert "change_guard_approvals, change_guard_allowed_signers: only inventory and procedure say it" in refusal

    def test_what_the_rule_is_made_from_is_not_overridden(self, planned: Planned) -> None:
        """The inventory's rule is a template, and the command line replaces what it names."""
        own = planned.checkout.root.parent / "own"
        own.mkdir(exist_ok=True)
        key = " ".join(planned.stranger.with_suffix(".pub").read_text().split()[:2])
        (own / "allowed_signers.cfg").write_text(f"somebody {key}\nelse {key}\nrita {key}\n")
        planned.checkout.sign(planned.stranger)
        refusal = planned.checkout.apply(size="3", inventory_dir=str(own)).refusal
        assert f"change.json.stranger.sig: nobody in {planned.checkout.root}/inventory/allowed" in refusal

    def test_no_plan(self, planned: Planned) -> None:
        refusal = planned.checkout.run().refusal
        assert "app1, app2 demand 2, and no plan is given" in refusal
        assert "--check --diff -e runbook_plan_out=FILE" in refusal


class TestInputs:
    """The plan is approved by everybody who has to."""

    @pytest.fixture
    def approved(self, planned: Planned) -> Planned:
        planned.approve()
        return planned

    def test_another_commit(self, approved: Planned) -> None:
        approved.checkout.commit()
        refusal = approved.checkout.apply(size="3").refusal
        new = approved.checkout.git("rev-parse", "HEAD")
        assert f"- commit: approved is {approved.commit}, this run is {new}" in refusal

    def test_a_change_that_is_in_no_commit(self, approved: Planned) -> None:
        approved.checkout.write("playbooks/files/new", "x")
        assert "- commit: the checkout has changes" in approved.checkout.apply(size="3").refusal

    def test_other_hosts(self, approved: Planned) -> None:
        refusal = approved.checkout.apply("--limit", "app1", size="3").refusal
        assert "- limit: approved is none, this run has --limit app1" in refusal
        assert "- hosts: app2 approved and not in this run" in refusal

    def test_another_value_in_the_inventory(self, approved: Planned) -> None:
        approved.checkout.write("inventory/group_vars/platform/file.yml", 'managed_file_content: "other\\n"\n')
        refusal = approved.checkout.apply(size="3").refusal
        assert "- inventory: a group, a host or a variable is not as it was" in refusal

    def test_another_host_in_the_inventory(self, approved: Planned) -> None:
        approved.checkout.write("inventory/more.yml", "platform: {hosts: {app3: }}\n")
        refusal = approved.checkout.apply(size="3").refusal
        assert "- inventory:" in refusal
        assert "- hosts: app3 not approved" in refusal

    def test_another_variable(self, approved: Planned) -> None:
        refusal = approved.checkout.apply(size="4", colour="red").refusal
        assert "- variables: colour is given and not approved" in refusal
        assert '- variables: size is approved as "3" and given with another value' in refusal

    def test_a_variable_that_is_missing(self, approved: Planned) -> None:
        assert '- variables: size is approved as "3" and not given' in approved.checkout.apply().refusal

    def test_other_options(self, approved: Planned) -> None:
        refusal = approved.checkout.apply("--skip-tags", "slow", size="3").refusal
        assert '- options: approved are {}, this run has {"skip_tags": ["slow"]}' in refusal

    def test_another_procedure(self, approved: Planned) -> None:
        approved.checkout.playbook = "playbooks/maintenance/other_file.yml"
        try:
            refusal = approved.checkout.apply(size="3").refusal
        finally:
            approved.checkout.playbook = "playbooks/maintenance/managed_file.yml"
        assert "- procedure: approved is maintenance/managed_file, this run is maintenance/other_file" in refusal
        assert "- playbook: approved is playbooks/maintenance/managed_file.yml" in refusal


class TestFile:
    @pytest.fixture
    def plan(self, planned: Planned) -> Planned:
        content = planned.checkout.plan.read_bytes()
        yield planned
        planned.checkout.plan.write_bytes(content)

    def test_no_such_file(self, plan: Planned) -> None:
        refusal = plan.checkout.run(size="3", runbook_plan="/nowhere/plan.json").refusal
        assert "runbook_plan: /nowhere/plan.json cannot be read: No such file or directory" in refusal

    def test_no_plan(self, plan: Planned) -> None:
        plan.checkout.plan.write_text("{}\n")
        assert "is not a plan" in plan.checkout.apply(size="3").refusal

    def test_another_requester(self, plan: Planned) -> None:
        """The requester names somebody else, and approves."""
        data = plan.checkout.planned
        data["requester"]["sudo_user"] = "ben"
        plan.checkout.plan.write_text(json.dumps(data, sort_keys=True, indent=1) + "\n")
        plan.checkout.sign(plan.anna)
        plan.checkout.sign(plan.requester)
        assert "was edited: run" in plan.checkout.apply(size="3").refusal

    def test_other_white_space(self, plan: Planned) -> None:
        plan.checkout.plan.write_text(json.dumps(plan.checkout.planned))
        assert "its text is not the canonical one" in plan.checkout.apply(size="3").refusal

    def test_a_plan_of_another_controller(self, plan: Planned) -> None:
        plan.approve()
        ledger = plan.checkout.root / ".state/ledger"
        aside = ledger.rename(ledger.with_name("aside"))
        try:
            refusal = plan.checkout.apply(size="3").refusal
        finally:
            for path in ledger.iterdir():
                path.unlink()
            ledger.rmdir()
            aside.rename(ledger)
        assert "a plan is applied with the state directory that it was made with" in refusal


class TestRequester:
    def test_an_account_that_nobody_knows(self, checkout: Checkout) -> None:
        anna = checkout.person("anna@example.org")
        checkout.policy(change_guard_approvals=1)
        checkout.environment["SUDO_USER"] = "jdoe"
        assert checkout.make().code == 0
        checkout.sign(anna)
        refusal = checkout.apply().refusal
        assert "its requester (jdoe, root) is nobody in" in refusal
        assert "change_guard_accounts" in refusal

    def test_an_account_that_is_mapped(self, checkout: Checkout) -> None:
        anna = checkout.person("anna@example.org")
        checkout.policy(change_guard_approvals=1, change_guard_accounts={"jdoe": "anna@example.org"})
        checkout.environment["SUDO_USER"] = "jdoe"
        assert checkout.make().code == 0
        checkout.sign(anna)
        assert "anna@example.org requested the change" in checkout.apply().refusal

    def test_the_key_that_signs_the_records(self, checkout: Checkout) -> None:
        anna = checkout.person("anna@example.org")
        checkout.policy(change_guard_approvals=1)
        checkout.environment["RUNBOOK_SIGNING_KEY"] = str(anna)
        assert checkout.make().code == 0
        checkout.sign(anna)
        assert "anna@example.org requested the change" in checkout.apply().refusal


class TestLater:
    def test_an_expired_plan(self, checkout: Checkout) -> None:
        anna = checkout.person("anna@example.org")
        checkout.policy(change_guard_approvals=1, change_guard_plan_lifetime="1s")
        assert checkout.make().code == 0
        checkout.sign(anna)
        time.sleep(1)
        assert "expired: the plan was valid until" in checkout.apply().refusal

    def test_another_state_of_a_host(self, checkout: Checkout) -> None:
        anna = checkout.person("anna@example.org")
        checkout.policy(change_guard_approvals=1)
        for host in ("app1", "app2"):
            checkout.host_file(host).write_text("old\n")
            checkout.host_file(host).chmod(0o600)
        assert checkout.make().code == 0
        checkout.sign(anna)
        checkout.host_file("app1").write_text("somebody was here\n")
        checkout.host_file("app2").write_text("first\n")
        refusal = checkout.apply().refusal
        assert "- changes: app1: 'Write the file'" in refusal
        assert "would now do something else: line 4 of the difference is approved as '-old' and is now" in refusal
        assert "- changes: app2: 'Write the file'" in refusal
        assert "is approved and would not be done now" in refusal
        assert checkout.host_file("app1").read_text() == "somebody was here\n"

    def test_a_prediction_that_fails(self, checkout: Checkout) -> None:
        source = checkout.root.parent / "source"
        content = f"{{{{ lookup('file', '{source}') }}}}"
        checkout.write("inventory/group_vars/platform/file.yml", json.dumps({"managed_file_content": content}))
        source.write_text("x")
        checkout.policy()
        assert checkout.make().code == 0
        source.unlink()
        refusal = checkout.apply().refusal
        assert "the prediction cannot be made again: run" in refusal
        assert "source" in refusal
