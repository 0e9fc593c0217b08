"""The production template and the examples on the pages are inventories that the procedures accept."""

from __future__ import annotations

import json
import os
import re
import subprocess
from typing import Any

import pytest
import yaml
from ansible_collections.ops.runbook.plugins.plugin_utils.checks_resolve import merge_layers, resolve_all

from tests.contract.blocks import ROOT, Block, blocks

PLAN = """\
- hosts: platform
  gather_facts: false
  tasks:
    - ansible.builtin.import_role: {name: health_check, tasks_from: plan}
    - ansible.builtin.debug: {msg: "{{ __health_check_plan | to_json }}"}
      run_once: true
"""


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Host → check → what the template's groups and hosts make of it, without a connection."""
    playbook = tmp_path_factory.mktemp("plan") / "plan.yml"
    playbook.write_text(PLAN, encoding="utf-8")
    environment = {
        **os.environ,
        "RUNBOOK_STATE_DIR": str(playbook.parent / "state"),
        "ANSIBLE_ROLES_PATH": str(ROOT / "roles"),
        "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
        "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
    }
    result = subprocess.run(
        ["ansible-playbook", str(playbook), "-i", "inventories/example"],
        cwd=ROOT,
        env=environment,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert result.returncode == 0, result.stdout
    message = re.search(r'^ +"msg": (".*")$', result.stdout, re.MULTILINE)
    assert message is not None, result.stdout
    hosts = json.loads(json.loads(message[1]))
    return {host: {check["name"]: check for check in checks} for host, checks in hosts.items()}


def limits(check: dict[str, Any]) -> dict[str, float]:
    return {limit["level"]: limit["number"] for limit in check["limits"]}


def test_template_has_every_tier(plan: dict[str, dict[str, Any]]) -> None:
    assert {host.split("-")[0] for host in plan} == {"proxy", "app", "db", "store"}


def test_groups_add_to_the_baseline(plan: dict[str, dict[str, Any]]) -> None:
    assert {"memory", "clock", "data file system", "public certificate"} <= set(plan["proxy-1.example.com"])


def test_group_changes_one_key(plan: dict[str, dict[str, Any]]) -> None:
    assert limits(plan["app-1.example.com"]["root filesystem"]) == {"warning": 75, "critical": 90}


def test_group_changes_a_check_of_its_class(plan: dict[str, dict[str, Any]]) -> None:
    options = plan["proxy-1.example.com"]["web server"]["options"]
    assert (options["subject"], options["status"], options["verify"]) == ("https://evidence.example.com/", [200], True)


def test_host_changes_one_key_and_switches_one_check_off(plan: dict[str, dict[str, Any]]) -> None:
    one, other = plan["db-1.example.com"], plan["db-2.example.com"]
    assert limits(one["database file system"]) == {"warning": 70, "critical": 85}
    assert limits(other["database file system"]) == {"warning": 70, "critical": 95}
    assert set(one) - set(other) == {"newest backup"}


@pytest.mark.parametrize(
    "block", [pytest.param(block, id=str(block)) for block in blocks("yaml") if "health_checks:" in block.text]
)
def test_example_on_a_page(block: Block) -> None:
    """The files that the block shows, laid over the role's own checks, are checks that the sweep accepts."""
    defaults = yaml.safe_load((ROOT / "roles/health_check/defaults/main.yml").read_text(encoding="utf-8"))
    layers = [("baseline", defaults["health_check_baseline"]), *defaults["health_check_classes"].items()]
    parts = re.split(r"^(?=health_checks:)", block.text, flags=re.MULTILINE)[1:]
    layers += [(f"part {number}", yaml.safe_load(part)["health_checks"]) for number, part in enumerate(parts)]
    checks, errors = merge_layers(layers)
    _resolved, more = resolve_all(checks)
    assert errors + more == []
