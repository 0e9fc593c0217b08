# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a restore drill is overdue: the signed results on the store, against how often a drill is promised."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ansible_collections.ops.runbook.plugins.module_utils.backup_basics import TOO_LATE, span
from ansible_collections.ops.runbook.plugins.module_utils.finding import Finding
from ansible_collections.ops.runbook.plugins.plugin_utils.evidence_keys import Keys
from ansible_collections.ops.runbook.plugins.plugin_utils.recovery_drills import FOLDER
from ansible_collections.ops.runbook.plugins.plugin_utils.recovery_report import CONTROLS, PAGE

CHECK = "restore drill"
NONE = "No backup was ever restored for a proof."
MARK = "results of restore drills: "
#: How many of the newest results are looked at: enough to find the last good one behind some that failed.
MOST = 100
#: So much may the controller's clock be behind that of another one, in seconds.
CLOCK = 300.0
#: Runs on the store, with the folder as argument: the newest results with their signatures, newest first.
PROGRAM = """
import json, os, sys
folder, most = json.loads({arguments!r})
names = sorted((n for n in os.listdir(folder) if n.endswith(".json")), reverse=True) if os.path.isdir(folder) else []
found = []
for name in names[:most]:
    row = dict(name=name, text="", signature="")
    for key, path in (("text", name), ("signature", name + ".sig")):
        if os.path.isfile(os.path.join(folder, path)):
            with open(os.path.join(folder, path), encoding="utf-8", errors="replace") as file:
                row[key] = file.read()
    found.append(row)
print({mark!r} + json.dumps(found))
"""


@dataclass(frozen=True)
class Kept:
    """A result as the store keeps it."""

    name: str
    text: str
    signature: str

    def result(self) -> dict[str, Any]:
        """What it says; empty where it is no result."""
        try:
            found = json.loads(self.text)
            datetime.fromisoformat(found["time"])
        except (ValueError, TypeError, KeyError):
            return {}
        return dict(found)

    def refused(self, now: float, keys: Keys) -> str:
        """Why it counts for nothing; empty where it counts."""
        if not self.result():
            return "it cannot be read"
        if _age(self.result(), now) < -CLOCK:
            return "it bears a time in the future"
        if not keys.allowed_signers:
            return ""
        return keys.unsigned(self.text.encode(), self.signature.encode()) if self.signature else "it is not signed"


def program(folder: str) -> bytes:
    """What runs on the store."""
    return PROGRAM.format(arguments=json.dumps([folder, MOST]), mark=MARK).encode()


def kept(output: str) -> list[Kept]:
    """What the program on the store has found, newest first. ValueError where it said something else."""
    _before, mark, said = output.partition(MARK)
    if not mark:
        raise ValueError("no answer")
    return [Kept(**row) for row in json.loads(said)]


def kept_here(state: Path) -> list[Kept]:
    """The results of the drills that this controller has run, newest first."""
    paths = sorted((state / FOLDER).glob("*.json"), reverse=True)[:MOST]
    return [Kept(path.name, _text(path), _text(path.with_suffix(".json.sig"))) for path in paths]


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def judged(
    host: str, results: Sequence[Kept], every: float, now: float, keys: Keys, *, none: str = NONE
) -> list[Finding]:
    """How old the last good drill is, and which results count for nothing. `none` says that there is no result."""
    refused: list[str] = []
    newest: dict[str, Any] = {}
    good: dict[str, Any] = {}
    for each in results:
        reason = each.refused(now, keys)
        if reason:
            refused.append(f"{each.name}: {reason}")
            continue
        found = each.result()
        newest = newest or found
        if found.get("passed") is True:
            good = found
            break
    made = [_about(host, newest, good, (every, now), none)]
    if refused:
        title = f"{len(refused)} results of restore drills count for nothing: {refused[0]}"
        detail = "\n".join(refused)
        made.append(
            Finding(
                "signatures of restore drills",
                host,
                "critical",
                title,
                detail=detail,
                remedy=f"{PAGE}#not-signed",
                controls=CONTROLS,
            )
        )
    return made


def _age(result: dict[str, Any], now: float) -> float:
    return now - datetime.fromisoformat(result["time"]).timestamp()


def _about(host: str, newest: dict[str, Any], good: dict[str, Any], limits: tuple[float, float], none: str) -> Finding:
    every, now = limits
    remedy, expected = f"{PAGE}#drill-overdue", f"passed within {span(every)}"
    failed = "" if newest is good or not newest else f"the newest, of {newest['time'][:16]}, failed"
    if not good:
        title = f"No drill has passed: {failed}." if failed else none
        status = "critical" if failed else "unknown"
        return Finding(CHECK, host, status, title, expected=expected, remedy=remedy, controls=CONTROLS)
    age = max(0.0, _age(good, now))
    status = "critical" if failed or age > every * TOO_LATE else "warning" if age > every else "ok"
    title = f"{good['backup']} was restored and compared {span(age)} ago{'; ' if failed else ''}{failed}."
    return Finding(
        CHECK,
        host,
        status,
        title,
        observed=round(age),
        unit="s",
        expected=expected,
        remedy="" if status == "ok" else f"{PAGE}#drill-failed" if failed else remedy,
        controls=CONTROLS,
        metrics={"age_seconds": round(age), "objective_seconds": every},
    )
