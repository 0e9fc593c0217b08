"""Which hosts a run of configuration changes takes over, and what it asks back instead of guessing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.ops.runbook.plugins.action.configuration_plan import (
    Inspected,
    _abandoned,
    _restore_errors,
    wrong_canaries,
)
from ansible_collections.ops.runbook.plugins.module_utils.run_record import Process
from ansible_collections.ops.runbook.plugins.plugin_utils.change_run import Holder

HERE = Process.current()
GONE = replace(HERE, start_ticks=1)


def locked(procedure: str, process: Process) -> Inspected:
    lock: dict[str, Any] = Holder("a" * 32, procedure, {}, vars(process)).to_lock()
    return Inspected(said={"lock": lock})


def test_hosts_that_a_dead_run_of_these_procedures_holds_are_taken_over() -> None:
    hosts = {
        "dead": locked("maintenance/configuration_changes", GONE),
        "restored": locked("maintenance/configuration_changes_restore", GONE),
        "at work": locked("maintenance/configuration_changes", HERE),
        "another's": locked("maintenance/security_updates", GONE),
        "free": Inspected(said={"lock": {}}),
        "damaged": Inspected(said={"lock": {"procedure": "maintenance/configuration_changes"}}),
        "unreachable": Inspected(),
    }
    assert _abandoned(hosts) == ["dead", "restored"]


def recorded(last_change: str, **said: Any) -> Inspected:
    versions = [{"id": identity, "state": "confirmed", "subjects": ["/etc/a"]} for identity in ("v1", "v2")]
    return Inspected(said={"last_change": last_change, "versions": versions, "rows": [], **said})


def test_previous_means_one_change_of_all_hosts() -> None:
    hosts = {"app1": recorded("v2"), "app2": recorded("v2"), "new": Inspected(said={"last_change": ""})}
    assert _restore_errors(hosts, "previous") == []
    (error,) = _restore_errors({**hosts, "db1": recorded("v1")}, "previous")
    assert "is not the same one: v2 on app1, app2; v1 on db1. --limit" in error
    assert "name the version\nRecorded versions:\n    v1  app1" in error


@pytest.mark.parametrize(("unfinished", "refused"), [([], True), (["v2"], False)])
def test_previous_does_not_overwrite_what_somebody_has_changed_since(unfinished: list[str], refused: bool) -> None:
    """A change that was interrupted left things in the middle, and is undone all the same."""
    rows = [{"subject": "/etc/a", "altered": True}, {"subject": "/etc/b", "altered": False}]
    errors = _restore_errors({"app1": recorded("v2", rows=rows, unfinished=unfinished)}, "previous")
    assert ["but /etc/a on app1 is not what the last version left" in error for error in errors] == [True] * refused


@pytest.mark.parametrize(
    ("canaries", "mode", "words"),
    [
        (["app1"], "apply", ""),
        (["app1", "db1"], "apply", ""),
        (["db1"], "restore", ""),
        (["db1"], "apply", "names db1, none of them a host of this run: app1, app2"),
        (["app1", "ap2"], "apply", "names 'ap2', which is no host of the inventory (did you mean 'app2'?)"),
    ],
)
def test_canaries(canaries: list[str], mode: str, words: str) -> None:
    errors = wrong_canaries(canaries, ["app1", "app2"], ["app1", "app2", "db1"], mode)
    assert [error.partition(" ")[2] for error in errors] == ([words] if words else [])
