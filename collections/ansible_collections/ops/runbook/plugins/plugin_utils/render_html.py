# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Findings as one HTML file that needs nothing else: no network, no font, no script from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ansible_collections.ops.runbook.plugins.module_utils.finding import STATUSES, Finding
from ansible_collections.ops.runbook.plugins.plugin_utils import render_pictures, render_text
from ansible_collections.ops.runbook.plugins.plugin_utils.outlook import TYPE as OUTLOOK
from ansible_collections.ops.runbook.plugins.plugin_utils.outlook import Changes, Forecast
from ansible_collections.ops.runbook.plugins.plugin_utils.report_tables import tables
from ansible_collections.ops.runbook.plugins.plugin_utils.reports import Report, natural, reading_order
from jinja2 import Environment, FileSystemBytecodeCache, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

_FOLDER = Path(__file__).parent
#: With more findings than this at the top, those of one check share a card.
_MOST_SINGLE = 10
#: Cards at the top; what has none is in the list of all findings.
_MOST_CARDS = 16
#: Rows of the outlook that are shown at once; the others unfold.
_MOST_FORECASTS = 15
#: With more checks than this the status board has a column for each check type instead.
_MOST_COLUMNS = 24
#: Up to this many findings, the list of all of them stands open.
_OPEN_LIST = 40
_COLOURS = {"ok": "#2f7d4f", "warning": "#b7791f", "unknown": "#6b4fa0", "critical": "#b3261e"}
_VERDICTS = {
    "ok": "Everything that was checked is as it should be.",
    "warning": "Nothing is broken; something is on its way there.",
    "unknown": "Something could not be observed. It may be broken.",
    "critical": "Something is broken, or about to be.",
}


@dataclass(frozen=True)
class Pages:
    """Where the runbook's pages are: on a site, or as files beside the playbooks."""

    url: str = ""
    folders: Sequence[Path] = ()
    _files: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)

    def link(self, remedy: str) -> str:
        """Address of the page that the remedy names; empty where there is none."""
        parts = render_text.page_parts(remedy)
        if parts is None:
            return ""
        page, anchor = parts[0], f"#{parts[1]}" if parts[1] else ""
        if self.url:
            return f"{self.url.rstrip('/')}/{page}/{anchor}"
        address = self._address(page)
        return f"{address}{anchor}" if address else ""

    def _address(self, page: str) -> str:
        if page not in self._files:
            files = (folder / f"{page}.md" for folder in self.folders)
            self._files[page] = next((file.resolve().as_uri() for file in files if file.is_file()), "")
        return self._files[page]


@dataclass(frozen=True)
class Item:
    """A finding with its number in the list of all findings, which the rest of the page refers to."""

    number: int
    finding: Finding
    link: str

    @property
    def observed(self) -> str:
        """What was measured, in words; empty where nothing was."""
        return "" if self.finding.observed is None else render_text.value(self.finding.observed, self.finding.unit)


@dataclass(frozen=True)
class Row:
    """A host's line of the status board: the worst finding of each column, or None where it has no such check."""

    host: str
    status: str
    cells: Sequence[Item | None]


@dataclass(frozen=True)
class Access:
    """Who logged in, or failed to, and who used sudo on a host."""

    host: str
    failed: str
    failed_detail: str
    status: str
    sudo: str
    sudo_detail: str


def render(report: Report, pages: Pages, files: Iterable[str] = ()) -> str:
    """The report as a page; ``files`` are the names of the report's other files beside it."""
    # Numbers follow the order in which the list is read, so the page's links and its rows agree.
    items = [Item(n, f, pages.link(f.remedy)) for n, f in enumerate(reading_order(report.findings), start=1)]
    attention = [item for item in items if item.finding.status != "ok"]
    cards = _cards(attention)
    columns, rows = _board(report, items)
    made = [Forecast.from_dict(entry) for entry in report.sections.get("forecasts", ())]
    changes = Changes.from_dict(report.sections["changes"]) if "changes" in report.sections else None
    return _template().render(
        report=report,
        items=items,
        attention=len(attention),
        cards=cards[:_MOST_CARDS],
        unshown=sum(len(card) for card in cards[_MOST_CARDS:]),
        columns=columns,
        rows=rows,
        pictures=render_pictures.pictures(report.findings, made),
        forecasts=made[:_MOST_FORECASTS],
        later=made[_MOST_FORECASTS:],
        tables=tables(report.sections),
        changes=changes,
        since=render_text.since(changes.since, report.time) if changes and changes.since else "",
        access=_access(report.findings),
        verdict=_VERDICTS[report.worst] if report.findings else "No check ran: nothing is known about the platform.",
        severities=tuple(reversed(STATUSES)),
        open_list=len(items) <= _OPEN_LIST,
        icon=_icon(report.worst),
        files=list(files),
        **_assets(),
    )


