"""The procedures under test, and the advisories that they are told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import advisories
import pytest
from interruption import INVENTORIES

from tests.scenario import Procedure


@pytest.fixture(scope="session")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="session")
def update(state: Path) -> Procedure:
    return Procedure("maintenance/dependency_updates", INVENTORIES, state)


@pytest.fixture(scope="session")
def way_back(state: Path) -> Procedure:
    return Procedure("maintenance/dependency_updates_rollback", INVENTORIES, state)


@pytest.fixture(scope="session")
def source() -> Iterator[str]:
    """The address of a service with true advisories."""
    with advisories.service() as url:
        yield url
