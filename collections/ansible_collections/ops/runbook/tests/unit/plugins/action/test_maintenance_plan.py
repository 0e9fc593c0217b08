"""The plan of routine maintenance in real runs of ansible-playbook on this machine; nothing is cleaned."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.ops.runbook.plugins.action.maintenance_plan import ActionModule, _Host

PROJECT = Path(__file__).resolve().parents[8]
PLAYBOOK = """
- hosts: platform
  gather_facts: false
  tasks:
    - ansible.builtin.import_role: {name: routine_maintenance, tasks_from: preflight, rolespec_validate: false}
    - ansible.builtin.debug: {msg: "{{ __routine_maintenance_plan | to_json }}"}
      run_once: true
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An inventory of two names for this machine."""
    (tmp_path / "ansible.cfg").touch()
    (tmp_path / "playbook.yml").write_text(PLAYBOOK, encoding="utf-8")
    hosts = {"hosts": {"h1": {}, "h2": {}}, "vars": {"ansible_connection": "local"}}
    (tmp_path / "hosts.json").write_text(json.dumps({"platform": hosts}), encoding="utf-8")
    return tmp_path


def run(folder: Path, **variables: Any) -> subprocess.CompletedProcess[str]:
    promise = {"objectives_retention": {"logs": {"keep": "400d"}}}
    given = {**promise, "routine_maintenance_areas": ["reboot"], **variables}
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
        "ANSIBLE_ROLES_PATH": str(PROJECT / "roles"),
        "ANSIBLE_COLLECTIONS_PATH": str(PROJECT / "collections"),
        "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
    }
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    command = [program, "-i", str(folder / "hosts.json"), "-e", json.dumps(given), str(folder / "playbook.yml")]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


def refusal(folder: Path, **variables: Any) -> str:
    done = run(folder, **variables)
    assert done.returncode == 2
    assert '"refused": true' in done.stdout
    return done.stdout + done.stderr


def test_hosts_with_nothing_to_do_are_told_apart(folder: Path) -> None:
    done = run(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert '\\"cleans\\": false' in done.stdout


def test_a_host_that_cannot_be_inspected_refuses_the_run(folder: Path) -> None:
    gone = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
    hosts = {"h1": {"ansible_connection": "local"}, "h2": gone}
    (folder / "hosts.json").write_text(json.dumps({"platform": {"hosts": hosts}}), encoding="utf-8")
    said = refusal(folder)
    assert "- h2: it cannot be inspected:" in said
    assert "- h1" not in said


def test_a_wrong_option_of_one_host_names_it(folder: Path) -> None:
    hosts = {"h1": {}, "h2": {"routine_maintenance_releases_keep": 0}}
    inventory = {"hosts": hosts, "vars": {"ansible_connection": "local"}}
    (folder / "hosts.json").write_text(json.dumps({"platform": inventory}), encoding="utf-8")
    assert "routine_maintenance_releases_keep keeps 0 releases; keep at least 1, the one that runs (on h2)" in refusal(
        folder
    )


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"routine_maintenance_temporary": "10d"}, "routine_maintenance_temporary"),
        ({"routine_maintenance_rank": "first"}, "routine_maintenance_rank"),
        ({"routine_maintenance_log_keep": "{{ nosuch }}"}, "routine_maintenance_log_keep: 'nosuch' is undefined"),
        ({"objectives_retention": {"logs": {}}}, "routine_maintenance_log_promise"),
    ],
)
def test_wrong_options_are_refused(folder: Path, variables: dict[str, Any], message: str) -> None:
    assert message in refusal(folder, **variables)


# Who is cleaned, restarted and locked, from what hosts answer


class Plain:
    """A templar of values without templates."""

    def copy_with_new_env(self, **_more: Any) -> Plain:
        return self

    def template(self, value: Any) -> Any:
        return value


def host(
    name: str, rank: int = 10, *, standby: bool | None = None, proxies: tuple[str, ...] = (), **seen: Any
) -> _Host:
    made = _Host(name, {"traffic_proxies": list(proxies)}, Plain())
    made.rank = rank
    server = {} if standby is None else {"standby": standby, "busy": ""}
    areas = {"logs": {"items": seen.pop("items", [])}, "postgresql": {"items": [], "seen": server}}
    made.seen = {"areas": areas, "lock": {}, "stale": {}, "reboot": False, **seen}
    return made


def registered(monkeypatch: pytest.MonkeyPatch, *hosts: _Host) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    action = ActionModule.__new__(ActionModule)
    monkeypatch.setattr(action, "register_host_variables", lambda values, _layer: kept.update(values), raising=False)
    action._register(list(hosts))
    return kept


def test_hosts_are_renewed_by_rank_and_the_standby_first(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = registered(
        monkeypatch,
        host("proxy1", 30, stale={"nginx.service": []}),
        host("db1", 20, standby=False, reboot=True),
        host("db2", 20, standby=True, reboot=True),
        host("app1", stale={"api.service": []}, proxies=("proxy1",)),
        host("app2", items=[{"subject": "x"}], proxies=("proxy1",)),
        host("app3"),
    )
    assert kept["__routine_maintenance_renewed_hosts"] == ["app1", "db2", "db1", "proxy1"]
    assert kept["__routine_maintenance_cleaned_hosts"] == ["app2"]
    assert kept["__routine_maintenance_locked_hosts"] == ["app2", "app1", "db2", "db1", "proxy1"]


def test_a_reboot_renews_the_services(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = registered(monkeypatch, host("app1", stale={"api.service": []}, reboot=True))
    planned = kept["__routine_maintenance_plan"]["app1"]
    assert (planned["reboots"], planned["restarts"], planned["interrupts"]) == (True, [], True)


def test_a_host_that_a_dead_run_held_gets_its_traffic_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNBOOK_RUN_ID", "mine")
    dead = {"procedure": "maintenance/routine_maintenance", "run_id": "dead"}
    kept = registered(
        monkeypatch,
        host("app1", proxies=("proxy1",), lock=dead),
        host("app2", proxies=("proxy1",), lock={**dead, "run_id": "mine"}),
        host("app3", proxies=("proxy1",), lock={**dead, "procedure": "maintenance/security_updates"}),
        host("db1", lock=dead),
    )
    assert kept["__routine_maintenance_renewed_hosts"] == ["app1"]
    assert kept["__routine_maintenance_plan"]["app1"]["interrupts"] is False
    # The lock of a host that has nothing more to do is freed, too.
    assert kept["__routine_maintenance_locked_hosts"] == ["app1", "proxy1", "db1"]


def test_a_busy_database_refuses_only_what_concerns_it() -> None:
    busy = {"standby": False, "busy": "a standby is 11 MiB behind"}
    areas = {"logs": {"items": [{"subject": "x"}]}, "postgresql": {"items": [], "seen": busy}}
    assert host("db1", areas=areas).refusal() == ""
    assert host("db2", standby=True, reboot=True).refusal() == ""
    assert "a standby is 11 MiB behind" in host("db1", areas=areas, reboot=True).refusal()
    due = {**areas, "postgresql": {"items": [{"subject": "evidence: VACUUM t"}], "seen": busy}}
    assert "to be left alone" in host("db1", areas=due).refusal()
