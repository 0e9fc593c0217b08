"""The smallest guarded procedure, and one that forgets something."""

from __future__ import annotations

from pathlib import Path

from tests.scenario import ROOT, shell

INVENTORIES: tuple[Path, ...] = (ROOT / "inventories/lab",)
OPTIONS: tuple[str, ...] = ()
HOSTS = ("proxy1", "app1", "app2")


def arrange() -> None:
    """One file is there with other content, the others are missing."""
    shell("app2", "echo other > /etc/guarded-second")


def assert_converged() -> None:
    for host in ("app1", "app2"):
        assert shell(host, "cat /etc/guarded-first /etc/guarded-second") == "wantedwanted"
