"""What is recorded of runs that end by themselves."""

from __future__ import annotations

import getpass
import hashlib
import json
import platform
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from ansible_collections.ops.runbook.plugins.module_utils.ledger_verifier import verify

if TYPE_CHECKING:
    from conftest import Project

WRITE = """
- name: Write a file
  ansible.builtin.copy:
    dest: "{{ playbook_dir }}/{{ inventory_hostname }}"
    content: "new\\n"
    mode: "0600"
"""
OK = """
- name: Say something
  ansible.builtin.debug:
    msg: hello
"""


def test_a_run_leaves_two_entries_that_verify(project: Project) -> None:
    output = project.run(project.playbook(WRITE), "--diff")
    assert project.kinds() == ["started", "finished"]
    started, finished = project.entries()
    assert started.run_id == finished.run_id
    assert f"run record {finished.run_id} succeeded · ledger: 2 entries, this run's verified" in output
    assert verify(project.ledger.directory).ok


def test_the_record_says_who_what_where_and_when(project: Project) -> None:
    project.run(project.playbook(OK, "playbooks/monitoring_procedures/checks.yml"), "--limit", "app1", "--check")
    started, finished = (entry.body for entry in project.entries())
    for body in (started, finished):
        assert body["procedure"] == "monitoring_procedures/checks"
        assert body["who"]["user"] == getpass.getuser()
        assert body["who"]["controller"] == platform.node()
        assert body["what"]["playbook"] == str(project.root / "playbooks/monitoring_procedures/checks.yml")
        assert body["where"]["inventory"] == [str(project.root / "inventory")]
        assert (body["where"]["limit"], body["where"]["check"], body["where"]["diff"]) == ("app1", True, False)
        assert body["origin"] == {"kind": "terminal", "tty": False}
    assert "outcome" not in started
    assert finished["outcome"] == "succeeded"
    assert finished["exit"] == {"code": 0, "meaning": "done"}
    assert finished["started"] < finished["finished"]
    assert 0 < finished["duration"] < 60
    assert list(finished["hosts"]) == ["app1"]


def test_every_change_is_recorded_with_its_difference(project: Project) -> None:
    path = project.playbook(
        WRITE
        + """
- name: Write two more
  ansible.builtin.copy:
    dest: "{{ playbook_dir }}/{{ inventory_hostname }}.{{ item }}"
    content: "{{ item }}\\n"
    mode: "0600"
  loop: [one, two]
- name: Change nothing
  ansible.builtin.copy:
    dest: "{{ playbook_dir }}/{{ inventory_hostname }}"
    content: "new\\n"
    mode: "0600"
"""
    )
    project.run(path, "--diff", "--limit", "app1")
    changes = project.record()["changes"]
    assert [(change["task"], change.get("item")) for change in changes] == [
        ("Write a file", None),
        ("Write two more", "one"),
        ("Write two more", "two"),
    ]
    first = changes[0]
    assert (first["host"], first["action"]) == ("app1", "ansible.builtin.copy")
    assert first["subject"] == str(project.root / "playbooks" / "app1")
    assert "+new" in first["diff"]
    assert project.record()["hosts"]["app1"]["changed"] == 2


def test_a_long_difference_is_cut(project: Project) -> None:
    project.write("playbooks/long", "".join(f"line {number}\n" for number in range(3_000)))
    path = project.playbook(
        '- name: Write much\n  ansible.builtin.copy: {src: long, dest: "{{ playbook_dir }}/copy", mode: "0600"}\n'
    )
    project.run(path, "--diff", "--limit", "app1")
    diff = project.record()["changes"][0]["diff"]
    assert len(diff) < 4_100
    assert diff.endswith("more characters]")


def test_a_failure_is_recorded_with_its_message(project: Project) -> None:
    path = project.playbook(
        """
- name: Ask a program that fails
  ansible.builtin.command: {argv: [sh, -c, "echo out; echo wrong >&2; exit 3"]}
  changed_when: false
"""
    )
    project.run(path, "--limit", "app2", code=2)
    record = project.record()
    assert (record["outcome"], record["exit"]["code"]) == ("failed", 2)
    failure = record["failures"][0]
    assert (failure["host"], failure["task"]) == ("app2", "Ask a program that fails")
    assert "non-zero return code" in failure["message"]
    assert "wrong" in failure["message"]
    assert record["hosts"]["app2"]["failed"] == 1


def test_of_a_loop_the_failed_items_are_recorded(project: Project) -> None:
    path = project.playbook(
        """
- name: Try each
  ansible.builtin.command: "{{ item }}"
  changed_when: false
  loop: ["true", "false", "true"]
- name: Never
  ansible.builtin.debug: {msg: never}
"""
    )
    project.run(path, "--limit", "app1", code=2)
    assert [failure["item"] for failure in project.record()["failures"]] == ["false"]


