"""The rebuild of everything for the interruption matrix."""

from __future__ import annotations

import subprocess

from lost_platform import INVENTORIES, PLATFORM, archive, lose_everything, rows, served, write

from tests.hosts import upstreams
from tests.scenario import ROOT

PROCEDURE = "backup_recovery/disaster_recovery_platform"
HOSTS = (*PLATFORM, "store1")
OPTIONS = ()
ROWS = 500

__all__ = ["HOSTS", "INVENTORIES", "OPTIONS", "PROCEDURE", "arrange", "assert_converged"]


def arrange() -> None:
    """The store has everything, rows after the backup included, and the machines are other ones."""
    prepare = ROOT / "molecule/disaster_recovery_platform/prepare.yml"
    subprocess.run(["ansible-playbook", str(prepare), "-i", str(INVENTORIES[0])], cwd=ROOT, check=True)
    write("archived", ROWS)
    archive()
    lose_everything()


def assert_converged() -> None:
    """Clients are served, with all rows, on both hosts of the database."""
    assert '"ok"' in served()
    assert upstreams() == {"app1": "active", "app2": "active"}
    assert rows("db1", "archived").startswith(f"{ROWS}|")
    assert rows("db2", "archived") == rows("db1", "archived")
