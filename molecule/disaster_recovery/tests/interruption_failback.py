"""The failback after a failover, for the interruption matrix."""

from __future__ import annotations

import os
from pathlib import Path

import interruption
from platform_state import INVENTORIES, refuses_writes, roles, stored

from tests.scenario import Procedure

PROCEDURE = "backup_recovery/disaster_recovery_failback"
OPTIONS: tuple[str, ...] = ()

__all__ = ["INVENTORIES", "OPTIONS", "PROCEDURE", "arrange", "assert_converged"]


def arrange() -> None:
    """The standby took over, and the old primary's host is back."""
    interruption.arrange()
    failover = Procedure("backup_recovery/disaster_recovery", INVENTORIES, Path(os.environ["RUNBOOK_STATE_DIR"]))
    outcome = failover.run()
    assert outcome.returncode == 0, outcome.output


def assert_converged() -> None:
    """The old primary follows, with all that the new one has, and can be written by nobody."""
    assert roles() == {"db1": "standby", "db2": "primary"}
    assert refuses_writes("db1")
    assert stored("db1") == stored("db2")
