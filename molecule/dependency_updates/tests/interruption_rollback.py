"""The way back to be interrupted, from an update that both hosts have."""

from __future__ import annotations

import os
from pathlib import Path

import interruption
from interruption import APPS, INVENTORIES, assert_serving, major, versions

from tests.scenario import Procedure

PROCEDURE = "maintenance/dependency_updates_rollback"
OPTIONS: tuple[str, ...] = ()

__all__ = ["INVENTORIES", "OPTIONS", "PROCEDURE", "arrange", "assert_converged"]


def arrange() -> None:
    """Both hosts have a release to go back to."""
    update = Procedure("maintenance/dependency_updates", INVENTORIES, Path(os.environ["RUNBOOK_STATE_DIR"]))
    updated = update.run(*interruption.OPTIONS)
    assert updated.returncode == 0, updated.output


def assert_converged() -> None:
    for host in APPS:
        assert major(versions(host)["gunicorn"]) > 26, host
    assert_serving()
