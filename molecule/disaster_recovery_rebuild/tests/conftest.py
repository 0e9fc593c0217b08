"""The procedure under test."""

from __future__ import annotations

from lost_host import INVENTORIES

from tests.scenario import procedure

rebuild = procedure("backup_recovery/disaster_recovery_app_host", INVENTORIES)
