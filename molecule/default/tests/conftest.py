"""What the tests know about the lab of this scenario."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def lab_secrets() -> dict[str, Any]:
    secrets: dict[str, Any] = json.loads(
        (ROOT / ".lab" / os.environ["LAB"] / "secrets.yml").read_text(encoding="utf-8")
    )
    return secrets
