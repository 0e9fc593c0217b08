"""No secret reaches any file of the state directory, wherever it comes from and whatever shows it."""

from __future__ import annotations

import base64
import textwrap
from pathlib import Path
from urllib.parse import quote

import pytest
from ansible.parsing.vault import VaultLib, VaultSecret
from conftest import Project, make_project, with_answer

VAULT = VaultLib([("default", VaultSecret(b"the password of the vault"))])
KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\nMz4rQk9PTk9UQVJFQUxLRVk=\n-----END-----\n"

#: Where it is planted → the variable that holds it, and its value.
SECRETS = {
    "vaulted value in the inventory file": ("inventory_vaulted", "in-the-inventory-file"),
    "vaulted value in group_vars": ("group_vaulted", "in the group's 'vars' \"quoted\" & more"),
    "vaulted value inside of a list of host_vars": ("host_vaulted", "in-host-vars-nested"),
    "wholly vaulted file in group_vars": ("whole_file_value", "in-a-whole-file"),
    "number in a wholly vaulted file": ("whole_file_number", "8675309123"),
    "vaulted value of a play": ("play_vaulted", "in-the-play"),
    "vaulted file of a play": ("vars_file_value", "in-a-vars-file"),
    "private answer to a prompt": ("prompted", "typed-at-the-prompt"),
    "vaulted default of a role": ("role_default", "in-role-defaults"),
    "vaulted variable of a role that is included": ("included_role_value", "in-role-vars"),
    "vaulted default of a role that is included": ("included_role_default", "in-an-included-default"),
    "vaulted file that a task includes": ("included_value", "in-included-vars"),
    "vaulted variable of a block": ("block_vaulted", "on-a-block"),
    "vaulted extra variable": ("extra_vaulted", "in-extra-vars"),
    "extra variable by its name": ("api_token", "named-on-the-command-line"),
    "extra variable equal to a vaulted one": ("copied", "in-host-vars-nested"),
    "variable by its name": ("db_password", "named-in-the-inventory"),
    "variable by the name inside of another": ("nested_secret_name", "named-further-inside"),
    "variable by its name that is a template": ("app_secret", "prefix-named-in-the-inventory"),
    "fact by its name": ("fact_password", "set-as-a-fact"),
    "private key": ("tls_private_key", KEY),
}
#: Ways in which a value might come into a record.
SHOWN = {
    "plain": "{{ item }}",
    "inside a text": "x{{ item }}y",
    "in JSON": "{{ {'a': item} | to_json }}",
    "in an address": "{{ item | urlencode }}",
    "in base64": "{{ item | string | b64encode }}",
}


def vaulted(value: str, indent: int) -> str:
    text = VAULT.encrypt(value).decode().strip()
    return "!vault |\n" + textwrap.indent(text, " " * indent)


def vault_file(text: str) -> str:
    return VAULT.encrypt(text).decode()


def plant(project: Project) -> None:
    value = dict(SECRETS.values())
    project.write("vault-password", "the password of the vault")
    config = (project.root / "ansible.cfg").read_text()
    vault = "[defaults]\nvault_password_file = vault-password\nroles_path = roles"
    project.write("ansible.cfg", config.replace("[defaults]", vault))
    project.write(
        "inventory/hosts.yml",
        "platform:\n  hosts:\n    app1:\n      ansible_connection: local\n"
        f"      inventory_vaulted: {vaulted(value['inventory_vaulted'], 8)}\n",
    )
    key = textwrap.indent(KEY, "  ")
    project.write(
        "inventory/group_vars/platform/plain.yml",
        f"group_vaulted: {vaulted(value['group_vaulted'], 2)}\n"
        f"db_password: {value['db_password']}\napp_secret: 'prefix-{{{{ db_password }}}}'\n"
        f"service:\n  credentials:\n    value: {value['nested_secret_name']}\n"
        f"nested_secret_name: '{{{{ service.credentials.value }}}}'\ntls_private_key: |\n{key}",
    )
    project.write(
        "inventory/group_vars/platform/vault.yml",
        vault_file(f"whole_file_value: {value['whole_file_value']}\nwhole_file_number: {value['whole_file_number']}\n"),
    )
    project.write(
        "inventory/host_vars/app1.yml",
        f"list:\n  - deep: {vaulted(value['host_vaulted'], 6)}\nhost_vaulted: '{{{{ list[0].deep }}}}'\n",
    )
    project.write("playbooks/vars_file.yml", vault_file(f"vars_file_value: {value['vars_file_value']}\n"))
    project.write("playbooks/included.yml", vault_file(f"included_value: {value['included_value']}\n"))
    project.write("extra.yml", vault_file(f"extra_vaulted: {value['extra_vaulted']}\n"))
    project.write("roles/first/defaults/main.yml", f"role_default: {vaulted(value['role_default'], 2)}\n")
    project.write("roles/first/tasks/main.yml", "- name: Nothing\n  ansible.builtin.debug: {msg: x}\n")
    project.write("roles/later/vars/main.yml", f"included_role_value: {vaulted(value['included_role_value'], 2)}\n")
    project.write(
        "roles/later/defaults/main.yml", f"included_role_default: {vaulted(value['included_role_default'], 2)}\n"
    )
    project.write("roles/later/tasks/main.yml", leaks(["included_role_value", "included_role_default"], indent=0))


