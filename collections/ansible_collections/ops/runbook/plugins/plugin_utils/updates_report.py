# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an update of the platform did, for an operator who has a minute."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.ops.runbook.plugins.module_utils.finding import Finding

CHECK = "updates"
PAGE = "maintenance/security-updates"

#: Of an update, in the table.
MOST_CVES = 6
COLUMNS = ["Host", "Package", "From", "To"]

Package = Mapping[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What became of one host."""

    host: str
    #: What the plan wanted to install.
    planned: Sequence[Package] = ()
    installed: Sequence[Package] = ()
    #: What was put back, and why. None: nothing had to be.
    rolled_back: Sequence[Package] | None = None
    reason: str = ""
    #: Why it could not be put back.
    in_doubt: str = ""
    restarted: Sequence[str] = ()
    rebooted: bool = False
    #: Services that only a reboot renews, and whether one is required.
    waiting: Sequence[str] = ()
    reboot_required: bool = False
    #: What is pending now, each with the reason.
    pending: Sequence[Package] = ()
    #: Why the host cannot be looked at any more.
    lost: str = ""
    #: An earlier run was interrupted on it.
    interrupted: bool = False
    #: The run entered the host.
    entered: bool = False
    check: bool = False
    controls: Sequence[str] = field(default=("A.8.8", "A.8.32"))

    @property
    def cves(self) -> list[str]:
        """All CVEs that were fixed."""
        return sorted({cve for package in self.installed for cve in package.get("cves", ())})


def finding(outcome: Outcome) -> Finding:
    """The host's finding."""
    status, title, anchor = _verdict(outcome)
    return Finding(
        check=CHECK,
        host=outcome.host,
        status=status,
        title=title,
        observed=len(outcome.pending),
        unit="pending",
        detail=_detail(outcome),
        remedy=f"{PAGE}#{anchor}" if status != "ok" else "",
        controls=tuple(outcome.controls),
    )


def _verdict(outcome: Outcome) -> tuple[str, str, str]:
    """Status, title, and the section of the page that helps."""
    if outcome.lost:
        return "critical", f"the host is gone: {outcome.lost}", "if-it-fails"
    if outcome.in_doubt:
        state = "not predicted to the end" if outcome.check else "in doubt, not put back"
        return "critical", f"{state}: {outcome.in_doubt}", "if-it-fails"
    if outcome.rolled_back is not None:
        return "critical", f"{_count(outcome.rolled_back)} put back: {outcome.reason}", "if-it-fails"
    if outcome.planned and not outcome.entered:
        return "warning", f"{_count(outcome.planned)} not updated: the run ended before", "if-it-fails"
    if outcome.interrupted and not outcome.entered:
        return "warning", "an interrupted update is not finished: the run ended before", "if-it-fails"
    return _verdict_of_success(outcome)


def _verdict_of_success(outcome: Outcome) -> tuple[str, str, str]:
    done = _done(outcome)
    left = [package for package in outcome.pending if package.get("security")]
    if left and not outcome.check:
        return "warning", f"{done}; {len(left)} security updates still pending", "still-pending"
    if outcome.reboot_required:
        return "warning", f"{done}; a reboot is required", "still-pending"
    if outcome.waiting:
        return "warning", f"{done}; {', '.join(outcome.waiting)} wait for a reboot", "still-pending"
    return "ok", done, ""


def _done(outcome: Outcome) -> str:
    if outcome.check and outcome.planned:
        return f"{_count(outcome.planned)} would be updated"
    if not outcome.installed:
        if not outcome.entered:
            return "nothing to update"
        return f"an interrupted update {'would be' if outcome.check else 'was'} finished"
    cves = outcome.cves
    fixed = f", {len(cves)} CVE{'s' if len(cves) != 1 else ''} fixed" if cves else ""
    return f"{_count(outcome.installed)} updated{fixed}"


def _count(packages: Sequence[Package]) -> str:
    return f"{len(packages)} package{'s' if len(packages) != 1 else ''}"


def _detail(outcome: Outcome) -> str:
    parts = []
    if outcome.restarted:
        parts.append(f"restarted: {', '.join(outcome.restarted)}")
    if outcome.rebooted:
        parts.append("rebooted")
    if outcome.pending:
        parts.append("pending: " + ", ".join(f"{p['name']} {p['to']} ({p['reason']})" for p in outcome.pending[:8]))
    if outcome.cves:
        parts.append(f"fixed: {' '.join(outcome.cves)}")
    return "; ".join(parts)


def sections(outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """The tables of the report."""
    every = list(outcomes)
    check = any(outcome.check for outcome in every)
    packages = [
        [outcome.host, package["name"], package["from"] or "new", package["to"]]
        for outcome in every
        for package in (outcome.planned if check else outcome.installed)
    ]
    back = [
        [outcome.host, package["name"], package["from"], package["to"] or "removed"]
        for outcome in every
        for package in outcome.rolled_back or ()
    ]
    pending = [
        [outcome.host, package["name"], package["from"], package["to"], package["reason"]]
        for outcome in every
        for package in outcome.pending
    ]
    tables = [_table("Would be updated" if check else "Updated", COLUMNS, packages)]
    if check:
        tables[0]["note"] = "The CVEs that are fixed are known when the packages are installed, with their changelogs."
    else:
        tables.append(_table("Fixed", ["Packages", "Hosts", "CVEs", "Which"], _fixed(every)))
    if back:
        tables.append(_table("Put back", COLUMNS, back))
    tables.append(_table("Still pending", [*COLUMNS, "Why"], pending))
    return {"tables": tables}


def _fixed(outcomes: Iterable[Outcome]) -> list[list[str]]:
    """What each update fixes, once: packages of one source fix the same, on all hosts. The findings have all CVEs."""
    names: dict[tuple[str, ...], set[str]] = {}
    hosts: dict[tuple[str, ...], set[str]] = {}
    for outcome in outcomes:
        for package in outcome.installed:
            cves = tuple(package.get("cves", ()))
            names.setdefault(cves, set()).add(package["name"])
            hosts.setdefault(cves, set()).add(outcome.host)
    rows = [[", ".join(sorted(names[c])), ", ".join(sorted(hosts[c])), str(len(c)), _first(c)] for c in names if c]
    return sorted(rows)


def _first(cves: Sequence[str]) -> str:
    more = len(cves) - MOST_CVES
    return ", ".join(cves[:MOST_CVES]) + (f" and {more} more" if more > 0 else "")


def _table(title: str, columns: list[str], rows: list[list[str]]) -> dict[str, Any]:
    return {"title": title, "columns": columns, "rows": rows}
