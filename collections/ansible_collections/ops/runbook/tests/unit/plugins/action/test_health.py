"""The plan and the sweep in real runs of ansible-playbook against this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parents[8]
PLAYBOOK = """
- hosts: platform
  gather_facts: false
  vars: %s
  tasks:
    - ansible.builtin.import_role: {name: health_check, tasks_from: %s, rolespec_validate: false}
      when: wanted | default(true)
    - ansible.builtin.copy:
        content: "{{ health_check_findings_json | default(health_check_findings | default([]) | to_json) }}"
        dest: "{{ inventory_dir }}/findings.json"
        mode: "0600"
      run_once: true
      delegate_to: localhost
"""


class Project:
    """A small inventory beside a playbook."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "ansible.cfg").touch()
        self.write("hosts.json", {"platform": {"hosts": {"h1": {}, "h2": {}}, "vars": {"ansible_connection": "local"}}})
        self.write("group_vars/all.json", {"health_check_baseline": {}})
        #: Exists as soon as a program has run on a host.
        self.touched = folder / "touched"
        self.python = folder / "python"
        self.python.write_text(f'#!/bin/sh\n: > {self.touched}\nexec {sys.executable} "$@"\n', encoding="ascii")
        self.python.chmod(0o755)

    def write(self, name: str, data: Any) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(data), encoding="utf-8")

    def run(
        self, *options: str, entry: str = "sweep", play: dict[str, Any] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run the role; the inventory is the folder's hosts.json."""
        playbook = self.folder / "playbook.yml"
        playbook.write_text(PLAYBOOK % (json.dumps(play or {}), entry), encoding="utf-8")
        environment = {
            **os.environ,
            "ANSIBLE_CONFIG": str(self.folder / "ansible.cfg"),
            "ANSIBLE_ROLES_PATH": str(PROJECT / "roles"),
            "ANSIBLE_COLLECTIONS_PATH": str(PROJECT / "collections"),
            "ANSIBLE_PYTHON_INTERPRETER": str(self.python),
            "ANSIBLE_LOCALHOST_WARNING": "false",
        }
        program = str(Path(sys.executable).with_name("ansible-playbook"))
        command = [program, "-i", str(self.folder / "hosts.json"), *options, str(playbook)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)

    def findings(self, *options: str, **how: Any) -> dict[tuple[str, str], dict[str, Any]]:
        """The findings of a run that has to succeed, by host and check."""
        done = self.run(*options, **how)
        assert done.returncode == 0, done.stdout + done.stderr
        found = json.loads((self.folder / "findings.json").read_text(encoding="utf-8"))
        return {(finding["host"], finding["check"]): finding for finding in found}

    def refusal(self, *options: str, **how: Any) -> str:
        """The message of a run that has to be refused before a host is touched."""
        self.touched.unlink(missing_ok=True)
        done = self.run(*options, **how)
        assert done.returncode != 0
        assert '"refused": true' in done.stdout
        assert not self.touched.exists()
        return done.stdout + done.stderr


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_contributions_of_all_groups_host_play_and_command_line_add_up(project: Project) -> None:
    inventory = {
        "all": {
            "vars": {"ansible_connection": "local"},
            "children": {
                "platform": {"children": {"one": {"hosts": {"h1": {}}}, "two": {"hosts": {"h1": {}, "h2": {}}}}},
            },
        }
    }
    project.write("hosts.json", inventory)
    checks = {"root": {"disk": "/"}, "memory": "memory", "swap": "swap"}
    project.write("group_vars/all.json", {"health_check_baseline": {"zombies": "zombies"}, "health_checks": checks})
    project.write("group_vars/one.json", {"health_checks": {"one": {"file": "/etc/passwd"}, "root": {"warning": 0}}})
    project.write("group_vars/two.json", {"health_checks": {"two": {"file": "/etc/group"}, "memory": False}})
    project.write("host_vars/h2.json", {"health_checks": {"two": False, "root": {"controls": ["A.1"]}}})
    findings = project.findings(
        "-e", json.dumps({"health_checks": {"swap": False}}), play={"health_checks": {"play": {"file": "/"}}}
    )
    assert project.touched.exists()
    names = {host: {check for at, check in findings if at == host} for host in ("h1", "h2")}
    assert names["h1"] == {"reachable", "zombies", "root", "one", "two", "play"}
    assert names["h2"] == {"reachable", "zombies", "root", "play"}
    assert findings["h1", "root"]["status"] == "warning"
    assert findings["h2", "root"]["controls"] == ["A.1"]


def test_groups_are_merged_in_the_order_of_ansible(project: Project) -> None:
    groups = {
        "low": {"hosts": {"h1": {}}, "vars": {"health_checks": {"x": {"file": "/low"}}}},
        "a_high": {
            "hosts": {"h1": {}},
            "vars": {"ansible_group_priority": 10, "health_checks": {"x": {"file": "/", "controls": ["high"]}}},
        },
    }
    project.write("hosts.json", {"platform": {"children": groups, "vars": {"ansible_connection": "local"}}})
    assert project.findings()["h1", "x"]["title"].startswith("/ is ")


def test_values_are_filled_in_with_the_variables_of_their_host(project: Project) -> None:
    project.write("group_vars/platform.json", {"health_checks": {"x": {"file": "{{ place }}", "exists": False}}})
    for host in ("h1", "h2"):
        project.write(f"host_vars/{host}.json", {"place": f"/nowhere/{host}"})
    findings = project.findings()
    assert {findings[host, "x"]["title"] for host in ("h1", "h2")} == {
        "/nowhere/h1 does not exist",
        "/nowhere/h2 does not exist",
    }


def test_classes_of_several_groups_add_up(project: Project) -> None:
    classes = {"web": {"w": {"file": "/"}}, "db": {"d": {"file": "/"}}}
    project.write("group_vars/all.json", {"health_check_baseline": {}, "health_check_classes": classes})
    project.write("group_vars/platform.json", {"health_check_class": "web"})
    project.write("host_vars/h1.json", {"health_check_class": ["db", "web"]})
    assert set(project.findings()) == {(h, c) for h in ("h1", "h2") for c in ("reachable", "w")} | {
        ("h1", "reachable"),
        ("h1", "d"),
    }
    project.write("host_vars/h2.json", {"health_check_class": "wbe"})
    assert "health_check_class is 'wbe' (did you mean 'web'?); classes are db, web" in project.refusal()


def test_everything_wrong_is_told_at_once_for_all_hosts(project: Project) -> None:
    wrong = {"a": {"dsk": "/"}, "b": {"disk": "/", "warning": "80ms"}, "c": {"file": "{{ nosuch }}"}}
    project.write("group_vars/platform.json", {"health_checks": wrong})
    project.write("host_vars/h2.json", {"health_checks": {"d": 5}})
    message = project.refusal()
    assert "on h1, h2: health_checks['a'] (set by group platform) has unknown check type 'dsk'" in message
    assert "on h1, h2: health_checks['b'] (set by group platform) has a wrong threshold warning" in message
    assert "on h1, h2: health_checks['c'] (set by group platform): 'nosuch' is undefined" in message
    assert "on h2: health_checks['d'] (set by host h2) is 5" in message


def test_at_most_ten_errors_are_listed(project: Project) -> None:
    project.write("group_vars/platform.json", {"health_checks": {f"x{n:02}": n for n in range(14)}})
    message = project.refusal()
    assert "health_checks['x09']" in message
    assert "health_checks['x10']" not in message
    assert "and 4 more" in message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"health_check_only": ["rot"]},
            "health_check_only names 'rot', which is a check of no host (did you mean 'root'?)",
        ),
        ({"health_check_fail_on": "fatal"}, "health_check_fail_on must be one of: warning, unknown, critical"),
        ({"health_check_timeout": "soon"}, "health_check_timeout"),
        ({"health_checks": "{{ nosuch }}"}, "health_checks of --extra-vars: 'nosuch' is undefined"),
        ({"health_checks": [1]}, "health_checks of --extra-vars is [1], not a mapping"),
    ],
)
def test_wrong_options_are_refused(project: Project, options: dict[str, Any], message: str) -> None:
    project.write("group_vars/platform.json", {"health_checks": {"root": {"disk": "/"}}})
    assert message in project.refusal("-e", json.dumps(options))


