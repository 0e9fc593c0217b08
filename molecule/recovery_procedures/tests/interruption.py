"""A restore to be interrupted: rows were deleted after a restore point that was made in time."""

from __future__ import annotations

import json
from pathlib import Path

import backups
from backups import sql

from tests.scenario import ROOT, shell

INVENTORIES: tuple[Path, ...] = (ROOT / "inventories/lab",)
HOSTS = ("proxy1", "app1", "app2", "db1", "db2", "store1")
OPTIONS = ("--extra-vars", json.dumps({"database_restore_point": "before the mistake"}))


def arrange() -> None:
    """A backed up database, a restore point, and a mistake."""
    backups.arrange()
    sql("select pg_create_restore_point('before the mistake')")
    sql("delete from ledger")


def assert_converged() -> None:
    """The rows are back on both hosts, and nothing is left of the way."""
    for host in ("db1", "db2"):
        assert sql("select count(*) from ledger", host) == "1000", host
    assert sql("select count(*) from pg_stat_replication where state = 'streaming'") == "1"
    left = shell("db1", "ls /var/lib/postgresql/15").split()
    assert [name for name in left if name.endswith(".partial")] == []
    assert "archive_command" not in shell("db1", "cat /var/lib/postgresql/15/main/postgresql.auto.conf")
