"""Plan and approval under the whole guard, on hosts behind SSH."""

from __future__ import annotations

from pathlib import Path

import pytest
from checkout import ROOT, Checkout, make_checkout

from tests.scenario import shell

pytestmark = pytest.mark.xdist_group("lab")

#: The lab's inventory comes first, and the checkout's adds the rule and the file.
FILE = "/etc/managed-file.conf"
RULE = f'managed_file_path: {FILE}\nmanaged_file_content: "from the plan\\n"\n'


@pytest.fixture
def guarded(lab: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    monkeypatch.setenv("LAB", lab["LAB"])
    checkout = make_checkout(tmp_path, lab)
    checkout.inventories = (str(ROOT / "inventories/lab"), "inventory")
    checkout.playbook = "playbooks/maintenance/guarded_file.yml"
    checkout.write("inventory/hosts.yml", "platform: {}\n")
    checkout.write("inventory/group_vars/platform/file.yml", RULE)
    for host in ("app1", "app2"):
        shell(host, f"rm -f {FILE}")
    return checkout


def test_a_change_is_refused_after_drift_and_made_when_it_is_what_was_approved(guarded: Checkout) -> None:
    anna = guarded.person("anna@example.org")
    signers = guarded.root / "inventory/allowed_signers.cfg"
    guarded.policy(change_guard_approvals=1, change_guard_allowed_signers=str(signers))
    limit = ("--limit", "app")
    made = guarded.make(*limit)
    assert made.code == 0, made.output
    assert [change["host"] for change in guarded.planned["changes"]] == ["app1", "app2"]
    guarded.sign(anna)

    shell("app2", f"echo 'somebody was here' > {FILE}")
    refusal = guarded.apply(*limit).refusal
    assert f"- changes: app2: 'Write the file' ({FILE}) would now do something else" in refusal
    assert "app1" not in refusal
    assert shell("app1", f"test -e {FILE} || echo absent") == "absent\n"

    shell("app2", f"rm {FILE}")
    refusal = guarded.apply("--limit", "app1").refusal
    assert "limit: approved is --limit app, this run has --limit app1" in refusal

    applied = guarded.apply(*limit)
    assert applied.code == 0, applied.output
    assert {shell(host, f"cat {FILE}") for host in ("app1", "app2")} == {"from the plan\n"}
    assert [person["principal"] for person in applied.record["approval"]["approved_by"]] == ["anna@example.org"]
