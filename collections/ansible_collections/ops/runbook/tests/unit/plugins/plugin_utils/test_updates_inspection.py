"""Which hosts ask the archives, and whose answers count."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest
from ansible_collections.ops.runbook.plugins.plugin_utils import updates_inspection
from ansible_collections.ops.runbook.plugins.plugin_utils.fan_out import Reply

OPTIONS = {
    "security_updates_scope": "security",
    "security_updates_origins": ["*-security"],
    "security_updates_only": [],
    "security_updates_exclude": [],
    "security_updates_refresh_timeout": 60,
}
PLAIN = {"interrupted": False, "plain": True, "sources": "alike", "versions": {"openssl": "1"}, "updates": []}
WORK = {"updates": ["openssl"], "older": []}
FRESH = {"updates": [], "older": [["nginx", "1"]]}
#: The archives have newer lists, so that its former ones say nothing about others.
NEWS = {"updates": []}


class Hosts:
    """Answers from memory: the quick look's and the refreshed one's of each host."""

    def __init__(self, quick: Mapping[str, Any], full: Mapping[str, Any]) -> None:
        self.quick, self.full = quick, full
        self.refreshed: list[list[str]] = []
        self.programs: dict[str, bytes] = {}

    def run_python(self, programs: Mapping[str, bytes], timeout: float) -> dict[str, Reply]:
        assert timeout >= 60 or not programs
        replies = {}
        for name, source in programs.items():
            refresh = re.search(rb'"refresh": (true|false)', source)
            assert refresh
            found = self.full[name] if refresh[1] == b"true" else self.quick[name]
            text = "" if isinstance(found, Reply) else f"Welcome\n{updates_inspection.MARK}{json.dumps(found)}\n"
            replies[name] = found if isinstance(found, Reply) else Reply(stdout=text)
        self.programs.update(programs)
        if any(b'"refresh": true' in source for source in programs.values()):
            self.refreshed.append(sorted(programs))
        return replies


def look(monkeypatch: pytest.MonkeyPatch, hosts: Hosts) -> dict[str, dict[str, Any]]:
    monkeypatch.setattr(updates_inspection, "FanOut", lambda _action, _variables: hosts)
    return updates_inspection.inspected(None, {}, dict.fromkeys(hosts.quick, OPTIONS))


def test_one_of_the_hosts_that_are_alike_asks_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = Hosts({"a": PLAIN, "b": PLAIN, "c": {**PLAIN, "sources": "others"}}, dict.fromkeys("abc", FRESH))
    found = look(monkeypatch, hosts)
    assert hosts.refreshed == [["a", "c"]]
    assert [found[name]["updates"] for name in "abc"] == [[], [], []]


def test_it_is_asked_about_the_versions_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    other = {**PLAIN, "versions": {"openssl": "2", "nginx": "1"}}
    hosts = Hosts({"a": PLAIN, "b": other, "c": {**other, "sources": "others"}}, dict.fromkeys("abc", FRESH))
    look(monkeypatch, hosts)
    assert b'"versions": {"openssl": ["1", "2"], "nginx": ["1"]}' in hosts.programs["a"]
    assert b'"versions": {"openssl": ["2"], "nginx": ["1"]}' in hosts.programs["c"]


def test_apt_has_to_say_what_is_pending_on_each_host(monkeypatch: pytest.MonkeyPatch) -> None:
    behind = {**PLAIN, "versions": {"nginx": "1"}}
    hosts = Hosts({"a": PLAIN, "b": PLAIN, "c": behind}, {"a": FRESH, "c": WORK})
    found = look(monkeypatch, hosts)
    assert hosts.refreshed == [["a"], ["c"]]
    assert found["c"] == {**WORK}
    assert found["b"]["updates"] == []


def test_hosts_that_are_not_plain_ask_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    pinned, interrupted = {**PLAIN, "plain": False}, {**PLAIN, "interrupted": True}
    hosts = Hosts({"a": pinned, "b": PLAIN, "c": interrupted}, {"a": WORK, "b": FRESH, "c": WORK})
    found = look(monkeypatch, hosts)
    assert hosts.refreshed == [["a", "b", "c"]]
    assert found["a"] == found["c"] == WORK


def test_all_ask_where_one_finds_newer_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = Hosts({"a": PLAIN, "b": PLAIN}, {"a": NEWS, "b": WORK})
    found = look(monkeypatch, hosts)
    assert hosts.refreshed == [["a"], ["b"]]
    assert found == {"a": NEWS, "b": WORK}


def test_nobody_relies_on_a_host_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = Hosts({"a": PLAIN, "b": PLAIN}, {"a": {"error": "no archive"}, "b": {"error": "no archive"}})
    found = look(monkeypatch, hosts)
    assert {name: answer["error"] for name, answer in found.items()} == {"a": "no archive", "b": "no archive"}


def test_a_host_that_gives_no_answer_is_an_error_and_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = Hosts({"a": Reply(error="timed out"), "b": PLAIN}, {"b": FRESH})
    found = look(monkeypatch, hosts)
    assert found["a"] == {"error": "the host cannot be reached: timed out"}
    assert found["b"] == FRESH
    assert hosts.refreshed == [["b"]]
