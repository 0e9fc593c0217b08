"""What validators say becomes the name of a variable and a reason. Real programs say what stands here."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.ops.runbook.plugins.module_utils import configuration_units, configuration_validate
from ansible_collections.ops.runbook.plugins.module_utils.configuration_basics import EntryError, Finished
from ansible_collections.ops.runbook.plugins.module_utils.configuration_kernel import _shape
from ansible_collections.ops.runbook.plugins.module_utils.configuration_units import (
    check_takers,
    pending_restart,
    plan_service,
    reload_unit,
)
from ansible_collections.ops.runbook.plugins.module_utils.configuration_validate import VALIDATORS, _validators


def step(name: str, path: str, *validators: dict[str, Any], exists: bool = True) -> dict[str, Any]:
    """A file that changes."""
    return {
        "kind": "file",
        "name": name,
        "variable": f"managed_files[{name!r}]",
        "subject": path,
        "real": path,
        "after": {"exists": exists},
        "validate": list(validators),
    }


class Programs:
    """Programs that answer as they are told, and remember how they were called."""

    def __init__(self) -> None:
        self.answers: list[tuple[str, Finished]] = []
        self.calls: list[list[str]] = []

    def __call__(self, argv: list[str], stdin: str = "", timeout: float = 0) -> Finished:
        self.calls.append(argv)
        line = " ".join(argv)
        return next((done for word, done in self.answers if word in line), Finished(0, "", ""))


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> Programs:
    made = Programs()
    monkeypatch.setattr(configuration_validate, "execute", made)
    monkeypatch.setattr(configuration_units, "execute", made)
    return made


def test_nginx_blames_the_file_that_it_stumbles_over(programs: Programs) -> None:
    said = (
        '2026/11/23 18:53:46 [emerg] 1703#1703: unknown directive "proxy_pas" in /etc/nginx/conf.d/b.conf:1\n'
        "nginx: configuration file /etc/nginx/nginx.conf test failed\n"
    )
    programs.answers.append(("nginx", Finished(1, "", said)))
    judged = [step("a", "/etc/nginx/conf.d/a.conf"), step("b", "/etc/nginx/conf.d/b.conf")]
    ((variable, text),) = VALIDATORS["nginx"]({}, judged)
    assert variable == "managed_files['b']"
    assert text.startswith('[emerg] unknown directive "proxy_pas" in /etc/nginx/conf.d/b.conf:1')


def test_a_validator_of_everything_runs_once_and_a_command_for_each_file() -> None:
    nginx, command = {"type": "nginx"}, {"type": "command", "command": ["check", "{candidate}"]}
    files = [step("a", "/a", nginx, command), step("b", "/b", nginx), step("c", "/c", command)]
    found = [(name, [one["name"] for one in judged]) for name, _options, judged in _validators(files)]
    assert found == [("nginx", ["a", "b"]), ("command", ["a"]), ("command", ["c"])]


def test_a_command_gets_the_path_of_the_candidate_and_its_user(programs: Programs) -> None:
    programs.answers.append(("check", Finished(3, "", "\n".join(f"line {number}" for number in range(9)))))
    options = {"type": "command", "command": ["check", "--file={candidate}"], "user": "app"}
    ((variable, text),) = VALIDATORS["command"](options, [step("a", "/etc/a")])
    assert programs.calls == [["runuser", "-u", "app", "--", "check", "--file=/etc/a"]]
    assert variable == "managed_files['a']"
    assert text == "check ended with 3: line 4\nline 5\nline 6\nline 7\nline 8"


def test_systemd_ignores_no_line(programs: Programs) -> None:
    said = (
        "/etc/systemd/system/x.service.d/limits.conf:2: Unknown key 'LimitNOFILES' in section [Service], ignoring.\n"
        "/etc/systemd/system/other.service:3: Unknown key 'A' in section [Service], ignoring.\n"
    )
    programs.answers.append(("systemd-analyze", Finished(0, "", said)))
    judged = [step("limits", "/etc/systemd/system/x.service.d/limits.conf")]
    ((_variable, text),) = VALIDATORS["systemd"]({"unit": "x.service"}, judged)
    assert text == said.splitlines()[0]


def test_postgresql_names_file_and_parameter(programs: Programs) -> None:
    said = (
        '2026-11-23 17:39:00.394 UTC [218] LOG:  invalid value for parameter "work_mem": "banana"\n'
        '2026-11-23 17:39:00.394 UTC [218] FATAL:  configuration file "/etc/postgresql/15/main/conf.d/b.conf" '
        "contains errors\n"
    )
    programs.answers.append(("-C data_directory", Finished(1, "", said)))
    judged = [step(name, f"/etc/postgresql/15/main/conf.d/{name}.conf") for name in ("a", "b")]
    ((variable, text),) = VALIDATORS["postgresql"]({}, judged)
    assert variable == "managed_files['b']"
    assert text.splitlines()[0] == 'LOG:  invalid value for parameter "work_mem": "banana"'
    assert "/usr/lib/postgresql/15/bin/postgres" in programs.calls[0]


def test_postgresql_checks_no_file_of_no_cluster(programs: Programs) -> None:
    ((_variable, text),) = VALIDATORS["postgresql"]({}, [step("a", "/etc/a.conf")])
    assert "is not below /etc/postgresql/<version>/<cluster>/" in text


def state(**further: str) -> dict[str, str]:
    known = {"LoadState": "loaded", "ActiveState": "active", "UnitFileState": "enabled", "CanReload": "yes"}
    return {**known, **further}


def entry(**further: Any) -> dict[str, Any]:
    return {"variable": "managed_files['a']", **further}


@pytest.mark.parametrize(
    ("given", "unit", "said"),
    [
        ({"reload": ["x.service"]}, state(CanReload="no"), "which cannot be reloaded: write restart instead"),
        ({"restart": ["x.service"]}, state(LoadState="not-found"), "which this host's systemd does not have"),
        ({"restart": ["x.service"]}, state(LoadState="masked"), "which is masked on this host"),
    ],
)
def test_what_cannot_take_a_file_into_use_is_refused(given: dict[str, Any], unit: dict[str, str], said: str) -> None:
    with pytest.raises(EntryError, match=said):
        check_takers(entry(**given), {"x.service": unit}, set())


def test_a_unit_that_the_run_itself_delivers_need_not_exist() -> None:
    check_takers(
        entry(reload=["x.service"]), {"x.service": state(LoadState="not-found", CanReload="no")}, {"x.service"}
    )


def test_a_static_unit_cannot_be_enabled() -> None:
    with pytest.raises(EntryError, match="is static"):
        plan_service(entry(name="x.service", enabled=True, running=None), state(UnitFileState="static"), set())


def test_a_service_differs_in_what_is_asked_for_alone() -> None:
    stopped = state(ActiveState="inactive", UnitFileState="disabled")
    assert plan_service(entry(name="x.service", enabled=True, running=None), stopped, set())["differs"] == ["enabled"]
    assert plan_service(entry(name="x.service", enabled=False, running=True), stopped, set())["differs"] == ["running"]


def test_nginx_that_goes_on_as_before_has_not_reloaded(programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    """`systemctl reload nginx` ends with 0 whether the master took the configuration or not."""
    monkeypatch.setattr(configuration_units, "_RELOAD_TIMEOUT", 0.1)
    monkeypatch.setattr(configuration_units, "_children", lambda unit: {"11", "12"})
    programs.answers.append(("tail", Finished(0, "[emerg] bind() to 0.0.0.0:443 failed", "")))
    with pytest.raises(EntryError, match=r"goes on with its former configuration\n\[emerg\] bind"):
        reload_unit("managed_files['a']", "nginx.service")


def test_settings_of_postgresql_that_wait(programs: Programs) -> None:
    programs.answers.append(("psql", Finished(0, "max_connections\nshared_buffers\n", "")))
    assert pending_restart("postgresql@15-main.service") == ["max_connections", "shared_buffers"]
    assert programs.calls[0][5:7] == ["--cluster", "15/main"]
    assert pending_restart("nginx.service") == []


@pytest.mark.parametrize(("now", "wanted", "wrong"), [("60", "10", False), ("60", "a", True), ("4 5", "4", True)])
def test_a_value_keeps_the_form_of_the_present_one(now: str, wanted: str, wrong: bool) -> None:
    found = _shape({"variable": "x", "before": {"value": now}, "after": {"value": wanted}})
    assert bool(found) is wrong
