"""The recovery of a lost store for the interruption matrix."""

from __future__ import annotations

import subprocess

from lost import HOSTS, INVENTORIES, labels, lose_the_store, put_a_bare_machine, stored, tags

from tests.scenario import ROOT

PROCEDURE = "backup_recovery/disaster_recovery_store"
OPTIONS = ()
#: A store that is one again is not lost.
SETTLED = "refused"

__all__ = ["HOSTS", "INVENTORIES", "OPTIONS", "PROCEDURE", "SETTLED", "arrange", "assert_converged"]

_BEFORE: dict[str, str] = {}


def arrange() -> None:
    """The store had evidence and backups, and is a bare machine now."""
    for name in ("prepare", "converge"):
        playbook = ROOT / f"molecule/disaster_recovery_store/{name}.yml"
        subprocess.run(["ansible-playbook", str(playbook), "-i", str(INVENTORIES[0])], cwd=ROOT, check=True)
    _BEFORE.clear()
    _BEFORE.update(stored())
    lose_the_store()
    put_a_bare_machine()


def assert_converged() -> None:
    """It has all evidence of before, and first backups of everything."""
    assert _BEFORE
    assert _BEFORE.items() <= stored().items()
    assert labels()
    assert tags("store1") == {"configuration", "evidence"}
    assert "application" in tags("app1")
