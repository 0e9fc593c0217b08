"""What tests of procedures share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Reports, records and ledger of the tests' runs."""
    return tmp_path_factory.mktemp("state")