def test_a_limit_that_names_nobody_is_refused(project: Project) -> None:
    assert "--limit names 'h9', which is no host and no group; hosts are h1, h2" in project.refusal("--limit", "h1,h9")


def test_only_the_checks_that_were_asked_for_are_run(project: Project) -> None:
    project.write("group_vars/platform.json", {"health_checks": {"root": {"disk": "/"}, "memory": "memory"}})
    findings = project.findings("-e", "health_check_only=memory", "--limit", "h1")
    assert set(findings) == {("h1", "reachable"), ("h1", "memory")}


def test_check_mode_makes_no_difference(project: Project) -> None:
    project.write("group_vars/platform.json", {"health_checks": {"root": {"disk": "/"}}})
    done = project.run("--check")
    assert done.returncode == 0
    assert "changed=1" in done.stdout  # the file with which this test reads the findings
    assert "skipping" not in done.stdout


def test_a_host_that_cannot_be_reached_is_a_finding(project: Project) -> None:
    options = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
    project.write("host_vars/h2.json", options)
    project.write("group_vars/platform.json", {"health_checks": {"root": {"disk": "/"}}})
    findings = project.findings()
    assert findings["h1", "root"]["status"] == "ok"
    assert [name for host, name in findings if host == "h2"] == ["reachable"]
    assert findings["h2", "reachable"]["status"] == "critical"
    assert "Connection refused" in findings["h2", "reachable"]["detail"]


