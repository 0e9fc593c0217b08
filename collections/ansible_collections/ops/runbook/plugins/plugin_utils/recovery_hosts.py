# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which of the database's hosts is its primary, and how the others come to follow it again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.ops.runbook.plugins.plugin_utils.recovery_range import RangeError


class Hosts:
    """What the hosts said. RangeError where they do not make one database."""

    def __init__(self, told: Mapping[str, dict[str, Any]]) -> None:
        self.told = told
        for name, host in told.items():
            if "cluster" not in host:
                found = ", ".join(host["clusters"]) or "none"
                raise RangeError(
                    f"{name} has no such PostgreSQL server; database_restore_cluster chooses one of: {found}"
                )
        self.primary = self._primary()
        self.standbys = [name for name in told if name != self.primary]

    def _primary(self) -> str:
        """Who accepts writes; where nobody runs, who would."""
        unfinished = [
            name for name, host in self.told.items() if (host["state"] or {}).get("phase", "concluded") != "concluded"
        ]
        serving = [name for name, host in self.told.items() if host["server"] and not host["server"]["recovery"]]
        would = [name for name, host in self.told.items() if not host["server"] and not host["standby"]]
        for names in (unfinished, serving, would):
            if len(names) == 1:
                return names[0]
            if names:
                raise RangeError(
                    f"{' and '.join(names)} would each be the primary; stop the one that is not, or limit the run to "
                    "one and its standbys"
                )
        raise RangeError(
            f"none of {', '.join(self.told)} is a primary: the limit leaves it out, or a failover is under way"
        )

    def clusters(self) -> dict[str, dict[str, Any]]:
        """Each host's server, as the steps on the host need it."""
        keys = ("cluster", "port", "owner", "data")
        return {name: {key: host[key] for key in keys} for name, host in self.told.items()}

    def slot(self, name: str) -> str:
        """The replication slot that a standby reads from."""
        return str(self.told[name]["slot"])

    def follow_job(self, name: str, run: str) -> dict[str, Any]:
        """What a standby needs to become a copy of the primary."""
        told = self.told[name]
        live = self.told[self.primary]["server"] or {}
        return {"run": run, "conninfo": told["conninfo"], "slot": told["slot"], "timeline": live.get("timeline", 0)}

    def follow(self, primary: str) -> bool:
        """Whether all standbys stream from the primary."""
        server = self.told[primary]["server"] or {}
        return len(server.get("standbys", ())) >= len(self.standbys)
