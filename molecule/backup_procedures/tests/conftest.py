"""The procedures under test."""

from __future__ import annotations

from tests.scenario import ROOT, procedure

INVENTORIES = (ROOT / "inventories/lab",)

backup = procedure("backup_recovery/backup_procedures", INVENTORIES)
verification = procedure("backup_recovery/backup_procedures_verify", INVENTORIES)
