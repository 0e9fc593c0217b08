"""What the inventory may say about managed configuration, and how it is told what is wrong."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.ops.runbook.plugins.plugin_utils.configuration_batches import batches
from ansible_collections.ops.runbook.plugins.plugin_utils.configuration_resolve import (
    FILES,
    SERVICES,
    SYSCTL,
    SYSCTL_FILE,
    merge_entries,
    resolve_all,
)


def resolved(**layers: Any) -> tuple[list[dict[str, Any]], list[str]]:
    """The entries of one group's contributions."""
    merged = {variable: merge_entries(variable, [("group app", value)])[0] for variable, value in layers.items()}
    return resolve_all(merged)


def error(variable: str, value: Any) -> str:
    """The one thing that is wrong with one entry."""
    _entries, errors = resolved(**{variable: {"x": value}})
    assert len(errors) == 1, errors
    prefix = f"{variable}['x'] (set by group app) "
    assert errors[0].startswith(prefix)
    return errors[0].removeprefix(prefix)


def test_contributions_add_up_and_a_host_changes_one_key() -> None:
    layers = [
        ("group all", {"motd": {"path": "/etc/motd", "content": "a", "mode": "0600"}}),
        ("group app", {"app": {"path": "/etc/app", "content": "b"}}),
        ("host app1", {"motd": {"content": "c"}, "app": False}),
    ]
    merged, errors = merge_entries(FILES, layers)
    assert errors == []
    entries, wrong = resolve_all({FILES: merged})
    assert wrong == []
    assert [(entry["path"], entry["content"], entry["mode"]) for entry in entries] == [("/etc/motd", "c", "0600")]
    assert entries[0]["variable"] == "managed_files['motd'] (set by group all, host app1)"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"content": "a"}, "lacks path"),
        ({"path": "etc/x", "content": "a"}, "has the path 'etc/x'; it has to be the absolute path of a file"),
        ({"path": "/etc/../x", "content": "a"}, "has the path '/etc/../x'; it has to be the absolute path of a file"),
        ({"path": "/etc/x/", "content": "a"}, "has the path '/etc/x/'; it has to be the absolute path of a file"),
        ({"path": "/x"}, "has none of template, content, source and absent; a file has exactly one"),
        (
            {"path": "/x", "content": "a", "absent": True},
            "has content and absent of template, content, source and absent; a file has exactly one",
        ),
        ({"path": "/x", "content": ["a"]}, "has content: ['a'], which is not text"),
        ({"path": "/x", "content": "a", "mode": 0o644}, "has mode: 420, which is not text; write it in quotes"),
        (
            {"path": "/x", "content": "a", "mode": "rw"},
            "has the mode 'rw'; it has to be three or four octal digits in quotes, such as '0640'",
        ),
        ({"path": "/x", "content": "a", "secret": "yes"}, "has secret: 'yes', which is not true or false"),
        ({"path": "/x", "content": "a", "reload": "no name"}, "has reload 'no name', which is no name of a unit"),
        (
            {"path": "/x", "content": "a", "validate": {"command": []}},
            "has validate without command, a list of words; {candidate} in it is the file",
        ),
        ("a", "is 'a', neither a mapping of options nor false"),
    ],
)
def test_a_wrong_file_is_named(value: Any, said: str) -> None:
    if isinstance(value, str):
        _merged, errors = merge_entries(FILES, [("group app", {"x": value})])
        assert errors == [f"managed_files['x'] (set by group app) {said}"]
    else:
        assert error(FILES, value) == said


def test_an_unknown_option_gets_a_hint() -> None:
    assert error(FILES, {"path": "/x", "contents": "a"}).startswith(
        "has the unknown option 'contents' (did you mean 'content'?)"
    )


def test_a_layer_that_is_no_mapping_is_named() -> None:
    _merged, errors = merge_entries(SYSCTL, [("group app", ["net.core.somaxconn"])])
    assert errors == ["managed_sysctl of group app is ['net.core.somaxconn'], not a mapping of names"]