def leaks(names: list[str], indent: int) -> str:
    """Tasks that show each variable in every member of a result that is recorded."""
    values = ", ".join(["'a visible value'", *(f"'{{{{ {name} }}}}'" for name in names)])
    tasks = "".join(
        f"""
- name: "Show {way}: {{{{ {names[0]} }}}}"
  ignore_errors: true
  loop: [{values}]
  vars: {{text: "{text.replace('"', chr(92) + '"')}"}}
  answer:
    changed: true
    failed: true
    msg: "the message says {{{{ text }}}}"
    stderr: "the error says {{{{ text }}}}"
    path: "/tmp/{{{{ text }}}}"
    diff: {{before: "", after: "a line\\n{{{{ text }}}}\\n", after_header: "{{{{ text }}}}"}}
    findings: [{{host: app1, check: "{way} {{{{ text }}}}", status: critical, detail: "{{{{ text }}}}"}}]
    report: {{path: "/nowhere/{{{{ text }}}}"}}
"""
        for way, text in SHOWN.items()
    )
    return textwrap.indent(tasks, " " * indent)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project after a run that shows all secrets in all ways."""
    project = with_answer(make_project(tmp_path_factory.mktemp("secrets")))
    plant(project)
    value = dict(SECRETS.values())
    elsewhere = {"included_role_value", "included_role_default", "block_vaulted", "role_default"}
    names = [name for name, _ in SECRETS.values() if name not in elsewhere]
    path = project.write(
        "playbooks/test.yml",
        f"""
- name: Test
  hosts: platform
  gather_facts: false
  vars:
    play_vaulted: {vaulted(value["play_vaulted"], 6)}
  vars_files: [vars_file.yml]
  vars_prompt:
    - {{name: prompted, prompt: Say it, private: true, default: {value["prompted"]}}}
  roles: [first]
  tasks:
    - name: Include variables
      ansible.builtin.include_vars: included.yml
    - name: Set a fact
      ansible.builtin.set_fact: {{fact_password: {value["fact_password"]}}}
    - name: Hide a result
      no_log: true
      answer: {{changed: true, msg: never to be seen, diff: {{before: "", after: never to be seen}}}}
    - name: Include a role
      ansible.builtin.include_role: {{name: later}}
    - name: A block
      vars:
        block_vaulted: {vaulted(value["block_vaulted"], 10)}
      block:
{leaks(["block_vaulted", "role_default"], indent=8)}
{leaks(names, indent=4)}
    - name: Fail in the end
      ansible.builtin.fail: {{msg: "{{{{ play_vaulted }}}} {{{{ api_token }}}}"}}
