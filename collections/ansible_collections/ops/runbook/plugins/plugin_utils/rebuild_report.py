# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a rebuild took and lost, against what is promised."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.ops.runbook.plugins.module_utils.finding import Finding
from ansible_collections.ops.runbook.plugins.plugin_utils.catalogue import Duration

PAGE = "backup-recovery/disaster-recovery"
OBJECTIVE = "objective"
CONTROLS = ("A.5.30", "A1.3")


def findings(plan: Mapping[str, Any], seconds: float, rto: str, rpo: str, *, check: bool) -> list[Finding]:
    """That the host is rebuilt, and how long it took; 0 seconds where nothing was done."""
    host = plan["host"]
    title = "The host is rebuilt."
    if not plan["job"]:
        title = "The host is rebuilt already."
    elif check:
        title = "The host would be rebuilt."
    found = [Finding("rebuild", host, "ok", title, controls=CONTROLS, remedy=f"{PAGE}#rebuild")]
    if not seconds:
        return found
    kept = seconds <= Duration.parse(rto).seconds
    told = f"{seconds} s from the first step on the bare machine to requests through the proxy"
    found.append(_objective("recovery time (RTO)", host, ("ok" if kept else "critical", told), seconds, rto))
    age = plan["age"]
    kept = age <= Duration.parse(rpo).seconds
    told = f"changes of the configuration in the {age} s before the rebuild are lost, if there were any"
    # An upper limit: nobody knows whether anything was changed since the backup.
    found.append(_objective("recovery point (RPO)", host, ("ok" if kept else "warning", told), age, rpo))
    return found


def tables(plan: Mapping[str, Any], found: list[Finding]) -> list[dict[str, Any]]:
    """From what the host was rebuilt, and what was measured."""
    sources = [
        [plan["host"], tag, f"{row['name']} ({row['host']})", row["time"][:19]]
        for tag, row in plan["job"].get("sources", {}).items()
    ]
    made = [{"title": "Rebuilt from", "columns": ["Host", "Set", "Snapshot", "Of"], "rows": sources}] if sources else []
    measured = [[one.check, f"{one.observed} s", one.expected, one.title] for one in found if one.type == OBJECTIVE]
    columns = ["Objective", "Measured", "Promised", "What"]
    return made + ([{"title": "Against the objectives", "columns": columns, "rows": measured}] if measured else [])


def _objective(check: str, host: str, verdict: tuple[str, str], observed: float, promised: str) -> Finding:
    return Finding(
        check,
        host,
        *verdict,
        observed,
        f"<= {promised}",
        "s",
        remedy=f"{PAGE}#rebuild",
        controls=CONTROLS,
        type=OBJECTIVE,
    )
