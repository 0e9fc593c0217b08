"""The restore of damaged evidence for the interruption matrix."""

from __future__ import annotations

import os
from pathlib import Path

from interruption import HOSTS
from interruption import arrange as documents
from store import INVENTORIES, STORE, flip, given, items, replica, seals

from tests.scenario import Procedure, shell

PROCEDURE = "backup_recovery/evidence_protection_restore"
OPTIONS: tuple[str, ...] = given(runbook_reason="disk error on the store")
#: What was sealed, outside of the store's folder.
SEALED = "/root/sealed"

__all__ = ["HOSTS", "INVENTORIES", "OPTIONS", "PROCEDURE", "arrange", "assert_converged"]


def state() -> Path:
    """Where the point keeps its records, and the replica."""
    return Path(os.environ["RUNBOOK_STATE_DIR"])


def arrange() -> None:
    """Documents are sealed; then one is altered, one is missing, and a seal has no signature."""
    documents()
    sealing = Procedure("backup_recovery/evidence_protection", INVENTORIES, state())
    sealed = sealing.run(*given(evidence_store_anew="the lab is new"))
    assert sealed.returncode == 0, sealed.output
    shell("store1", f"cd {STORE} && find items seals -type f -exec sha256sum {{}} + > {SEALED}")
    altered, missing = items("documents/*")[:2]
    shell("store1", f"cd {STORE}\nchmod u+w items/{altered}\n{flip(f'items/{altered}')}")
    shell("store1", f"cd {STORE}\nrm items/{missing} seals/000001/checkpoint.sig")


def assert_converged() -> None:
    """All is as it was sealed, and the replica has the seal of the restore, too."""
    shell("store1", f"cd {STORE} && sha256sum --check --quiet {SEALED}")
    assert sorted(path.name for path in (replica(state()) / "seals").iterdir()) == seals()
    assert len(seals()) > 1
