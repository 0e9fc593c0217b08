"""The procedures under test."""

from __future__ import annotations

from platform_state import INVENTORIES

from tests.scenario import procedure

failover = procedure("backup_recovery/disaster_recovery", INVENTORIES)
switchover = procedure("backup_recovery/disaster_recovery_switchover", INVENTORIES)
failback = procedure("backup_recovery/disaster_recovery_failback", INVENTORIES)
