"""The procedures under test."""

from __future__ import annotations

from interruption_files import INVENTORIES, PROCEDURE

from tests.scenario import procedure

restore = procedure("backup_recovery/recovery_procedures", INVENTORIES)
back = procedure("backup_recovery/recovery_procedures_back", INVENTORIES)
beside = procedure("backup_recovery/recovery_procedures_beside", INVENTORIES)
drill = procedure("backup_recovery/recovery_procedures_drill", INVENTORIES)
restore_files = procedure(PROCEDURE, INVENTORIES)
