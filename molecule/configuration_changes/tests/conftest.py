"""The procedures under test."""

from __future__ import annotations

from pathlib import Path

from tests.scenario import ROOT, procedure

INVENTORIES = (ROOT / "inventories/lab", Path(__file__).resolve().parents[1] / "inventory")

change = procedure("maintenance/configuration_changes", INVENTORIES)
drift = procedure("maintenance/configuration_changes_drift", INVENTORIES)
restore = procedure("maintenance/configuration_changes_restore", INVENTORIES)