""",
    )
    project.run(
        str(path),
        "--diff",
        *("-e", "@extra.yml", "-e", f"api_token={value['api_token']}", "-e", f"copied={value['copied']}"),
        *("-e", f"runbook_reason='because of {value['copied']}'"),
        environment={"SOME_VARIABLE": "the-environment-itself"},
        code=2,
    )
    return project


@pytest.fixture(scope="module")
def written(shown: Project) -> str:
    """Everything in the state directory."""
    return shown.everything_written()


def test_everything_but_the_secrets_is_recorded(shown: Project) -> None:
    record = shown.record()
    assert record["omitted"] == 0
    # Three sets of loops: in the included role, in the block, in the play.
    loops, items = 3, len(SECRETS) + 3
    for kind in ("changes", "failures"):
        events = [event for event in record[kind] if "item" in event]
        assert len(events) == len(SHOWN) * items
        assert {event["item"].strip() for event in events} == {"a visible value", "[secret]"}
        assert sum(event["item"] == "a visible value" for event in events) == len(SHOWN) * loops
    visible = next(event for event in record["failures"] if event["item"] == "a visible value")
    assert visible["message"] == "the message says a visible value\nthe error says a visible value"
    hidden = next(event for event in record["failures"] if event["item"] == "[secret]")
    assert hidden["message"] == "the message says [secret]\nthe error says [secret]"
    change = next(event for event in record["changes"] if event.get("item") == "[secret]")
    assert change["subject"] == "/tmp/[secret]"
    assert "+[secret]" in change["diff"]
    assert record["why"] == {"reason": "because of [secret]"}


@pytest.mark.parametrize("place", SECRETS)
def test_a_secret_is_not_recorded(written: str, place: str) -> None:
    value = SECRETS[place][1]
    forms = [value, quote(value), base64.b64encode(value.encode()).decode()]
    forms += [line for line in value.splitlines() if len(line) > 8]
    for form in forms:
        assert form not in written


def test_what_is_hidden_by_no_log_is_not_recorded(written: str) -> None:
    assert "never to be seen" not in written


def test_the_environment_is_not_recorded(written: str) -> None:
    assert "the-environment-itself" not in written


def test_the_password_of_the_vault_is_not_recorded(written: str) -> None:
    assert "the password of the vault" not in written


def test_secrets_do_not_survive_an_interruption(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    project.write("inventory/group_vars/platform.yml", "db_password: swordfish-42\n")
    path = project.playbook(
        """
- name: Change
  ansible.builtin.copy: {content: "{{ db_password }}", dest: "{{ playbook_dir }}/file", mode: "0600"}
- name: Wait
  ansible.builtin.shell: "touch '{{ playbook_dir }}/waiting'; exec sleep 30"
""",
        hosts="app1",
    )
    process = project.start(path, "--diff")
    project.wait_for("playbooks/waiting", process)
    process.terminate()
    process.communicate(timeout=60)
    assert project.record()["changes"][0]["task"] == "Change"
    assert "[secret]" in project.everything_written()
    assert "swordfish" not in project.everything_written()


def test_a_vault_that_this_run_cannot_open_does_not_stop_it(project: Project) -> None:
    project.write("inventory/production.yml", "production:\n  hosts:\n    db9:\n")
    project.write("inventory/group_vars/production.yml", vault_file("production_value: in-production"))
    path = project.playbook('- name: Change\n  ansible.builtin.file: {path: "{{ playbook_dir }}/x", state: touch}\n')
    project.run(path, "-e", "size=3")
    assert project.record()["outcome"] == "succeeded"
    assert project.record()["changes"]


def test_a_file_of_variables_whose_name_depends_on_the_host(project: Project) -> None:
    project.write("playbooks/app1.yml", "service_password: of-app-number-one\n")
    path = project.write(
        "playbooks/test.yml",
        """
- name: Test
  hosts: app1
  gather_facts: false
  vars_files: ["{{ inventory_hostname }}.yml"]
  tasks:
    - name: Fail
      ansible.builtin.fail: {msg: "it says {{ service_password }}"}
""",
    )
    project.run(str(path), code=2)
    assert project.record()["failures"][0]["message"] == "it says [secret]"


def test_variables_of_another_host_are_secret_too(project: Project) -> None:
    project.write("inventory/host_vars/app2.yml", "service_password: of-app-number-two\n")
    fail = "- name: Fail\n  ansible.builtin.fail: {msg: \"it says {{ hostvars['app2'].service_password }}\"}\n"
    project.run(project.playbook(fail), "--limit", "app1", code=2)
    assert project.record()["failures"][0]["message"] == "it says [secret]"


def test_a_role_that_only_an_earlier_batch_included(project: Project) -> None:
    project.write("roles/once/defaults/main.yml", "once_password: of-the-first-batch\n")
    tasks = '- name: Change\n  ansible.builtin.command: {argv: [echo, "{{ once_password }}"]}\n'
    project.write("roles/once/tasks/main.yml", tasks)
    path = project.playbook(
        """
- name: Include it once
  ansible.builtin.include_role: {name: once}
  when: inventory_hostname == 'app1'
"""
    )
    project.write(path, (project.root / path).read_text().replace("  tasks:", "  serial: 1\n  tasks:"))
    project.run(path, environment={"ANSIBLE_ROLES_PATH": str(project.root / "roles")})
    assert project.record()["changes"][0]["subject"] == "echo [secret]"
