"""What a run that died holds is freed by the next one, even where that has nothing else to do."""

from __future__ import annotations

import json
from dataclasses import replace

from ansible_collections.ops.runbook.plugins.action.disaster_plan import _abandoned
from ansible_collections.ops.runbook.plugins.module_utils.run_record import Process
from ansible_collections.ops.runbook.plugins.plugin_utils.disaster_inspection import LOCK_MARK, MARK, answer
from ansible_collections.ops.runbook.plugins.plugin_utils.fan_out import Reply

HERE = Process.current()
DEAD = replace(HERE, start_ticks=HERE.start_ticks + 1)


def state(process: Process, procedure: str) -> dict[str, object]:
    lock = {"run_id": "r", "procedure": procedure, "process": vars(process), "since": "2026-11-24T02:03:44+00:00"}
    said = f'motd\n{MARK}{{"role": "standby"}}\n{LOCK_MARK}{json.dumps(lock)}\n'
    return answer(Reply(rc=0, stdout=said))


def test_only_what_such_a_run_held_when_it_died() -> None:
    states = {
        "db1": state(DEAD, "backup_recovery/disaster_recovery_switchover"),
        "db2": state(HERE, "backup_recovery/disaster_recovery"),
        "app1": state(DEAD, "maintenance/security_updates"),
        "app2": answer(Reply(rc=0, stdout=f'{MARK}{{"role": "application"}}\n')),
    }
    assert _abandoned(states) == ["db1"]
    assert states["db1"] == {"role": "standby"}
