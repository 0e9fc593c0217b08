"""The sweep under test."""

from __future__ import annotations

from pathlib import Path

from tests.scenario import ROOT, procedure

INVENTORIES = (ROOT / "inventories/lab", Path(__file__).resolve().parents[1] / "inventory")

sweep = procedure("monitoring_procedures/health_checks", INVENTORIES)
