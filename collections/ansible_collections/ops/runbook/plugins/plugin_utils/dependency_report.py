# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What became of a change of releases, as findings and tables that are read in a minute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.ops.runbook.plugins.module_utils.finding import Finding

REMEDY = "maintenance/dependency-updates#if-it-fails"
IN_DOUBT = "maintenance/dependency-updates#in-doubt"
#: In check mode, of a host that it did not come through: there is nothing to put back.
UNKNOWN = "not predicted to the end"
_CONTROLS = ("A.8.8", "A.8.32", "CC8.1")


@dataclass(frozen=True)
class Result:
    """What the steps on one host returned; empty for those that did not run."""

    step: Mapping[str, Any]
    switched: Mapping[str, Any]
    concluded: Mapping[str, Any]
    rolled_back: Mapping[str, Any]

    @property
    def word(self) -> str:
        """What happened, in a word or two."""
        if self.rolled_back.get("failed"):
            return "in doubt"
        if self.rolled_back:
            return "put back" if self.rolled_back.get("changed") else "not switched"
        if self.concluded:
            return "switched" if self.switched.get("changed") else "concluded"
        return "not begun" if self.step["pending"] else "up to date"

    @property
    def predicted(self) -> str:
        """What would happen, in a word or two, as far as check mode came."""
        if self.step["pending"] and self.word in ("switched", "concluded"):
            return "would be switched"
        return UNKNOWN if self.rolled_back else self.word

    @property
    def runs(self) -> str:
        """The release that the host runs now."""
        step = self.step
        if self.word == "in doubt":
            return " or ".join(dict.fromkeys([step["former"], step["release"]]))
        done = self.concluded or not step["pending"]
        return str(step["release"] if done and not self.rolled_back else step["former"])


def findings(results: Mapping[str, Result], plan: Mapping[str, Any], failure: str, *, check: bool) -> list[Finding]:
    """One finding a host, and one about the audit."""
    made = [_host(host, result, failure, check=check) for host, result in results.items()]
    return [*made, _audit(next(iter(results)), plan)]


def _host(host: str, result: Result, failure: str, *, check: bool) -> Finding:
    step, word = result.step, result.predicted if check else result.word
    count = len(step["moves"])
    packages = f"{count} package{'' if count == 1 else 's'}"
    status, title, detail = "ok", f"{result.runs} runs", ""
    if word == "would be switched":
        title = f"would switch from {step['former']} to {step['release']}: {packages}"
    elif word in ("put back", "not switched", UNKNOWN):
        status, title, detail = "critical", f"{word}: {step['former']} runs", failure
    elif word == "in doubt":
        status, title = "critical", f"in doubt: {result.runs} runs, and the host gets no requests if it was drained"
        detail = "\n".join(text for text in (failure, str(result.rolled_back.get("msg", ""))) if text)
    elif word == "not begun":
        status, title = "warning", f"not begun: {step['former']} runs"
    elif word == "switched":
        title = f"{step['release']} runs: {packages} changed"
    return Finding(
        check="application release",
        host=host,
        status=status,
        title=title,
        observed=step["former"] if check and step["pending"] else result.runs,
        expected=step["release"],
        detail=detail,
        remedy="" if status == "ok" else IN_DOUBT if word == "in doubt" else REMEDY,
        controls=_CONTROLS,
        metrics={"switch_seconds": result.switched["seconds"]} if "seconds" in result.switched else {},
    )


def _audit(host: str, plan: Mapping[str, Any]) -> Finding:
    unaudited = plan["remark"].startswith("NOT AUDITED")
    return Finding(
        check="dependency advisories",
        host=host,
        status="warning" if unaudited or plan["audit"] else "ok",
        title=plan["remark"],
        detail="\n".join(plan["audit"]),
        remedy="maintenance/dependency-updates#the-audit" if unaudited or plan["audit"] else "",
        controls=_CONTROLS,
    )


def tables(results: Mapping[str, Result], plan: Mapping[str, Any], *, check: bool) -> list[dict[str, Any]]:
    """The packages that change, and the hosts."""
    moves: dict[tuple[str, ...], list[str]] = {}
    for host, result in results.items():
        if result.step["pending"]:
            for move in result.step["moves"]:
                moves.setdefault(tuple(move), []).append(host)
    packages = [[name, former or "—", new or "—", ", ".join(hosts)] for (name, former, new), hosts in moves.items()]
    made = []
    if packages:
        made.append({"title": "Packages", "columns": ["Package", "From", "To", "Hosts"], "rows": packages})
    rows = [
        [
            host,
            result.predicted if check else result.word,
            result.step["former"] or "—",
            result.step["release"],
            _seconds(result.switched),
            _seconds(result.rolled_back),
            ", ".join(result.concluded.get("removed", [])) or "—",
        ]
        for host, result in results.items()
    ]
    columns = ["Host", "Result", "From", "To", "Switched in", "Put back in", "Removed"]
    note = "Times are the host's own: from before the switch until the service answered. " + plan["remark"]
    return [*made, {"title": "Releases", "columns": columns, "rows": rows, "note": note.strip()}]


def _seconds(result: Mapping[str, Any]) -> str:
    return f"{result['seconds']:.2f} s" if "seconds" in result else "—"
