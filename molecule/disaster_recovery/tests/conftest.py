"""The procedures under test."""

from __future__ import annotations

from pathlib import Path

import pytest
from platform_state import INVENTORIES

from tests.scenario import Procedure


@pytest.fixture(scope="session")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="session")
def failover(state: Path) -> Procedure:
    return Procedure("backup_recovery/disaster_recovery", INVENTORIES, state)


@pytest.fixture(scope="session")
def switchover(state: Path) -> Procedure:
    return Procedure("backup_recovery/disaster_recovery_switchover", INVENTORIES, state)


@pytest.fixture(scope="session")
def failback(state: Path) -> Procedure:
    return Procedure("backup_recovery/disaster_recovery_failback", INVENTORIES, state)
