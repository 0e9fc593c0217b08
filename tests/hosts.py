"""What scenarios ask and tell the same hosts of their lab."""

from __future__ import annotations

import json

from tests.scenario import shell


def upstreams() -> dict[str, str]:
    """Server of the application and what the proxy does with it."""
    found: dict[str, str] = json.loads(shell("proxy1", "upstream-state evidence-api"))
    return found


def store(command: str) -> None:
    """Start or stop the server of the file backups."""
    shell("store1", f"systemctl {command} rclone-restic.service")
