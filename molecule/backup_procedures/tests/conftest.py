"""The procedures under test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scenario import ROOT, Procedure

INVENTORIES = (ROOT / "inventories/lab",)


@pytest.fixture(scope="session")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="session")
def backup(state: Path) -> Procedure:
    return Procedure("backup_recovery/backup_procedures", INVENTORIES, state)


@pytest.fixture(scope="session")
def verification(state: Path) -> Procedure:
    return Procedure("backup_recovery/backup_procedures_verify", INVENTORIES, state)
