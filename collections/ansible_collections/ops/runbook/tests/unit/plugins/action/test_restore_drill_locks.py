# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A drill waits for another one and for recoveries, and for nobody else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.ops.runbook.plugins.action.restore_drill_plan import occupied
from ansible_collections.ops.runbook.plugins.module_utils.run_record import Process

HERE = Process.current()
DEAD = replace(HERE, start_ticks=HERE.start_ticks + 1)


def held(procedure: str, process: Process = HERE) -> dict[str, Any]:
    lock = {"run_id": "3f2a", "procedure": procedure, "process": vars(process), "since": "2026-11-24T02:03:44+00:00"}
    return {"result": "held", "lock": lock}


@pytest.mark.parametrize(
    ("host", "answer", "refused"),
    [
        ("scratch1", held("backup_recovery/recovery_procedures_drill"), True),
        ("scratch1", held("maintenance/security_updates"), True),
        ("db1", held("backup_recovery/recovery_procedures"), True),
        ("db1", held("backup_recovery/disaster_recovery_switchover"), True),
        ("db1", held("backup_recovery/backup_procedures"), False),
        ("db1", held("backup_recovery/recovery_procedures", DEAD), False),
        ("db1", {"result": "error", "error": "the host cannot be reached"}, False),
    ],
)
def test_who_keeps_a_drill_from_being_made(host: str, answer: dict[str, Any], refused: bool) -> None:
    said = occupied("scratch1", {"scratch1": {"result": "free", "lock": None}, "db1": {"result": "free"}, host: answer})
    assert bool(said) is refused
    if refused:
        assert f"{host} is locked: {answer['lock']['procedure']}, started by" in said[0]
