"""The procedures under test. They share the ledger of converge: it remembers what the store must still have."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from store import INVENTORIES

from tests.scenario import procedure


@pytest.fixture(scope="session")
def state() -> Path:
    return Path(os.environ["RUNBOOK_STATE_DIR"])


seal = procedure("backup_recovery/evidence_protection", INVENTORIES)
verify = procedure("backup_recovery/evidence_protection_verify", INVENTORIES)
hold = procedure("backup_recovery/evidence_protection_hold", INVENTORIES)
release = procedure("backup_recovery/evidence_protection_release", INVENTORIES)
retention = procedure("backup_recovery/evidence_protection_retention", INVENTORIES)
export = procedure("backup_recovery/evidence_protection_export", INVENTORIES)
restore = procedure("backup_recovery/evidence_protection_restore", INVENTORIES)
