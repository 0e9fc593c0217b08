"""Failover for the interruption matrix."""

from __future__ import annotations

from platform_state import INVENTORIES, UNIT, refuses_writes, roles

from tests.scenario import shell

OPTIONS: tuple[str, ...] = ()

__all__ = ["INVENTORIES", "OPTIONS", "arrange", "assert_converged"]


def arrange() -> None:
    """The primary's database dies."""
    shell("db1", f"systemctl kill --signal=KILL {UNIT}; while pg_lsclusters -h | grep -q online; do sleep 0.1; done")


def assert_converged() -> None:
    """The standby is the primary, and the old one can be written by nobody."""
    assert roles() == {"db1": "down", "db2": "primary"}
    assert refuses_writes("db1")
    for host in ("app1", "app2"):
        shell(host, "! test -e /etc/evidence-api/read-only")
