# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Results of restore drills: made, signed and kept on the controller, and what the earlier ones say about the next."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.ops.runbook.plugins.module_utils.drill_content import differences
from ansible_collections.ops.runbook.plugins.module_utils.finding import Finding
from ansible_collections.ops.runbook.plugins.module_utils.ledger_entry import LedgerError
from ansible_collections.ops.runbook.plugins.module_utils.ledger_signature import ssh_keygen
from ansible_collections.ops.runbook.plugins.plugin_utils.recovery_plan import Speed
from ansible_collections.ops.runbook.plugins.plugin_utils.recovery_range import moment_text
from ansible_collections.ops.runbook.plugins.plugin_utils.recovery_report import CONTROLS, PAGE, measured

FOLDER = "drills"
#: That of the seals of evidence, of which a drill's result is one.
NAMESPACE = "ops-runbook-evidence"
#: How many drills the report shows, and how many differences a finding names.
MOST = 10


@dataclass(frozen=True)
class Seen:
    """What a drill has seen."""

    plan: Mapping[str, Any]
    #: Content of the database that serves, and of the restored one.
    live: Mapping[str, Any]
    restored: Mapping[str, Any]
    seconds: Mapping[str, float]
    failure: str = ""


def drills(state: Path) -> list[dict[str, Any]]:
    """The results, oldest first."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted((state / FOLDER).glob("*.json"))]


def speed(state: Path) -> Speed:
    """How fast the newest drill that came to its end was; what is assumed where there is none."""
    for drill in reversed(drills(state)):
        seconds = drill["seconds"]
        if not drill["failure"] and seconds.get("fetched") and seconds.get("recovered"):
            return Speed(drill["size"] / seconds["fetched"], max(drill["segments"], 1) / seconds["recovered"], True)
    return Speed()


def result(seen: Seen, run: str, now: float) -> dict[str, Any]:
    """The drill's result as it is signed: what was restored, compared and measured, and whether that is good."""
    plan = seen.plan
    differing = [] if seen.failure else differences(seen.live, seen.restored)
    recovery_time = round(sum(seen.seconds.values()), 1)
    promised = plan["objective"]
    passed = not seen.failure and not differing
    return {
        "schema": 1,
        "kind": "restore drill",
        "run": run,
        "time": moment_text(now),
        "stanza": plan["stanza"],
        "backup": plan["estimate"]["backup"],
        "backup_ended": moment_text(plan["estimate"]["backup_ended"]),
        "compared_with": plan["source"],
        "position": seen.live["lsn"],
        "restored_on": plan["scratch"],
        "size": plan["estimate"]["size"],
        "segments": plan["estimate"]["segments"],
        "tables": {name: rows for name, (rows, _digest) in seen.live["tables"].items()},
        "differences": differing,
        "failure": seen.failure,
        "seconds": dict(seen.seconds),
        "recovery_time": {"seconds": recovery_time, "promised": promised["rto"]},
        "recovery_point": {"seconds": plan["exposed"], "promised": promised["rpo"]},
        "passed": passed and recovery_time <= promised["rto"] and plan["exposed"] <= promised["rpo"],
    }


def keep(state: Path, found: Mapping[str, Any], key: str) -> list[Path]:
    """Write the result and its signature; the files. LedgerError where it cannot be signed."""
    folder = state / FOLDER
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    stamp = str(found["time"])[:19].replace("-", "").replace(":", "").replace(" ", "T")
    path = folder / f"{stamp}Z-{str(found['run'])[:8]}.json"
    text = (json.dumps(found, sort_keys=True, indent=1, ensure_ascii=False) + "\n").encode()
    path.write_bytes(text)
    if not key:
        return [path]
    signed = ssh_keygen(["-q", "-Y", "sign", "-n", NAMESPACE, "-f", key], text)
    if signed.returncode or b"BEGIN SSH SIGNATURE" not in signed.stdout:
        raise LedgerError(f"the drill's result cannot be signed with {key}: {_said(signed)}")
    signature = path.with_suffix(".json.sig")
    signature.write_bytes(signed.stdout)
    return [path, signature]


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    return done.stderr.decode("utf-8", "replace").strip() or "no signature came back"


def findings(found: Mapping[str, Any], host: str, *, signed: bool) -> list[Finding]:
    """What the drill says about the backups."""
    bad = found["failure"] or found["differences"]
    rows = sum(found["tables"].values())
    title = (
        f"{found['backup']} was restored; {len(found['tables'])} tables with {rows} rows are those of the live system."
    )
    if found["differences"]:
        title = f"{found['backup']} was restored, and {len(found['differences'])} things differ from the live system."
    if found["failure"]:
        title = f"{found['backup']} cannot be restored."
    detail = found["failure"] or "\n".join(found["differences"][:MOST])
    remedy = f"{PAGE}#drill-failed" if bad else ""
    status = "critical" if bad else "ok"
    metrics = {f"{name}_seconds": float(value) for name, value in found["seconds"].items()}
    made = [
        Finding("restore drill", host, status, title, detail=detail, remedy=remedy, controls=CONTROLS, metrics=metrics)
    ]
    if not found["failure"]:
        times = found["recovery_time"]["seconds"], found["recovery_time"]["promised"]
        text = f"From nothing to a verified database: {times[0]:.0f} s."
        made.append(measured(host, "recovery time (RTO)", times, text))
    times = found["recovery_point"]["seconds"], found["recovery_point"]["promised"]
    text = f"Had the database been lost when the drill began, {times[0]:.0f} s of changes would have been lost."
    made.append(measured(host, "recovery point (RPO)", times, text))
    if not signed:
        made.append(
            Finding(
                "signature of the drill's result",
                host,
                "warning",
                "The result is not signed: restore_drill_signing_key names no key.",
                remedy=f"{PAGE}#not-signed",
                controls=CONTROLS,
            )
        )
    return made


def tables(found: Mapping[str, Any], earlier: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The times of the drill, and the trend of all."""
    trend = [
        [
            str(drill["time"])[:16],
            drill["backup"],
            f"{drill['size'] / 1e6:.0f} MB",
            f"{drill['recovery_time']['seconds']:.0f} s",
            f"{drill['recovery_point']['seconds']:.0f} s",
            "passed" if drill["passed"] else "failed",
        ]
        for drill in [*earlier, found][-MOST:]
    ]
    columns = ["Time", "Backup", "Size", "RTO", "RPO", "Result"]
    steps = [[name, f"{value:.1f} s"] for name, value in found["seconds"].items()]
    return [
        {"title": "Restore drill", "columns": ["Step", "Time"], "rows": steps},
        {"title": "Trend of drills", "columns": columns, "rows": trend},
    ]