def test_an_unreachable_host_fails_the_run(project: Project) -> None:
    project.write("inventory/lost.yml", "lost:\n  hosts:\n    lost1: {ansible_connection: ssh, ansible_port: 1}\n")
    path = project.playbook("- name: Look\n  ansible.builtin.ping:\n", hosts="lost1")
    project.run(path, "-e", "ansible_host=127.0.0.1", code=4)
    record = project.record()
    assert (record["outcome"], record["exit"]["code"]) == ("failed", 4)
    assert record["failures"][0]["unreachable"] is True
    assert record["hosts"]["lost1"]["unreachable"] == 1


def test_a_rescued_failure_does_not_fail_the_run(project: Project) -> None:
    path = project.playbook(
        """
- name: Try
  block:
    - name: Fail
      ansible.builtin.fail: {msg: on purpose}
  rescue:
    - name: Go on
      ansible.builtin.debug: {msg: done}
"""
    )
    project.run(path)
    record = project.record()
    assert record["outcome"] == "succeeded"
    assert record["hosts"]["app1"]["rescued"] == 1
    assert len(record["failures"]) == 2


def test_a_refusal_is_no_failure(answers: Project) -> None:
    path = answers.playbook(
        "- name: Check the window\n  answer: {failed: true, refused: true, msg: outside of the change window}\n" + WRITE
    )
    answers.run(path, code=2)
    record = answers.record()
    assert (record["outcome"], record["refusal"]) == ("refused", "outside of the change window")
    assert record["changes"] == []


def test_a_refusal_after_a_change_is_a_failure(answers: Project) -> None:
    path = answers.playbook(
        WRITE + "- name: Check the next batch\n  answer: {failed: true, refused: true, msg: not now}\n"
    )
    answers.run(path, code=2)
    assert answers.record()["outcome"] == "failed"


def test_a_refusal_after_a_predicted_change_is_a_refusal(answers: Project) -> None:
    path = answers.playbook(WRITE + "- name: Refuse\n  answer: {failed: true, refused: true, msg: not now}\n")
    answers.run(path, "--check", code=2)
    assert answers.record()["outcome"] == "refused"


def test_a_wrong_argument_of_a_role_is_a_refusal(project: Project) -> None:
    project.write(
        "roles/r/meta/argument_specs.yml", "argument_specs:\n  main:\n    options:\n      r_size: {type: int}\n"
    )
    project.write("roles/r/tasks/main.yml", "- name: Never\n  ansible.builtin.debug: {msg: never}\n")
    path = project.playbook("- name: Use it\n  ansible.builtin.import_role: {name: r}\n")
    project.run(path, "-e", "r_size=many", code=2, environment={"ANSIBLE_ROLES_PATH": str(project.root / "roles")})
    record = project.record()
    assert record["outcome"] == "refused"
    assert "r_size" in record["refusal"]


def test_a_rollback_is_recorded(answers: Project) -> None:
    path = answers.playbook(
        """
- name: Try
  block:
    - name: Break
      ansible.builtin.fail: {msg: broken}
  rescue:
    - name: Put it back
      answer: {changed: true, rolled_back: true}
    - name: Say so
      ansible.builtin.fail: {msg: rolled back}
"""
    )
    answers.run(path, code=2)
    assert answers.record()["outcome"] == "rolled_back"


def test_a_host_that_is_lost_on_the_way_is_rescued_and_the_run_is_not_rolled_back(project: Project) -> None:
    """One host is put back, the other never answers: whoever reads the record must not take both for put back."""
    project.write("inventory/lost.yml", "lost:\n  hosts:\n    lost1: {ansible_connection: ssh, ansible_port: 1}\n")
    path = project.playbook(
        """
- name: Try
  any_errors_fatal: true
  block:
    - name: Change
      ops.runbook.upstream_server: {server: s, state: drained, state_command: ["false"], change_command: ["false"]}
  rescue:
    - name: Put back
      any_errors_fatal: false
      block:
        - name: Put it back
          ops.runbook.upstream_server:
            {server: s, state: active, state_command: [echo, '{"s": "active"}'], change_command: ["false"]}
          register: put_back
      always:
        - name: Report
          ansible.builtin.copy: {content: reported, dest: "{{ inventory_dir }}/../report", mode: "0600"}
          delegate_to: app1
          run_once: true
        - name: End
          ops.runbook.fail_as:
            outcome: rolled_back
            msg: it is as before
            way_back: ["{{ put_back | default({}) }}"]
            stuck: "{{ inventory_hostname }} is in doubt"
""",
        hosts="lost1,app1",
    )
    project.run(path, "-e", "ansible_host=127.0.0.1", code=2)
    record = project.record()
    assert record["outcome"] == "failed"
    said = {failure["host"]: failure["message"] for failure in record["failures"] if failure["task"] == "End"}
    assert said["app1"] == "it is as before"
    assert said["lost1"].startswith("lost1 is in doubt\nlost1 is lost: Failed to connect to the host via ssh")
    assert (project.root / "report").read_text() == "reported"


