# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The tables of the report on routine maintenance: what was reclaimed, removed, done and restarted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.ops.runbook.plugins.module_utils.finding import Finding
from ansible_collections.ops.runbook.plugins.plugin_utils.maintenance_findings import (
    PAGE,
    bloated,
    headroom,
    server,
    unused_indexes,
)
from ansible_collections.ops.runbook.plugins.plugin_utils.render_text import NOTHING, size

#: Areas that give no disk back.
_NO_DISK = {"postgresql"}
_TITLES = {"package_cache": "package cache", "temporary": "temporary files", "logs": "rotated logs"}


@dataclass(frozen=True)
class Done:
    """What happened, or would happen, on one host."""

    #: The answer of the inspection before.
    before: Mapping[str, Any]
    #: The module's result; empty where the host was not cleaned.
    cleaned: Mapping[str, Any] = field(default_factory=dict)
    restarted: Sequence[str] = ()
    rebooted: bool = False
    #: What failed on the host.
    failure: str = ""
    #: What the procedure did not come to.
    left: str = ""


def tables(
    hosts: Mapping[str, Done], thresholds: Mapping[str, Mapping[str, float]], *, check: bool
) -> list[dict[str, Any]]:
    """All tables that have something to say."""
    made = [
        _table(
            "Disk that would be reclaimed" if check else "Disk reclaimed",
            ("Host", "Area", "Items", "Bytes"),
            [*_reclaimed(hosts)],
            "Sums of the removed files. What packages bring is what they say of themselves.",
        ),
        _table(
            "File systems", ("Host", "Mounted at", "Used before", "Used after", "Freed"), [*_filesystems(hosts)], ""
        ),
        _table(
            "What would be removed and done" if check else "What was removed and done",
            ("Host", "Area", "What", "Bytes", "Because"),
            [*_items(hosts)],
            "What was removed cannot be brought back.",
        ),
        _table(
            "Restarts and reboots" + (" that would follow" if check else ""), ("Host", "What"), [*_renewed(hosts)], ""
        ),
        _table(
            "PostgreSQL",
            ("Host", "Role", "Size", "Transaction ids used", "Due tables", "Bloat (estimate)", "Unused indexes"),
            [*_servers(hosts, thresholds)],
            "",
        ),
    ]
    return [table for table in made if table["rows"] or table is made[0]]


def failures(hosts: Mapping[str, Done]) -> list[Finding]:
    """What the procedure itself did not do, or not well."""
    found = []
    for host, done in hosts.items():
        if done.failure or done.left:
            status, title = ("critical", done.failure.splitlines()[0]) if done.failure else ("warning", done.left)
            remedy = f"{PAGE}#if-it-fails"
            found.append(
                Finding("maintenance", host, status, title, detail=done.failure, type="maintenance", remedy=remedy)
            )
    return found


def _table(title: str, columns: Sequence[str], rows: list[Sequence[str]], note: str) -> dict[str, Any]:
    return {"title": title, "columns": list(columns), "rows": [list(row) for row in rows], "note": note if rows else ""}


def _areas(done: Done) -> Mapping[str, Any]:
    """What was cleaned, area by area; nothing of a host that the procedure did not come to."""
    found: Mapping[str, Any] = done.cleaned.get("areas", {})
    return found


def _reclaimed(hosts: Mapping[str, Done]) -> Iterator[Sequence[str]]:
    total = 0
    for host, done in hosts.items():
        for name, told in _areas(done).items():
            if told["items"] and name not in _NO_DISK and not told.get("failed"):
                total += told["bytes"]
                yield host, _TITLES.get(name, name), str(len(told["items"])), size(told["bytes"])
    if total:
        yield "together", "", "", size(total)


def _filesystems(hosts: Mapping[str, Done]) -> Iterator[Sequence[str]]:
    for host, done in hosts.items():
        before, after = done.cleaned.get("before", {}), done.cleaned.get("filesystems", {})
        for mount, seen in after.items():
            if mount in before and before[mount] != seen:
                used = [f"{size(one['used'])} of {size(one['size'])}" for one in (before[mount], seen)]
                yield host, mount, *used, size(before[mount]["used"] - seen["used"])


def _items(hosts: Mapping[str, Done]) -> Iterator[Sequence[str]]:
    for host, done in hosts.items():
        for name, told in _areas(done).items():
            for item in told["items"]:
                given = NOTHING if name in _NO_DISK else size(item["size"])
                why = "not done, or in part: it failed" if told.get("failed") else item["why"]
                yield host, _TITLES.get(name, name), item["subject"], given, why


def _renewed(hosts: Mapping[str, Done]) -> Iterator[Sequence[str]]:
    for host, done in hosts.items():
        if done.rebooted:
            yield host, "reboot"
        if done.restarted and not done.failure:
            yield host, ", ".join(done.restarted)
        if done.failure or done.left:
            yield host, f"failed: {done.failure.splitlines()[0]}" if done.failure else done.left


def _servers(hosts: Mapping[str, Done], thresholds: Mapping[str, Mapping[str, float]]) -> Iterator[Sequence[str]]:
    seen = {host: done.before for host, done in hosts.items()}
    for host, done in hosts.items():
        postgresql = server(done.before)
        if not postgresql:
            continue
        limits = thresholds[host]
        indexes, _servers_asked = unused_indexes(postgresql, seen, limits)
        standby = postgresql["standby"]
        yield (
            host,
            "standby" if standby else "primary",
            size(sum(database["bytes"] for database in postgresql["databases"])),
            f"{headroom(postgresql):g} %",
            str(len(done.before["areas"]["postgresql"]["items"])),
            NOTHING if standby else size(sum(table["bloat"] for _name, table in bloated(postgresql, limits))),
            NOTHING if standby else size(sum(index.size for index in indexes)),
        )