def test_kernel_settings_are_kept_for_the_next_boot() -> None:
    entries, errors = resolved(managed_sysctl={"net.core.somaxconn": 4096, "net.ipv4.tcp_rmem": "4096  8192 16384"})
    assert errors == []
    assert [(entry["name"], entry["value"]) for entry in entries[:2]] == [
        ("net.core.somaxconn", "4096"),
        ("net.ipv4.tcp_rmem", "4096 8192 16384"),
    ]
    assert entries[2]["path"] == SYSCTL_FILE
    assert entries[2]["content"].splitlines()[1:] == [
        "net.core.somaxconn = 4096",
        "net.ipv4.tcp_rmem = 4096 8192 16384",
    ]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (True, "is True; kernel settings are numbers: write 1 or 0"),
        ("", "is empty; it has to be the setting's value"),
        ([1], "has value: [1], which is not text or a whole number"),
    ],
)
def test_a_wrong_kernel_setting_is_named(value: Any, said: str) -> None:
    _entries, errors = resolved(managed_sysctl={"net.core.somaxconn": value})
    assert errors[0] == f"managed_sysctl['net.core.somaxconn'] (set by group app) {said}"


def test_a_setting_may_not_leave_its_folder() -> None:
    _entries, errors = resolved(managed_sysctl={"net/../../etc/passwd": 1})
    assert "is no name of a kernel setting" in errors[0]


def test_a_service_is_its_state_and_its_drop_ins() -> None:
    service = {
        "enabled": True,
        "drop_ins": {"limits": {"Service": {"LimitNOFILE": 4096, "ExecStart": ["", "/bin/x"], "PrivateTmp": True}}},
        "on_change": "restart",
    }
    (drop_in, state), errors = resolved(managed_services={"nginx": service})
    assert errors == []
    assert drop_in["path"] == "/etc/systemd/system/nginx.service.d/limits.conf"
    assert drop_in["content"].splitlines()[1:] == [
        "[Service]",
        "LimitNOFILE=4096",
        "ExecStart=",
        "ExecStart=/bin/x",
        "PrivateTmp=yes",
    ]
    assert (drop_in["restart"], drop_in["reload"]) == (["nginx.service"], [])
    assert drop_in["variable"] == "managed_services['nginx'].drop_ins['limits'] (set by group app)"
    assert (state["name"], state["enabled"], state["running"]) == ("nginx.service", True, None)


def test_a_drop_in_is_removed_by_false() -> None:
    (drop_in,), errors = resolved(managed_services={"nginx": {"drop_ins": {"limits": False}}})
    assert errors == []
    assert drop_in["absent"] is True


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"on_change": "restart"}, "says nothing: it has none of enabled, running and drop_ins"),
        ({"running": "yes"}, "has running: 'yes', which is not true or false"),
        (
            {"running": True, "on_change": "reboot"},
            "has on_change 'reboot'; it is one of nothing, reload, restart",
        ),
        (
            {"drop_ins": {"a": {"Service": "LimitNOFILE=1"}}},
            "has drop_ins.a.Service: 'LimitNOFILE=1', which is not a mapping of settings",
        ),
        (
            {"drop_ins": {"../a": {"Service": {"A": 1}}}},
            "has the drop-in '../a'; its name has letters, digits, - and _ alone",
        ),
        (
            {"drop_ins": {"a": {"Service": {"A": "1\nExecStart=/bin/evil"}}}},
            "has drop_ins.a: A is '1\\nExecStart=/bin/evil'; a setting is one line",
        ),
    ],
)
def test_a_wrong_service_is_named(value: Any, said: str) -> None:
    assert error(SERVICES, value) == said


def test_two_entries_for_one_file_are_refused() -> None:
    _entries, errors = resolved(
        managed_files={"a": {"path": "/etc/x", "content": "1"}, "b": {"path": "/etc/x", "content": "2"}}
    )
    assert errors == [
        "managed_files['b'] (set by group app) has the path /etc/x, which managed_files['a'] (set by group app) has too"
    ]


@pytest.mark.parametrize(
    ("hosts", "sizes", "upstreams", "made"),
    [
        ("abcd", ["1", "50%"], {}, ["a", "bc", "d"]),
        ("abcd", ["100%"], {}, ["abcd"]),
        ("abc", ["2"], {}, ["ab", "c"]),
        ("abc", ["10%"], {}, ["a", "b", "c"]),
        ("", ["1"], {}, []),
        # a, b and c stand in for each other: one of them at a time, and d beside one of them.
        ("abcd", ["100%"], {"a": ["u"], "b": ["u"], "c": ["u"]}, ["ad", "b", "c"]),
    ],
)
def test_batches(hosts: str, sizes: list[str], upstreams: dict[str, list[str]], made: list[str]) -> None:
    assert ["".join(batch) for batch in batches(list(hosts), sizes, upstreams)] == made
