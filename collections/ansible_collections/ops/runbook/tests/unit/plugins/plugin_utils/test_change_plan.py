from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.ops.runbook.plugins.plugin_utils import change_plan, change_plan_compare
from ansible_collections.ops.runbook.plugins.plugin_utils.change_plan import Plan, PlanError
from ansible_collections.ops.runbook.plugins.plugin_utils.change_plan_repeat import prompts
from ansible_collections.ops.runbook.plugins.plugin_utils.change_plan_save import _command

CHANGE = {"host": "app1", "task": "Write", "action": "copy", "subject": "/etc/motd", "diff": "--- a\n+++ b\n-old\n+new"}


def body(**changes: Any) -> dict[str, Any]:
    return {
        "run_id": "f00",
        "procedure": "maintenance/x",
        "who": {"user": "root", "uid": 0, "sudo_user": "rita"},
        "what": {"playbook": "/srv/checkout/playbooks/maintenance/x.yml", "commit": "abc", "dirty": False},
        "where": {"inventory_sha256": "123", "limit": "app", "tags": [], "skip_tags": [], "start_at_task": ""},
        "why": {"ticket": "CHG-7", "plan_out": "plan.json"},
        "extra_vars": {"size": "3", "runbook_ticket": "CHG-7", "awx_job_id": 7, "tower_job_id": 7},
        "changes": [CHANGE],
        **changes,
    }


def plan(**changes: Any) -> Plan:
    return change_plan.make(body(**changes), ["app2", "app1"], {"approvals": 2, "lifetime": 3600}, "")


class TestPlan:
    def test_reasons_and_job_numbers_are_no_variables(self) -> None:
        assert plan().data["variables"] == {"size": "3"}
        assert plan().data["why"] == {"ticket": "CHG-7"}

    def test_it_comes_back_from_its_file(self, tmp_path: Path) -> None:
        made = plan()
        made.write(tmp_path / "new/plan.json")
        assert Plan.read(tmp_path / "new/plan.json") == made

    def test_nothing_in_it_is_invisible(self) -> None:
        content = plan(extra_vars={"name": "a\u202eb\x1b[2J"}).content
        assert b"a\\u202eb\\u001b[2J" in content
        assert content.isascii()

    def test_it_expires(self) -> None:
        made = plan()
        assert not made.has_expired(datetime.now(UTC) + timedelta(minutes=59))
        assert made.has_expired(datetime.now(UTC) + timedelta(hours=1))

    @pytest.mark.parametrize(
        ("edit", "reason"),
        [
            (lambda text: text + " ", "not the canonical one"),
            (lambda text: text.replace('"limit": "app"', '"limit": "none",\n "limit": "app"'), "not the canonical one"),
            (lambda text: text.replace('"schema": 1', '"schema": 2'), "not a plan of this version"),
            (lambda text: text.replace('"limit"', '"limits"'), "not a plan of this version"),
            (lambda text: text[:-5], "is not a plan"),
            (lambda _text: "[]\n", "is not a plan"),
            (lambda _text: "{}\n", "is not a plan"),
        ],
    )
    def test_what_is_no_plan(self, tmp_path: Path, edit: Callable[[str], str], reason: str) -> None:
        path = tmp_path / "plan.json"
        path.write_text(edit(plan().content.decode()))
        with pytest.raises(PlanError, match=reason):
            Plan.read(path)

    def test_what_differs_from_run_to_run_is_left_out(self) -> None:
        diff = (
            "--- /srv/checkout/files/motd\n"
            "+++ /root/.ansible/tmp/ansible-local-41abc/tmpx9/motd.j2\n"
            '+  "atime": 1764000000.25,\n'
            "+/srv/checkout/stays"
        )
        made = change_plan.stable([{**CHANGE, "diff": diff}], Path("/srv/checkout"))
        assert made[0]["diff"] == ["--- files/motd", "+++ motd.j2", '+  "atime": (a time),', "+/srv/checkout/stays"]

    def test_the_order_on_a_host_means_something(self) -> None:
        events = [{"host": host, "task": task} for task in ("b", "a") for host in ("app2", "app1")]
        made = change_plan.stable(events, Path("/"))
        assert [(event["host"], event["task"]) for event in made] == [
            ("app1", "b"), ("app1", "a"), ("app2", "b"), ("app2", "a"),
        ]  # fmt: skip


