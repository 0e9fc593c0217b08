"""Which hosts a run of configuration changes takes over from one that died."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ansible_collections.ops.runbook.plugins.action.configuration_plan import Inspected, _abandoned
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
