"""The sweep under test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scenario import ROOT, Procedure


@pytest.fixture(scope="session")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Procedure:
    inventories = (ROOT / "inventories/lab", Path(__file__).resolve().parents[1] / "inventory")
    return Procedure("monitoring_procedures/health_checks", inventories, tmp_path_factory.mktemp("state"))
