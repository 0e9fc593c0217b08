"""The rebuild of an app host for the interruption matrix."""

from __future__ import annotations

import subprocess

from lost_host import INVENTORIES, lose, served_by

from tests.hosts import upstreams
from tests.scenario import ROOT

PROCEDURE = "backup_recovery/disaster_recovery_app_host"
HOSTS = ("proxy1", "app1", "app2", "db1", "db2", "store1")
OPTIONS = ("-e", "host_rebuild_host=app2")

__all__ = ["HOSTS", "INVENTORIES", "OPTIONS", "PROCEDURE", "arrange", "assert_converged"]


def arrange() -> None:
    """The store has the files of app2, whose machine is another one now."""
    prepare = ROOT / "molecule/disaster_recovery_rebuild/prepare.yml"
    subprocess.run(["ansible-playbook", str(prepare), "-i", str(INVENTORIES[0])], cwd=ROOT, check=True)
    lose("app2")


def assert_converged() -> None:
    """It serves, and gets requests."""
    assert '"ok"' in served_by("app2")
    assert upstreams() == {"app1": "active", "app2": "active"}
