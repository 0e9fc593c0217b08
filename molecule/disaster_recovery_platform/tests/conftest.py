"""The procedure under test."""

from __future__ import annotations

from lost_platform import INVENTORIES

from tests.scenario import procedure

rebuild = procedure("backup_recovery/disaster_recovery_platform", INVENTORIES)