@pytest.mark.parametrize(
    ("script", "title"),
    [
        ("echo 'Welcome to the jungle'", "the probe cannot run: its answer makes no sense (exit status 0)"),
        (
            "echo 'sudo: a password is required' >&2; exit 1",
            "the probe cannot run: root rights were refused (exit status 1)",
        ),
        ("exec /no/such/python", "the probe cannot run: Python is missing"),
    ],
)
def test_a_host_that_answers_nonsense_is_a_finding(project: Project, tmp_path: Path, script: str, title: str) -> None:
    python = tmp_path / "other-python"
    python.write_text(f"#!/bin/sh\n{script}\n", encoding="ascii")
    python.chmod(0o755)
    project.write("host_vars/h1.json", {"ansible_python_interpreter": str(python)})
    project.write("group_vars/platform.json", {"health_checks": {"root": {"disk": "/"}}})
    (finding,) = (f for (host, _unused), f in project.findings().items() if host == "h1")
    assert (finding["check"], finding["status"]) == ("reachable", "critical")
    assert finding["title"].startswith(title)


def test_a_host_that_does_not_answer_is_given_up_and_holds_up_no_other(project: Project, tmp_path: Path) -> None:
    python = tmp_path / "other-python"
    # The program's own limit is out of reach here: it never starts. A child keeps the pipe open, too.
    python.write_text("#!/bin/sh\nsleep 60 &\nsleep 60\n", encoding="ascii")
    python.chmod(0o755)
    project.write("host_vars/h1.json", {"ansible_python_interpreter": str(python), "health_check_timeout": 1})
    project.write("group_vars/platform.json", {"health_checks": {"root": {"disk": "/"}}})
    start = time.monotonic()
    findings = project.findings()
    assert time.monotonic() - start < 55
    assert findings["h1", "reachable"]["title"] == "the host did not answer within 21 s"
    assert findings["h2", "root"]["status"] == "ok"


def test_each_hosts_checks_take_no_longer_than_that_host_allows(project: Project) -> None:
    project.write("host_vars/h1.json", {"health_check_timeout": 1})
    project.write("group_vars/platform.json", {"health_checks": {"slow": {"plugin": "sleep 3"}}})
    findings = project.findings()
    assert findings["h1", "slow"]["title"] == "the sweep was cut off after 1 s"
    assert findings["h2", "slow"]["status"] == "ok"


BROKEN_CONNECTION = """
from ansible.plugins.connection import local

DOCUMENTATION = local.DOCUMENTATION.replace("name: local", "name: broken")


class Connection(local.Connection):
    def {method}(self, *arguments, **options):
        raise ValueError("nobody foresaw this")
"""