def test_findings_and_reports_are_recorded(answers: Project) -> None:
    report = answers.write("report.html", "<html>")
    findings = [
        {"check": f"c{n}", "host": "app1", "status": status} for n, status in enumerate(["ok", "ok", "critical"])
    ]
    arguments = json.dumps({"changed": False, "findings": findings, "report": {"path": str(report)}})
    answers.run(answers.playbook(f"- name: Sweep\n  answer: {arguments}\n"), "--limit", "app1")
    record = answers.record()
    assert record["finding_counts"] == {"ok": 2, "critical": 1}
    assert record["findings"] == [findings[2]]
    assert record["reports"] == [{"path": str(report), "sha256": hashlib.sha256(b"<html>").hexdigest()}]


def test_hosts_that_were_looked_at_from_another_one_are_recorded(answers: Project) -> None:
    arguments = json.dumps({"changed": False, "examined": ["app1", "app2"]})
    answers.run(answers.playbook(f"- name: Sweep\n  answer: {arguments}\n"), "--limit", "app1")
    assert {host: result["ok"] for host, result in answers.record()["hosts"].items()} == {"app1": 1, "app2": 1}


def test_tickets_and_extra_variables_are_recorded(project: Project) -> None:
    project.run(project.playbook(OK), "-e", "runbook_ticket=OPS-7 runbook_reason='certificate expires'", "-e", "size=3")
    record = project.record()
    assert record["why"] == {"ticket": "OPS-7", "reason": "certificate expires"}
    assert record["extra_vars"]["size"] == "3"


def test_each_playbook_of_one_command_is_a_run(project: Project) -> None:
    first = project.playbook(OK, "playbooks/first.yml")
    second = project.playbook(
        "- name: Show\n  ansible.builtin.debug: {msg: \"{{ lookup('env', 'RUNBOOK_RUN_ID') }}\"}\n",
        "playbooks/second.yml",
    )
    output = project.run(first, second)
    entries = project.entries()
    assert [(entry.kind, entry.body["procedure"]) for entry in entries] == [
        ("started", "first"),
        ("finished", "first"),
        ("started", "second"),
        ("finished", "second"),
    ]
    assert entries[0].run_id != entries[2].run_id
    assert f'"msg": "{entries[2].run_id}"' in output


@pytest.mark.parametrize("option", ["--syntax-check", "--list-hosts", "--list-tasks", "--list-tags"])
def test_looking_at_a_playbook_is_no_run(project: Project, option: str) -> None:
    project.run(project.playbook(OK), option)
    assert not project.state.exists()


def test_an_error_of_the_playbook_itself_is_a_failure(project: Project) -> None:
    path = project.playbook(OK)
    with (project.root / path).open("a") as file:
        file.write('- name: Second\n  hosts: platform\n  serial: "{{ not_defined }}"\n  tasks: []\n')
    output = project.run(path, code=4)
    assert "not_defined" in output
    assert project.kinds() == ["started", "finished"]
    record = project.record()
    assert record["outcome"] == "failed"
    assert record["exit"] == {"meaning": "Ansible stopped with an error before the playbook's end"}


def test_the_commit_is_recorded(project: Project) -> None:
    path = project.playbook(OK)
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", "-C", str(project.root)]
    project.write(".gitignore", "state/\n")
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
        subprocess.run([*git, *command], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    project.run(path)
    assert (project.record()["what"]["commit"], project.record()["what"]["dirty"]) == (commit, False)
    project.write("inventory/new.yml", "all: {}\n")
    project.run(path)
    assert (project.record()["what"]["commit"], project.record()["what"]["dirty"]) == (commit, True)


def test_a_playbook_of_an_installed_collection(project: Project) -> None:
    root = "collections/ansible_collections/acme/tools"
    project.write(f"{root}/MANIFEST.json", json.dumps({"collection_info": {"version": "4.5.6"}}))
    project.write(f"{root}/galaxy.yml", "namespace: acme\nname: tools\nversion: 4.5.6\n")
    project.playbook(OK, f"{root}/playbooks/maintenance/security_updates.yml")
    config = (project.root / "ansible.cfg").read_text()
    own = f"collections_path = {project.root / 'collections'}:"
    project.write("ansible.cfg", config.replace("collections_path = ", own))
    project.run("acme.tools.maintenance.security_updates")
    record = project.record()
    assert record["procedure"] == "maintenance/security_updates"
    what = record["what"]
    assert (what["collection"], what["version"]) == ("acme.tools", "4.5.6")
    assert what["name"] == "acme.tools.maintenance.security_updates"
    assert "commit" not in what


def test_the_digest_follows_the_inventory_and_not_its_place(project: Project, tmp_path: Path) -> None:
    path = project.playbook(OK)
    digests = []

    def digest(*arguments: str) -> str:
        project.run(path, *arguments)
        digests.append(project.record()["where"]["inventory_sha256"])
        return digests[-1]

    first = digest()
    assert digest() == first
    elsewhere = tmp_path / "elsewhere"
    subprocess.run(["cp", "-r", str(project.root / "inventory"), str(elsewhere)], check=True)
    assert digest("-i", str(elsewhere)) == first
    project.write("inventory/group_vars/app.yml", "size: 1\n")
    changed = digest()
    project.write("inventory/hosts.yml", (project.root / "inventory/hosts.yml").read_text() + "    new_variable: 1\n")
    assert len({first, changed, digest()}) == 3
