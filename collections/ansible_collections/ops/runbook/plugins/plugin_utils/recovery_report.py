# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a restore has done, as findings and tables: measured times against what is promised, rows before and after."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.ops.runbook.plugins.module_utils.finding import Finding
from ansible_collections.ops.runbook.plugins.plugin_utils.recovery_plan import rows
from ansible_collections.ops.runbook.plugins.plugin_utils.recovery_range import moment_text

PAGE = "backup-recovery/recovery-procedures"
CONTROLS = ("A.8.13", "A1.3", "CC7.5")
#: How many tables of the database the report lists.
MOST_TABLES = 20


def measured(host: str, check: str, times: tuple[float, float], title: str, detail: str = "") -> Finding:
    """A measured time against its objective."""
    seconds, promised = times
    late = seconds > promised
    return Finding(
        check=check,
        host=host,
        status="critical" if late else "ok",
        title=title,
        observed=round(seconds, 1),
        expected=f"≤ {promised:g} s",
        unit="s",
        detail=detail,
        remedy=f"{PAGE}#objective-missed" if late else "",
        controls=CONTROLS,
        metrics={"objective_seconds": promised},
    )


def restore_findings(
    plan: Mapping[str, Any], state: Mapping[str, Any], seconds: Mapping[str, Any], copied: Mapping[str, Any]
) -> Iterator[Finding]:
    """What was measured while a database was restored in place."""
    host = plan["primary"]
    titles = {True: f"Restored to {plan['estimate']['wish']}.", False: "It would be restored: nothing was touched."}
    title = "There was nothing to restore." if plan["done"] else titles[seconds.get("away") is not None]
    if copied.get("rows"):
        title = f"{plan['job']['database']} of {plan['estimate']['wish']} is beside it as {copied['name']}."
    elif plan["mode"] == "back":
        title = f"The restore to {plan['estimate']['wish']} was given up; the former database serves."
    yield Finding(check="restore of the database", host=host, status="ok", title=title, controls=CONTROLS)
    if seconds.get("away") is None:
        return
    away = float(seconds["away"])
    yield measured(
        host, "recovery time (RTO)", (away, plan["objective"]["rto"]), f"The database was away for {away:.0f} s."
    )
    found = plan["estimate"]
    lost = 0.0 if found["target_type"] != "default" or state.get("live") else float(found["lost_seconds"])
    reached = moment_text(state["last_transaction"]) if state.get("last_transaction") else "unknown"
    yield measured(
        host,
        "recovery point (RPO)",
        (lost, plan["objective"]["rpo"]),
        f"{lost:.0f} s before what was asked for; the last transaction in it is of {reached}.",
        "What was written after the wanted moment is left out on purpose, and is in the copy of the former database: "
        + str(state.get("aside", "")),
    )
    if state.get("archiving"):
        yield Finding(
            check="archive of the restored database",
            host=host,
            status="critical",
            title="The restored database is not archived.",
            detail=str(state["archiving"]),
            remedy=f"{PAGE}#not-archived",
            controls=CONTROLS,
        )


def failure(host: str, msg: str, *, back: bool) -> Finding:
    """A restore that did not come to its end."""
    return Finding(
        check="restore of the database",
        host=host,
        status="critical",
        title="The former database is back." if back else "The restore is unfinished.",
        detail=msg,
        remedy=f"{PAGE}#rolled-back" if back else f"{PAGE}#unfinished",
        controls=CONTROLS,
    )


def tables(
    plan: Mapping[str, Any], state: Mapping[str, Any], seconds: Mapping[str, Any], copied: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The estimate against what it took, and the rows."""
    found = []
    if plan["done"]:
        return [
            {
                "title": "Nothing to restore",
                "columns": ["Host", "Restored to", "By run"],
                "rows": [[plan["primary"], plan["estimate"]["wish"], plan["done"]]],
                "note": "No row has changed since then.",
            }
        ]
    estimate = [[name, value] for name, value in rows(plan["estimate"])]
    for name, label in (
        ("away", "database was away for"),
        ("fetched", "fetching"),
        ("verified", "recovery and verification"),
    ):
        if seconds.get(name) is not None:
            estimate.append([label, f"{seconds[name]:.1f} s"])
    if state.get("timeline"):
        estimate.append(["timeline now", str(state["timeline"])])
    found.append({"title": f"Restore of {plan['primary']}", "columns": ["What", "Value"], "rows": estimate})
    if copied.get("rows"):
        lines = [[name, str(count)] for name, count in sorted(copied["rows"].items())[:MOST_TABLES]]
        found.append({"title": f"Rows in {copied['name']}", "columns": ["Table", "Rows"], "rows": lines})
    before, after = state.get("rows") or {}, state.get("restored_rows")
    if after is not None:
        names = sorted({*before, *after})
        lines = [[name, str(before.get(name, "none")), str(after.get(name, "none"))] for name in names[:MOST_TABLES]]
        found.append({"title": "Rows", "columns": ["Table", "Before", "Restored"], "rows": lines})
    return found
