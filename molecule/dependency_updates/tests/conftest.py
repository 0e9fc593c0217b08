"""The procedures under test, and the advisories that they are told."""

from __future__ import annotations

from collections.abc import Iterator

import advisories
import pytest
from interruption import INVENTORIES

from tests.scenario import procedure

update = procedure("maintenance/dependency_updates", INVENTORIES)
way_back = procedure("maintenance/dependency_updates_rollback", INVENTORIES)


@pytest.fixture(scope="session")
def source() -> Iterator[str]:
    """The address of a service with true advisories."""
    with advisories.service() as url:
        yield url