@pytest.mark.parametrize(
    # The task itself runs on the first host, so that a connection has to be made there.
    ("method", "broken", "other"),
    [("__init__", "h2", "h1"), ("exec_command", "h1", "h2")],
)
def test_a_mistake_on_the_way_to_one_host_is_an_unknown_and_holds_up_no_other(
    project: Project, method: str, broken: str, other: str
) -> None:
    plugin = project.folder / "connection_plugins/broken.py"
    plugin.parent.mkdir()
    plugin.write_text(BROKEN_CONNECTION.format(method=method), encoding="ascii")
    project.write(f"host_vars/{broken}.json", {"ansible_connection": "broken"})
    project.write("group_vars/platform.json", {"health_checks": {"root": {"disk": "/"}}})
    findings = project.findings("--forks", "1")
    found = findings[broken, "reachable"]
    assert (found["status"], found["detail"]) == ("unknown", "ValueError: nobody foresaw this")
    assert (broken, "root") not in findings
    assert findings[other, "root"]["status"] == "ok"


def test_more_hosts_than_forks_are_asked_in_turn(project: Project) -> None:
    project.write("group_vars/platform.json", {"health_checks": {"root": {"disk": "/"}}})
    assert len(project.findings("--forks", "1")) == 4


def test_each_host_has_its_own_connection(project: Project) -> None:
    options = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1, "ansible_user": "nobody"}
    project.write("host_vars/h1.json", options)
    project.write("group_vars/platform.json", {"health_checks": {"root": {"disk": "/"}}})
    findings = project.findings()
    assert findings["h1", "reachable"]["status"] == "critical"
    assert findings["h2", "root"]["status"] == "ok"


def test_the_gate_waits_until_the_host_is_healthy(project: Project, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    project.write("group_vars/platform.json", {"health_checks": {"flag": {"file": str(flag)}}})
    later = subprocess.Popen(["sh", "-c", f"sleep 3; touch {flag}"])
    options = {"health_check_gate_retries": 20, "health_check_gate_delay": 1}
    findings = project.findings("-e", json.dumps(options), entry="gate")
    later.wait()
    assert findings["h1", "flag"]["status"] == "ok"


def test_the_gate_may_be_left_out(project: Project) -> None:
    assert project.findings("-e", '{"wanted": false}', entry="gate") == {}


def test_the_gate_fails_the_host_that_does_not_become_healthy(project: Project) -> None:
    project.write("host_vars/h2.json", {"health_checks": {"flag": {"file": "/no/such/flag"}}})
    options = {"health_check_gate_retries": 1, "health_check_gate_delay": 1}
    done = project.run("-e", json.dumps(options), entry="gate")
    assert done.returncode == 2
    assert "- critical: flag: /no/such/flag does not exist" in done.stdout
    assert "h1                         : ok=3" in done.stdout
    assert "failed=1" in done.stdout.split("h2  ")[1]


def test_the_gate_lets_pass_what_is_not_bad_enough(project: Project) -> None:
    project.write("group_vars/platform.json", {"health_checks": {"root": {"disk": "/", "warning": 0}}})
    assert project.findings(entry="gate")["h1", "root"]["status"] == "warning"
    options = {"health_check_fail_on": "warning", "health_check_gate_retries": 1, "health_check_gate_delay": 1}
    assert project.run("-e", json.dumps(options), entry="gate").returncode == 2


def test_the_gate_leaves_out_what_its_caller_mends_and_nothing_else(project: Project) -> None:
    checks = {"root": {"disk": "/", "warning": 0, "critical": 0}, "gone": {"file": "/nonexistent"}}
    project.write("group_vars/all.json", {"health_check_baseline": {}, "health_checks": checks})
    options = {"health_check_gate_retries": 1, "health_check_gate_delay": 1, "health_check_gate_ignored": ["disk"]}
    stopped = project.run("-e", json.dumps(options), entry="gate")
    assert stopped.returncode == 2
    assert "critical: gone" in stopped.stdout
    assert "critical: root" not in stopped.stdout
    options["health_check_gate_ignored"] = ["disk", "file"]
    findings = project.findings("-e", json.dumps(options), entry="gate")
    assert {row[1]: found["status"] for row, found in findings.items() if row[0] == "h1"} == {
        "reachable": "ok",
    }
    options["health_check_gate_ignored"] = ["disks"]
    assert "value of ignored must be one or more of" in project.run("-e", json.dumps(options), entry="gate").stdout
