"""Backup procedures for the interruption matrix."""

from __future__ import annotations

from stored import DATABASE, FILES, PSQL, bad, program

from tests.scenario import ROOT, shell

INVENTORIES = (ROOT / "inventories/lab",)
OPTIONS: tuple[str, ...] = ()
HOSTS = ("proxy1", "app1", "app2", "db1", "db2", "store1")

__all__ = ["HOSTS", "INVENTORIES", "OPTIONS", "arrange", "assert_converged"]


def arrange() -> None:
    """A fresh platform has no backups."""


def assert_converged() -> None:
    """Everything is backed up, whole, and goes on by itself."""
    assert bad(program(f"{DATABASE} status")) == {}
    for host in HOSTS:
        assert bad(program(f"{FILES} status", host)) == {}
        assert shell(host, "ls /var/lib/ops-runbook/file_sets") == ""
    assert "pgbackrest" in shell("db1", f"{PSQL} 'show archive_command'")
    timers = "database-backup.timer file-backup.timer file-backup-retention.timer"
    assert shell("store1", f"systemctl is-active {timers}").split() == ["active"] * 3
