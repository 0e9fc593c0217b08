"""The procedure under test."""

from __future__ import annotations

import pytest
from lost_platform import INVENTORIES

from tests.scenario import Procedure


@pytest.fixture(scope="session")
def rebuild(tmp_path_factory: pytest.TempPathFactory) -> Procedure:
    return Procedure("backup_recovery/disaster_recovery_platform", INVENTORIES, tmp_path_factory.mktemp("state"))
