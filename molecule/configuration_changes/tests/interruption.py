"""Configuration changes for the interruption matrix."""

from __future__ import annotations

from pathlib import Path

from managed import ACCESS, LIMITS, arrange

from tests.scenario import ROOT, shell

INVENTORIES = (ROOT / "inventories/lab", Path(__file__).resolve().parents[1] / "inventory")
OPTIONS: tuple[str, ...] = ()

__all__ = ["INVENTORIES", "OPTIONS", "arrange", "assert_converged"]


def assert_converged() -> None:
    """Every host has its configuration, and it is in use."""
    assert "server_tokens off" in shell("proxy1", "nginx -T 2>/dev/null")
    for host in ("app1", "app2"):
        assert "planted" in shell(host, f"cat {ACCESS}")
        assert "8192" in shell(host, LIMITS)
    for host in ("db1", "db2"):
        assert shell(host, "runuser -u postgres -- psql -XAtqc 'show log_lock_waits'").strip() == "on"