def _cards(attention: Sequence[Item]) -> list[list[Item]]:
    """One finding a card while they are few; else one check and status, so that one cause is one card."""
    if len(attention) <= _MOST_SINGLE:
        return [[item] for item in attention]
    cards: dict[tuple[str, str], list[Item]] = {}
    for item in attention:
        cards.setdefault((item.finding.status, item.finding.check), []).append(item)
    return sorted(cards.values(), key=lambda card: (-STATUSES.index(card[0].finding.status), -len(card)))


def _board(report: Report, items: Iterable[Item]) -> tuple[list[str], list[Row]]:
    observed = [item for item in items if item.finding.type != OUTLOOK]
    checks = {finding.check for finding in report.findings if finding.type != OUTLOOK}
    column = _type_or_check if len(checks) > _MOST_COLUMNS else _check
    columns = list(dict.fromkeys(column(finding) for finding in report.findings if finding.type != OUTLOOK))
    cells: dict[str, dict[str, Item]] = {}
    for item in observed:
        # Items come worst first: the first of a cell is the one to show.
        cells.setdefault(item.finding.host, {}).setdefault(column(item.finding), item)
    rows = []
    for host in sorted(cells, key=natural):
        status = max((item.finding.status for item in cells[host].values()), key=STATUSES.index)
        rows.append(Row(host, status, [cells[host].get(name) for name in columns]))
    return columns, rows


def _check(finding: Finding) -> str:
    return finding.check


def _type_or_check(finding: Finding) -> str:
    return finding.type or finding.check


def _access(findings: Iterable[Finding]) -> list[Access]:
    by_host: dict[str, dict[str, Finding]] = {}
    for finding in findings:
        if finding.type in {"failed_logins", "sudo_use"}:
            by_host.setdefault(finding.host, {})[finding.type] = finding
    return [_access_row(host, by_host[host]) for host in sorted(by_host, key=natural)]


def _access_row(host: str, found: Mapping[str, Finding]) -> Access:
    failed, sudo = found.get("failed_logins"), found.get("sudo_use")
    return Access(
        host=host,
        failed=_count(failed, "failed_logins"),
        failed_detail=failed.detail if failed else "",
        status=failed.status if failed else "ok",
        sudo=_count(sudo, "sudo_commands"),
        sudo_detail=sudo.detail if sudo else "",
    )


def _count(finding: Finding | None, metric: str) -> str:
    if finding is None:
        return render_text.NOTHING
    return render_text.number(finding.metrics[metric]) if metric in finding.metrics else finding.title


def _icon(status: str) -> str:
    """The verdict as the icon of the browser's tab."""
    drawn = (
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'>"
        f"<circle cx='8' cy='8' r='7' fill='{_COLOURS[status]}'/></svg>"
    )
    return f"data:image/svg+xml,{quote(drawn)}"


def _compiled() -> FileSystemBytecodeCache | None:
    """Where Jinja keeps the template compiled from run to run; nowhere, if somebody else could write there."""
    try:
        return FileSystemBytecodeCache()
    except (RuntimeError, OSError):
        return None


@lru_cache(maxsize=1)
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        bytecode_cache=_compiled(),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., str]] = {
        "days": render_text.days,
        "duration": render_text.duration,
        "moment": render_text.moment,
        "size": render_text.size,
    }
    environment.filters.update(filters)
    environment.globals["symbols"] = render_text.SYMBOLS
    return environment.get_template("report.html.j2")


@lru_cache(maxsize=1)
def _assets() -> dict[str, Any]:
    """Style and script with their digests: the page's policy allows these two and nothing else."""
    style = (_FOLDER / "report.css").read_text(encoding="utf-8")
    script = (_FOLDER / "report.js").read_text(encoding="utf-8")
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    # Both are files of this package, not data.
    return {"style": Markup(style), "script": Markup(script), "policy": policy}  # noqa: S704


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
