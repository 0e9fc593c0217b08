"""A restore of what was there before the first change."""

from __future__ import annotations

import os
from pathlib import Path

import managed
from interruption import INVENTORIES
from managed import ACCESS, DROP_IN, HOSTS, NGINX, given, half_written, setting, states, unfinished

from tests.scenario import Procedure, shell

PROCEDURE = "maintenance/configuration_changes_restore"
OPTIONS = given(configuration_changes_version="origin")


def arrange() -> None:
    """Every host has a version that can be undone."""
    managed.arrange()
    changes = Procedure("maintenance/configuration_changes", INVENTORIES, Path(os.environ["RUNBOOK_STATE_DIR"]))
    changed = changes.run()
    assert changed.returncode == 0, changed.output


def assert_converged() -> None:
    """Every host is as it was deployed, and serves."""
    for host, path in (("proxy1", NGINX), ("app1", ACCESS), ("app2", ACCESS), ("app1", DROP_IN), ("app2", DROP_IN)):
        assert shell(host, f"ls {path} 2>/dev/null || true") == "", (host, path)
    assert {host: setting(host, "log_lock_waits") for host in ("db1", "db2")} == {"db1": "off", "db2": "off"}
    assert states("proxy1") == {"app1": "active", "app2": "active"}
    for host in HOSTS:
        assert (unfinished(host), half_written(host)) == ([], ""), host
