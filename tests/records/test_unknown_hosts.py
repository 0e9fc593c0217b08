"""An unknown host in --limit, which ansible-core passes over, or refuses before any callback could record it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from ansible_collections.ops.runbook.plugins.module_utils.ledger_verifier import verify

if TYPE_CHECKING:
    from conftest import Project

TOUCH = '- name: Touch\n  ansible.builtin.file: {path: "{{ playbook_dir }}/touched", state: touch, mode: "0600"}'


@pytest.fixture
def guarded(project: Project) -> Project:
    """With the file that every inventory gets from the production template."""
    example = Path(__file__).resolve().parents[2] / "inventories/example/zz_limit.yml"
    project.write(f"inventory/{example.name}", example.read_text(encoding="utf-8"))
    return project


@pytest.mark.parametrize("limit", ["nosuch", "app1,nosuch", "app1:!nosuch", "@hosts.txt"])
def test_unknown_host_is_refused_and_recorded(guarded: Project, limit: str) -> None:
    guarded.write("hosts.txt", "app1\nnosuch\n")
    output = guarded.run(guarded.playbook(TOUCH), "--limit", limit, "-e", "runbook_ticket=CHG-7", code=2)
    assert f"--limit {limit}: the inventory has no host or group" in output
    assert "nosuch'. Known hosts: app1, app2. Known groups: app, platform." in output
    assert not (guarded.root / "playbooks/touched").exists()
    assert guarded.kinds() == ["started", "finished"]
    record = guarded.record()
    assert (record["procedure"], record["outcome"], record["where"]["limit"]) == ("test", "refused", limit)
    assert record["why"] == {"ticket": "CHG-7"}
    assert "nosuch" in record["refusal"]
    assert verify(guarded.ledger.directory).ok


def test_known_hosts_run(guarded: Project) -> None:
    guarded.run(guarded.playbook(TOUCH), "--limit", "app1")
    assert guarded.record()["outcome"] == "succeeded"


def test_a_refusal_tells_no_secret(guarded: Project) -> None:
    guarded.run(guarded.playbook(TOUCH), "--limit", "nosuch", "-e", "api_token=PLANTED-SECRET", code=2)
    assert "api_token" in guarded.everything_written()
    assert "PLANTED-SECRET" not in guarded.everything_written()


def test_listing_is_not_a_run(guarded: Project) -> None:
    guarded.run(guarded.playbook(TOUCH), "--limit", "app1,nosuch", "--list-hosts")
    assert not guarded.state.exists()
