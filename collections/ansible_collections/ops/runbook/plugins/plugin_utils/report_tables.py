# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tables that a procedure adds to its report: what it did, in rows of text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.ops.runbook.plugins.plugin_utils.reports import ReportError

#: Of the report's sections, the one that holds the tables.
SECTION = "tables"
_KEYS = {"title", "columns", "rows", "note"}


@dataclass(frozen=True)
class Table:
    """A table of a report."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def tables(sections: Mapping[str, Any]) -> list[Table]:
    """The tables of a report; ReportError says which of them is wrong and how."""
    return [_table(number, data) for number, data in enumerate(sections.get(SECTION, ()), start=1)]


def _table(number: int, data: Any) -> Table:
    if not isinstance(data, Mapping) or not {"title", "columns", "rows"} <= set(data) <= _KEYS:
        raise ReportError(f"Table {number} of the report is no mapping with title, columns, rows and perhaps note.")
    columns = tuple(str(column) for column in data["columns"])
    rows = tuple(tuple("" if cell is None else str(cell) for cell in row) for row in data["rows"])
    for row in rows:
        if len(row) != len(columns):
            raise ReportError(f"Table {data['title']!r} of the report: the row {row} has not {len(columns)} cells.")
    return Table(str(data["title"]), columns, rows, str(data.get("note", "")))
