# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Findings as a table for the terminal: worst first, what is ok summed up."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from ansible_collections.ops.runbook.plugins.module_utils.finding import Finding
from ansible_collections.ops.runbook.plugins.plugin_utils.outlook import GROUPS, Changes
from ansible_collections.ops.runbook.plugins.plugin_utils.render_text import moment, since, value
from ansible_collections.ops.runbook.plugins.plugin_utils.report_tables import Table, tables
from ansible_collections.ops.runbook.plugins.plugin_utils.reports import Report, reading_order

NARROWEST, WIDEST = 79, 120
#: More rows than fit a few screens are read in the HTML report.
MOST_ROWS = 60
#: Of a table that the procedure adds.
MOST_TABLE_ROWS = 20
_NARROWEST_COLUMN = 8

_HEADINGS = ("STATUS", "HOST", "CHECK", "OBSERVED", "EXPECTED")
_GAP = "  "
#: Widest columns but the last, which takes the rest, in narrow and in wide terminals; longer text wraps.
_CAPS_NARROW = (8, 14, 22, 11)
_CAPS_WIDE = (8, 20, 34, 15)
_WIDE = 100
_WORDS = {"unobserved": "not observed this time"}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


@dataclass(frozen=True)
class Line:
    """A line of the table; its tone is a status, or empty for plain text."""

    text: str
    tone: str = ""


def render(report: Report, width: int, path: str = "") -> list[Line]:
    """The report as lines no longer than the width, which is held between 79 and 120 columns."""
    width = min(max(width, NARROWEST), WIDEST)
    lines = [Line(""), *_wrapped(f"{_plain(report.title or report.procedure)} · {moment(report.time)}", width)]
    attention = reading_order(finding for finding in report.findings if finding.status != "ok")
    lines += _table(attention[:MOST_ROWS], width)
    if len(attention) > MOST_ROWS:
        lines.append(Line(f"and {len(attention) - MOST_ROWS} more, in the report"))
    for table in tables(report.sections):
        lines += _added(table, width)
    lines += [Line(""), *_changes(report, width), *_totals(report, width)]
    if path:
        # A path is copied: it stays in one piece.
        lines.append(Line(f"Report: {path}"))
    return lines


def one_line(finding: Finding) -> str:
    """A finding in one line, for failure messages."""
    said = f"{finding.status}: {finding.check} on {finding.host}"
    if finding.title:
        said += f" - {finding.title}"
    if finding.remedy:
        said += f" (see {finding.remedy})"
    return _plain(said)


def _changes(report: Report, width: int) -> Iterator[Line]:
    """What is different from the earlier report, in numbers."""
    changes = Changes.from_dict(report.sections.get("changes", {}))
    if not changes.since:
        return
    counts = {_WORDS.get(name, name): len(getattr(changes, name)) for name in GROUPS}
    told = " · ".join(f"{count} {word}" for word, count in counts.items() if count) or "nothing has changed"
    yield from _wrapped(f"{since(changes.since, report.time)}: {told}", width)


def _totals(report: Report, width: int) -> Iterator[Line]:
    if not report.findings:
        yield Line("No check ran: nothing is known about the platform.", "unknown")
        return
    counts = report.counts
    hosts = len(report.hosts)
    parts = [f"{counts[status]} {status}" for status in ("critical", "unknown", "warning") if counts[status]]
    parts.append(f"{counts['ok']} ok")
    yield from _wrapped(f"{' · '.join(parts)} on {hosts} host{'' if hosts == 1 else 's'}", width, report.worst)


def _added(table: Table, width: int) -> Iterator[Line]:
    """A table that the procedure adds; its last column takes the space that is left."""
    rows = [tuple(_plain(cell) for cell in row) for row in table.rows[:MOST_TABLE_ROWS]]
    yield from (Line(""), Line(_plain(table.title)))
    if not rows:
        yield Line("  nothing")
    else:
        heads = tuple(column.upper() for column in table.columns)
        widths = _shared([max(len(row[column]) for row in (heads, *rows)) for column in range(len(heads))], width - 2)
        for row in (heads, *rows):
            cells = [textwrap.wrap(text, size) or [""] for text, size in zip(row, widths, strict=True)]
            yield from (Line(f"  {_row(line, widths)}") for line in zip_longest(*cells, fillvalue=""))
    if len(table.rows) > MOST_TABLE_ROWS:
        yield Line(f"  and {len(table.rows) - MOST_TABLE_ROWS} more, in the report")
    if table.note:
        yield from (Line(f"  {line}") for line in textwrap.wrap(_plain(table.note), width - 2))


def _shared(widths: list[int], width: int) -> list[int]:
    """The columns' widths, the widest of them cut until all fit."""
    widths = list(widths)
    while sum(widths) + len(_GAP) * (len(widths) - 1) > width and max(widths) > _NARROWEST_COLUMN:
        widths[widths.index(max(widths))] -= 1
    return widths


def _table(findings: list[Finding], width: int) -> Iterator[Line]:
    if not findings:
        return
    rows = [_cells(finding) for finding in findings]
    caps = _CAPS_WIDE if width >= _WIDE else _CAPS_NARROW
    widths = [min(max(len(row[column]) for row in (_HEADINGS, *rows)), cap) for column, cap in enumerate(caps)]
    widths.append(width - sum(widths) - len(_GAP) * len(widths))
    indent = " " * (widths[0] + len(_GAP))
    yield Line("")
    yield Line(_row(_HEADINGS, widths))
    for finding, row in zip(findings, rows, strict=True):
        cells = [textwrap.wrap(text, size) or [""] for text, size in zip(row, widths, strict=True)]
        for line in zip_longest(*cells, fillvalue=""):
            yield Line(_row(line, widths), finding.status)
        # What to do stands below its row: a last column would be too narrow for sentences and page names.
        for advice in _advice(finding, width - len(indent)):
            yield Line(indent + advice)


def _row(cells: Sequence[str], widths: list[int]) -> str:
    return _GAP.join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _cells(finding: Finding) -> tuple[str, ...]:
    observed = value(finding.observed, finding.unit)
    return tuple(_plain(text) for text in (finding.status, finding.host, finding.check, observed, finding.expected))


def _advice(finding: Finding, width: int) -> list[str]:
    """What is the case, the first line of what is known about it, and the page that remedies it."""
    detail = next((line for line in map(_plain, finding.detail.splitlines()) if line), "")
    said = [_plain(finding.title), "" if detail in finding.title else detail]
    lines = [line for text in said for line in textwrap.wrap(text, width, max_lines=3, placeholder=" …")]
    if finding.remedy:
        lines += textwrap.wrap(f"→ {_plain(finding.remedy)}", width, break_on_hyphens=False)
    return lines


def _wrapped(text: str, width: int, tone: str = "") -> Iterator[Line]:
    return (Line(line, tone) for line in textwrap.wrap(text, width))


def _plain(text: str) -> str:
    """Text without characters that steer a terminal: findings quote logs, and logs quote strangers."""
    return _CONTROL.sub(" ", text).strip()
