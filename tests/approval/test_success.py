"""Changes that may be made."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from checkout import Checkout


def test_planned_approved_applied(checkout: Checkout) -> None:
    anna, ben = checkout.person("anna@example.org"), checkout.person("ben")
    checkout.policy(change_guard_approvals=2)
    made = checkout.make(size="3")
    assert made.code == 0, made.output
    digest = hashlib.sha256(checkout.plan.read_bytes()).hexdigest()
    assert f"plan saved: .state/plans/change.json · 2 changes · sha256 {digest}" in made.output
    assert "ssh-keygen -Y sign -f KEY -n runbook-plan < .state/plans/change.json" in made.output
    assert (made.record["plan"]["sha256"], made.record["outcome"]) == (digest, "succeeded")
    assert checkout.planned["variables"] == {"size": "3"}
    assert checkout.planned["changes"][0]["diff"][-1] == "+first"
    assert not checkout.host_file("app1").exists()

    checkout.sign(anna)
    checkout.sign(ben)
    applied = checkout.apply(size="3", runbook_ticket="CHG-7")
    assert applied.code == 0, applied.output
    assert checkout.host_file("app1").read_text() == "first\n"
    approval = applied.record["approval"]
    assert approval["sha256"] == digest
    assert [person["principal"] for person in approval["approved_by"]] == ["anna@example.org", "ben"]
    assert approval["deviations"] == []
    prediction = checkout.records()[-2]
    assert approval["prediction"] == prediction["run_id"]
    assert (prediction["origin"]["parent"], prediction["where"]["check"]) == (applied.record["run_id"], True)

    refusal = checkout.apply(size="3").refusal
    assert "app1: 'Write the file'" in refusal
    assert "is approved and would not be done now" in refusal


def test_a_plan_is_verified_although_none_is_demanded(checkout: Checkout) -> None:
    checkout.policy()
    assert checkout.make().code == 0
    assert "variables: size is given and not approved" in checkout.apply(size="3").refusal
    applied = checkout.apply()
    assert applied.code == 0, applied.output
    assert applied.record["approval"]["approved_by"] == []


def test_nothing_is_done_where_nothing_is_demanded(checkout: Checkout) -> None:
    applied = checkout.run()
    assert applied.code == 0, applied.output
    assert applied.record["approval"] == {}
    assert len(checkout.records()) == 1


def test_check_mode_warns(checkout: Checkout) -> None:
    checkout.policy(change_guard_approvals=1)
    checked = checkout.run("--check")
    assert checked.code == 0, checked.output
    words = " ".join(checked.output.split())
    assert "This run would be refused outside check mode: approvals: app1, app2 demand 1, and no plan is given" in words


def test_the_highest_demand_counts(checkout: Checkout) -> None:
    checkout.write("inventory/host_vars/app2.yml", "change_guard_approvals: 2\n")
    checkout.policy(change_guard_approvals=1)
    assert "approvals: app2 demands 2" in checkout.run().refusal
    assert "approvals: app1 demands 1" in checkout.run("--limit", "app1").refusal


UNPREDICTED = """
    - name: Change something that check mode does not show
      ansible.builtin.command: {argv: ["true"]}
      changed_when: true
"""


def test_a_change_that_was_not_predicted_is_recorded_as_such(checkout: Checkout) -> None:
    path = checkout.root / checkout.playbook
    path.write_text(path.read_text() + UNPREDICTED)
    checkout.commit()
    assert checkout.make("--limit", "app1").code == 0
    applied = checkout.apply("--limit", "app1")
    deviation = "app1: 'Change something that check mode does not show' (true) was done and is not approved"
    assert applied.record["approval"]["deviations"] == [deviation]
    assert f"Not as approved: {deviation}" in " ".join(applied.output.split())


def test_an_interrupted_run_ends_its_prediction(checkout: Checkout) -> None:
    """The prediction waits in a task that runs in check mode too."""
    path = checkout.root / checkout.playbook
    path.write_text(
        path.read_text()
        + """
    - name: Wait
      ansible.builtin.pause: {seconds: 120}
      when: lookup('ansible.builtin.env', 'RUNBOOK_PARENT_RUN_ID') != ''
"""
    )
    checkout.commit()
    assert checkout.make().code == 0
    process = checkout.start(runbook_plan=str(checkout.plan))
    checkout.wait_for(lambda entries: any(entry["body"].get("origin", {}).get("parent") for entry in entries))
    process.terminate()
    process.communicate(timeout=60)
    checkout.wait_for(lambda entries: [entry["kind"] for entry in entries].count("interrupted") == 2)
