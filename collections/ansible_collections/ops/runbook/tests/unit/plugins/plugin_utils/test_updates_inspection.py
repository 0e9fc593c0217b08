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
IDLE = {"interrupted": False, "idle": True, "sources": "alike", "updates": []}
WORK = {"updates": ["openssl"], "news": False}
NEWS = {"updates": [], "news": True}
FRESH = {"updates": [], "news": False}


class Hosts:
    """Answers from memory: the quick look's and the refreshed one's of each host."""

    def __init__(self, quick: Mapping[str, Any], full: Mapping[str, Any]) -> None:
        self.quick, self.full = quick, full
        self.refreshed: list[list[str]] = []

    def run_python(self, programs: Mapping[str, bytes], timeout: float) -> dict[str, Reply]:
        assert timeout >= 60 or not programs
        replies = {}
        for name, source in programs.items():
            refresh = re.search(rb'"refresh": (true|false)', source)
            assert refresh
            found = self.full[name] if refresh[1] == b"true" else self.quick[name]
            text = "" if isinstance(found, Reply) else f"Welcome\n{updates_inspection.MARK}{json.dumps(found)}\n"
            replies[name] = found if isinstance(found, Reply) else Reply(stdout=text)
        if any(b'"refresh": true' in source for source in programs.values()):
            self.refreshed.append(sorted(programs))
        return replies


def look(monkeypatch: pytest.MonkeyPatch, hosts: Hosts) -> dict[str, dict[str, Any]]:
    monkeypatch.setattr(updates_inspection, "FanOut", lambda _action, _variables: hosts)
    return updates_inspection.inspected(None, {}, dict.fromkeys(hosts.quick, OPTIONS))


def test_one_of_the_hosts_that_are_alike_asks_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = Hosts({"a": IDLE, "b": IDLE, "c": {**IDLE, "sources": "others"}}, dict.fromkeys("abc", FRESH))
    found = look(monkeypatch, hosts)
    assert hosts.refreshed == [["b", "c"]]
    assert [found[name]["updates"] for name in "abc"] == [[], [], []]


def test_hosts_with_work_ask_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    busy, interrupted = {**IDLE, "idle": False}, {**IDLE, "interrupted": True}
    hosts = Hosts({"a": busy, "b": IDLE, "c": interrupted}, {"a": WORK, "b": FRESH, "c": WORK})
    found = look(monkeypatch, hosts)
    assert hosts.refreshed == [["a", "b", "c"]]
    assert found["a"] == found["c"] == WORK


def test_all_ask_where_one_finds_newer_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = Hosts({"a": IDLE, "b": IDLE}, {"a": WORK, "b": NEWS})
    found = look(monkeypatch, hosts)
    assert hosts.refreshed == [["b"], ["a"]]
    assert found == {"a": WORK, "b": NEWS}


def test_nobody_relies_on_a_host_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = Hosts({"a": IDLE, "b": IDLE}, {"a": {"error": "no archive"}, "b": {"error": "no archive"}})
    found = look(monkeypatch, hosts)
    assert {name: answer["error"] for name, answer in found.items()} == {"a": "no archive", "b": "no archive"}


def test_a_host_that_gives_no_answer_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = Reply(error="timed out")
    found = look(monkeypatch, Hosts({"a": lost, "b": IDLE}, {"a": lost, "b": FRESH}))
    assert found["a"] == {"error": "the host cannot be reached: timed out"}
    assert found["b"]["news"] is False
