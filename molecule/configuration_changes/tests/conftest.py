"""The procedures under test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scenario import ROOT, Procedure

INVENTORIES = (ROOT / "inventories/lab", Path(__file__).resolve().parents[1] / "inventory")


@pytest.fixture(scope="session")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="session")
def change(state: Path) -> Procedure:
    return Procedure("maintenance/configuration_changes", INVENTORIES, state)


@pytest.fixture(scope="session")
def drift(state: Path) -> Procedure:
    return Procedure("maintenance/configuration_changes_drift", INVENTORIES, state)


@pytest.fixture(scope="session")
def restore(state: Path) -> Procedure:
    return Procedure("maintenance/configuration_changes_restore", INVENTORIES, state)
