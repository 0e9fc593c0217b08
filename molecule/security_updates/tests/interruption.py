"""An update of both application servers, to be interrupted after each of its changes."""

from __future__ import annotations

from pathlib import Path

from genuine_updates import assert_installed, make_pending

from tests.scenario import ROOT

INVENTORIES: tuple[Path, ...] = (ROOT / "inventories/lab",)
SERVERS = ("app1", "app2")
OPTIONS: tuple[str, ...] = ("--limit", ",".join(SERVERS))


def arrange() -> None:
    """Updates of a library that the application runs on are pending."""
    make_pending(SERVERS)


def assert_converged() -> None:
    """They are installed, both servers run on them and get requests."""
    assert_installed(SERVERS)
