# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is to be known of a store that was made anew: how long it took, what is back, what is gone with the old one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.ops.runbook.plugins.module_utils.finding import Finding
from ansible_collections.ops.runbook.plugins.plugin_utils.catalogue import Duration
from ansible_collections.ops.runbook.plugins.plugin_utils.disaster_findings import OBJECTIVE, PAGE, RPO, RTO

__all__ = ["BAD", "OBJECTIVE", "against_objectives", "findings"]

CONTROLS = ("A.5.30", "A.8.13", "A1.3")
BAD = ("critical", "unknown")
#: The finding of the backups that names the first one of the new repository.
FULL = "database full backup"


def findings(
    host: str,
    plan: Mapping[str, Any],
    others: Sequence[Finding],
    objectives: Mapping[str, Any],
    seconds: float,
) -> Iterator[Finding]:
    """Time, loss, and what nobody can bring back, besides the findings of backups and evidence."""
    bad = [finding for finding in others if finding.status in BAD]
    yield _time(host, bad, Duration.parse(objectives["rto"]).seconds, seconds)
    yield _loss(host, bad, Duration.parse(objectives["rpo"]).seconds)
    if plan["lost"]:
        first = next((finding.title.partition(" ")[0] for finding in others if finding.check == FULL), "")
        since = f"; the first backup of the database is now {first}" if first else ""
        yield Finding(
            check="lost with the old store",
            host=host,
            status="warning",
            title=f"no time before this run can be restored any more, and no older snapshot of files{since}",
            remedy=f"{PAGE}#lost-with-the-old-store",
            controls=CONTROLS,
        )


def _time(host: str, bad: Sequence[Finding], allowed: int, seconds: float) -> Finding:
    title = f"{seconds:.0f} s from the beginning of the first run until everything was stored and verified again"
    if bad:
        title = f"the store is not whole after {seconds:.0f} s: {bad[0].host}, {bad[0].check}: {bad[0].title}"
    return Finding(
        check=RTO,
        host=host,
        status="critical" if bad or seconds > allowed else "ok",
        title=title,
        observed=round(seconds, 1),
        expected=f"<= {allowed} s",
        unit="s",
        remedy=f"{PAGE}#recovery-time",
        controls=CONTROLS,
        type=OBJECTIVE,
    )


def _loss(host: str, bad: Sequence[Finding], allowed: int) -> Finding:
    lost = [finding for finding in bad if finding.check.startswith("item ")]
    title = "all evidence that was ever sealed is back, as the run records and its signatures say"
    return Finding(
        check=RPO,
        host=host,
        status="critical" if lost else "ok",
        title=f"{len(lost)} items of evidence are lost" if lost else title,
        observed=None if lost else 0,
        expected=f"<= {allowed} s",
        unit="s",
        remedy=f"{PAGE}#lost-with-the-old-store",
        controls=CONTROLS,
        type=OBJECTIVE,
    )


def against_objectives(measured: Sequence[Finding]) -> dict[str, Any]:
    """The table of what was measured."""
    rows = [
        [found.check, "not known" if found.observed is None else f"{found.observed} s", found.expected, found.title]
        for found in measured
    ]
    return {"title": "Against the objectives", "columns": ["Objective", "Measured", "Promised", "What"], "rows": rows}
