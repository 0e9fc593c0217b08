# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What routine maintenance found on the hosts and cannot, or must not, do by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.ops.runbook.plugins.module_utils.finding import Finding
from ansible_collections.ops.runbook.plugins.plugin_utils.render_text import duration, size

PAGE = "maintenance/routine-maintenance"
#: PostgreSQL stops before this many transactions.
WRAPAROUND = 2**31
#: How many objects a finding names.
_MOST = 10

Seen = Mapping[str, Any]


@dataclass(frozen=True)
class Index:
    """An index that no query of one server has used."""

    database: str
    name: str
    table: str
    size: int


def findings(seen: Mapping[str, Seen], thresholds: Mapping[str, Mapping[str, float]]) -> list[Finding]:
    """The findings of all hosts, from what each of them answered."""
    found: list[Finding] = []
    for host, answer in seen.items():
        if "error" in answer:
            found.append(
                Finding(
                    "inspection", host, "critical", answer["error"], type="maintenance", remedy=f"{PAGE}#if-it-fails"
                )
            )
            continue
        found += _notes(host, answer)
        found += _system(host, answer)
        if server(answer):
            found += _postgresql(host, answer, seen, thresholds[host])
    return found


def server(answer: Seen) -> Seen:
    """What was seen of the host's PostgreSQL; empty where there is none."""
    found: Seen = answer.get("areas", {}).get("postgresql", {}).get("seen", {})
    return found


def headroom(postgresql: Seen) -> float:
    """How much of the transaction ids is used up, in percent."""
    used: int = max(postgresql["xids"], postgresql["multixacts"])
    return round(100 * used / WRAPAROUND, 1)


def bloated(postgresql: Seen, limits: Mapping[str, float]) -> list[tuple[str, Seen]]:
    """(database, table) whose estimated bloat is over the thresholds, largest first."""
    found = [
        (database["name"], table)
        for database in postgresql["databases"]
        for table in database["tables"]
        if table["bloat"] and table["bloat"] >= max(limits["bloat_size"], limits["bloat"] * table["bytes"])
    ]
    return sorted(found, key=lambda pair: -pair[1]["bloat"])


def unused_indexes(
    postgresql: Seen, seen: Mapping[str, Seen], limits: Mapping[str, float]
) -> tuple[list[Index], list[str]]:
    """Indexes that no server of the cluster has used for long enough, and the servers that were asked."""
    copies = {
        host: found for host, answer in seen.items() if (found := server(answer)).get("system") == postgresql["system"]
    }
    unused: set[Index] | None = None
    for copy in copies.values():
        mine = {
            Index(database["name"], index["name"], index["table"], index["bytes"])
            for database in copy["databases"]
            if database["counted"] is None or database["counted"] >= limits["index_age"]
            for index in database["unused"]
            if index["bytes"] >= limits["index_size"]
        }
        unused = mine if unused is None else unused & mine
    return sorted(unused or (), key=lambda index: (-index.size, index.name)), sorted(copies)


def _notes(host: str, answer: Seen) -> Iterator[Finding]:
    """What areas tell of what they did not do, one finding a check."""
    told: dict[str, list[str]] = {}
    for area in answer["areas"].values():
        for check, text in area["notes"]:
            told.setdefault(check, []).append(text)
    for check, texts in told.items():
        remedy = f"{PAGE}#{check.replace(' ', '-')}"
        yield Finding(check, host, "warning", texts[0], detail="\n".join(texts[1:]), type="maintenance", remedy=remedy)


def _system(host: str, answer: Seen) -> Iterator[Finding]:
    if "reboot" in answer:
        because = ", ".join(answer["reboot_for"])
        title = (
            f"a reboot is required{f' by {because}' if because else ''}"
            if answer["reboot"]
            else "no reboot is required"
        )
        yield _state(host, "reboot required", answer["reboot"], title)
    if "stale" in answer:
        stale = sorted({**answer["stale"], **answer["waiting"]})
        title = f"on deleted libraries: {', '.join(stale)}" if stale else "no service runs on deleted libraries"
        yield _state(host, "outdated services", bool(stale), title)
    if "orphans" in answer["areas"]:
        held = answer["areas"]["orphans"]["seen"].get("held", [])
        title = f"held: {', '.join(held)}" if held else "no package is held"
        yield _state(host, "held packages", bool(held), title)


def _state(host: str, check: str, bad: bool, title: str) -> Finding:
    status = "warning" if bad else "ok"
    return Finding(check, host, status, title, type="maintenance", remedy=f"{PAGE}#{check.replace(' ', '-')}")


def _postgresql(host: str, answer: Seen, seen: Mapping[str, Seen], limits: Mapping[str, float]) -> Iterator[Finding]:
    postgresql = server(answer)
    used = headroom(postgresql)
    status = "ok"
    if used >= limits["wraparound_warning"]:
        status = "critical" if used >= limits["wraparound_critical"] else "warning"
    yield Finding(
        "wraparound headroom",
        host,
        status,
        f"{used:g} % of the transaction ids are used up; {WRAPAROUND - int(used / 100 * WRAPAROUND):,} are left",
        used,
        f"below {limits['wraparound_warning']:g} %",
        "%",
        type="maintenance",
        remedy=f"{PAGE}#wraparound-headroom",
        metrics={"wraparound_percent": used},
    )
    if postgresql["standby"]:
        return  # its tables and indexes are the primary's
    tables = bloated(postgresql, limits)
    yield _objects(
        host,
        "table bloat",
        [
            f"{database}: {table['name']}, about {size(table['bloat'])} of {size(table['bytes'])}"
            for database, table in tables
        ],
        sum(table["bloat"] for _database, table in tables),
        f"below {limits['bloat'] * 100:g} % of a table, or {size(limits['bloat_size'])}",
    )
    indexes, servers = unused_indexes(postgresql, seen, limits)
    yield _objects(
        host,
        "unused indexes",
        [f"{index.database}: {index.name} on {index.table}, {size(index.size)}" for index in indexes],
        sum(index.size for index in indexes),
        f"used within {duration(limits['index_age'])}, or smaller than {size(limits['index_size'])}",
        f"asked: {', '.join(servers)}",
    )


def _objects(host: str, check: str, objects: list[str], total: float, *said: str) -> Finding:
    """A finding about tables or indexes, with the largest of them by name."""
    expected, *asked = said
    more = [f"and {len(objects) - _MOST} more"] if len(objects) > _MOST else []
    return Finding(
        check,
        host,
        "warning" if objects else "ok",
        f"{len(objects)} found, {size(total)}" if objects else "none",
        float(total),
        expected,
        "B",
        "\n".join([*objects[:_MOST], *more, *asked]),
        f"{PAGE}#{check.replace(' ', '-')}",
        type="maintenance",
        metrics={"bytes": float(total), "objects": float(len(objects))},
    )
