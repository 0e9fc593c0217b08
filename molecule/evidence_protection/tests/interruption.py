"""Evidence protection for the interruption matrix."""

from __future__ import annotations

from store import INVENTORIES, add_document, given, items, seals

from tests.scenario import shell

HOSTS = ("proxy1", "app1", "app2", "db1", "db2", "store1")
OPTIONS: tuple[str, ...] = given(evidence_store_anew="the lab is new")

__all__ = ["HOSTS", "INVENTORIES", "OPTIONS", "arrange", "assert_converged"]


def arrange() -> None:
    """There are documents."""
    shell("app1", "mkdir -p /srv/temporary; echo temporary > /srv/temporary/1")
    for number in range(3):
        add_document(f"audit {number}")


def assert_converged() -> None:
    """All of them are sealed."""
    assert len(items("documents/*")) >= 3
    assert seals()
