"""The procedures under test. They share the ledger of converge: it remembers what the store must still have."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from store import INVENTORIES

from tests.scenario import Procedure


@pytest.fixture(scope="session")
def state() -> Path:
    return Path(os.environ["RUNBOOK_STATE_DIR"])


@pytest.fixture(scope="session")
def seal(state: Path) -> Procedure:
    return Procedure("backup_recovery/evidence_protection", INVENTORIES, state)


@pytest.fixture(scope="session")
def verify(state: Path) -> Procedure:
    return Procedure("backup_recovery/evidence_protection_verify", INVENTORIES, state)


@pytest.fixture(scope="session")
def hold(state: Path) -> Procedure:
    return Procedure("backup_recovery/evidence_protection_hold", INVENTORIES, state)


@pytest.fixture(scope="session")
def release(state: Path) -> Procedure:
    return Procedure("backup_recovery/evidence_protection_release", INVENTORIES, state)


@pytest.fixture(scope="session")
def retention(state: Path) -> Procedure:
    return Procedure("backup_recovery/evidence_protection_retention", INVENTORIES, state)


@pytest.fixture(scope="session")
def export(state: Path) -> Procedure:
    return Procedure("backup_recovery/evidence_protection_export", INVENTORIES, state)


@pytest.fixture(scope="session")
def restore(state: Path) -> Procedure:
    return Procedure("backup_recovery/evidence_protection_restore", INVENTORIES, state)