class TestInputs:
    @pytest.mark.parametrize(
        ("name", "value", "said"),
        [
            ("procedure", "maintenance/y", "procedure: approved is maintenance/x, this run is maintenance/y"),
            ("playbook", "other.yml", "playbook: approved is x.yml, this run is other.yml"),
            ("version", {"commit": "def"}, "commit: approved is abc, this run is def"),
            ("inventory_sha256", "456", "inventory: a group, a host or a variable is not as it was"),
            ("limit", "", "limit: approved is --limit app, this run has none"),
            ("hosts", ["app1"], "hosts: app2 approved and not in this run"),
            ("hosts", ["app1", "app2", "db1"], "hosts: db1 not approved"),
            ("options", {"tags": ["one"]}, 'options: approved are {}, this run has {"tags": ["one"]}'),
            ("variables", {"size": 3}, 'variables: size is approved as "3" and given with another value'),
            ("variables", {}, 'variables: size is approved as "3" and not given'),
            ("variables", {"size": "3", "x": 1}, "variables: x is given and not approved"),
        ],
    )
    def test_each_is_named(self, name: str, value: Any, said: str) -> None:
        approved = plan().data
        assert change_plan_compare.inputs(approved, approved) == []
        found = change_plan_compare.inputs(approved, {**approved, name: value})
        assert len(found) == 1
        assert found[0].startswith(said)


class TestChanges:
    def differences(self, change: Callable[[list[dict[str, Any]]], object]) -> list[str]:
        approved = [
            json.loads(json.dumps({**CHANGE, "host": host, "diff": ["-old", "+new"]})) for host in ("app1", "app2")
        ]
        now = copy.deepcopy(approved)
        change(now)
        return change_plan_compare.changes(approved, now)

    def test_none(self) -> None:
        assert self.differences(lambda now: now) == []

    def test_another_result(self) -> None:
        found = self.differences(lambda now: now[1].update(diff=["-old", "+newer"]))
        assert found == [
            "app2: 'Write' (/etc/motd) would now do something else: line 2 of the difference is approved as '+new' "
            "and is now '+newer'"
        ]

    def test_a_shorter_result(self) -> None:
        found = self.differences(lambda now: now[1].update(diff=["-old"]))
        assert found[0].endswith("line 2 of the difference is approved as '+new' and is now 'nothing'")

    def test_one_less(self) -> None:
        assert self.differences(lambda now: now.pop()) == [
            "app2: 'Write' (/etc/motd) is approved and would not be done now"
        ]

    def test_one_more(self) -> None:
        assert self.differences(lambda now: now.append({"host": "db1", "task": "Restart", "action": "x"})) == [
            "db1: 'Restart' would be done now and is not approved"
        ]

    def test_another_order(self) -> None:
        approved = [{"host": "app1", "task": task} for task in ("drain", "write")]
        assert len(change_plan_compare.changes(approved, approved[::-1])) == 2

    def test_a_long_list_is_cut(self) -> None:
        many = [{"host": f"app{number}", "task": "Write"} for number in range(30)]
        found = change_plan_compare.changes([], many)
        assert (len(found), found[-1]) == (11, "and 20 more")


class TestRepeat:
    @pytest.mark.parametrize(
        ("options", "words", "said"),
        [
            ({"ask_pass": True}, [], "--ask-pass asks"),
            ({"become_ask_pass": True}, [], "--ask-become-pass asks"),
            ({"ask_vault_pass": True}, [], "--ask-vault-pass asks"),
            ({"vault_ids": ["prod@prompt"]}, [], "--vault-id prod@prompt asks"),
            ({"vault_ids": ["prompt_ask_vault_pass"]}, [], "asks for the vault's password"),
            ({"step": True}, [], "--step asks"),
            ({}, ["-e", "@/dev/fd/63"], "@/dev/fd/63 can be read only once"),
            ({}, ["--vault-password-file", "/dev/stdin"], "/dev/stdin can be read only once"),
        ],
    )
    def test_what_asks_cannot_be_repeated(self, options: dict[str, Any], words: list[str], said: str) -> None:
        found = list(prompts(options, ["ansible-playbook", *words]))
        assert len(found) == 1
        assert said in found[0]

    def test_files_can(self) -> None:
        options = {"ask_pass": False, "vault_ids": ["prod@/etc/vault", "/etc/prompt"]}
        assert list(prompts(options, ["ansible-playbook", "x.yml", "-e", "@vars.yml"])) == []


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (["-CD", "-e", "runbook_plan_out=p"], ""),
        (["--check", "--diff", "--extra-vars=runbook_plan_out=p", "--limit", "app 1"], " --limit 'app 1'"),
        (["-C", "-D", "-e", "a=1 runbook_plan_out=p", "-e", "@vars.yml"], " -e a=1 -e @vars.yml"),
        (["-e", '{"runbook_plan_out": "p", "a": 1}', "--check"], """ -e '{"a": 1}'"""),
        (["-erunbook_plan_out=p", "--check"], ""),
    ],
)
def test_the_command_that_applies(given: list[str], shown: str) -> None:
    assert _command(["/bin/ansible-playbook", "x.yml", *given], "p") == (
        f"ansible-playbook x.yml{shown} -e runbook_plan=p"
    )
