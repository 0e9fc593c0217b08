# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an operator reads about managed configuration: findings and tables, of drift and of a change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.ops.runbook.plugins.module_utils.finding import Finding

REMEDY = "maintenance/configuration-changes"
CONTROLS = ("A.8.9", "A.8.32", "CC7.1", "CC8.1")
TYPE = "configuration"
#: How many versions of a host the report lists.
MOST_VERSIONS = 5
#: How many of the things that a version changed it names.
MOST_SUBJECTS = 2
_KINDS = {"file": "file", "sysctl": "kernel setting", "service": "service"}

Plan = Mapping[str, Mapping[str, Any]]
Table = dict[str, Any]


def _finding(host: str, check: str, status: str, title: str, **further: Any) -> Finding:
    anchor = further.pop("anchor", "drift")
    remedy = "" if status == "ok" else f"{REMEDY}#{anchor}"
    return Finding(check, host, status, title, remedy=remedy, controls=CONTROLS, type=TYPE, **further)


def _name(row: Mapping[str, Any]) -> str:
    return f"{_KINDS[row['kind']]} {row['name']}"


def drift(plan: Plan) -> tuple[list[Finding], list[Table]]:
    """What differs from the inventory, and since when."""
    findings: list[Finding] = []
    for host, about in plan.items():
        findings += _host_drift(host, about)
    return findings, [_versions(plan)]


def _host_drift(host: str, about: Mapping[str, Any]) -> Iterator[Finding]:
    if about["unreachable"]:
        yield _finding(host, "reachable", "critical", "the host cannot be inspected", detail=about["unreachable"])
        return
    said = about["said"]
    for row in said["rows"]:
        yield _row_drift(host, row)
    for error in said["errors"]:
        title = f"what the inventory says cannot be applied: {error['variable']}"
        yield _finding(
            host, f"candidate {error['variable']}", "critical", title, detail=error["text"], anchor="invalid"
        )
    for orphan in said["orphans"]:
        title = (
            f"{orphan['subject']} was put there by version {orphan['version']}, and the inventory no longer names it"
        )
        yield _finding(host, f"left over {orphan['subject']}", "warning", title, anchor="left-over")
    for version in said["unfinished"]:
        title = f"version {version} was interrupted before its health gate; run the procedure again"
        yield _finding(host, "unfinished change", "warning", title, anchor="unfinished")
    yield from _waiting(host, said["pending_restart"])


def _waiting(host: str, pending: Mapping[str, list[str]]) -> Iterator[Finding]:
    for unit, names in pending.items():
        title = f"{', '.join(names)} of {unit} takes effect with its next restart"
        yield _finding(host, f"restart of {unit}", "warning", title, anchor="pending-restart")


def _row_drift(host: str, row: Mapping[str, Any]) -> Finding:
    if not row["differs"]:
        return _finding(host, _name(row), "ok", f"{row['subject']} is as managed")
    what = _difference(row)
    if row["altered"]:
        title = f"{row['subject']} was changed on the host since version {row['version']}: {what}"
        status = "critical"
    elif row["version"]:
        title = f"{row['subject']} is as version {row['version']} left it; the inventory has changed since: {what}"
        status = "warning"
    else:
        title = f"{row['subject']} was never brought to what the inventory says: {what}"
        status = "critical"
    return _finding(
        host, _name(row), status, title, observed=_side(row, "before"), expected=_side(row, "after"), detail=_lines(row)
    )


def _subject(row: Mapping[str, Any]) -> str:
    return str(row["subject"] if row["subject"] == row["name"] else f"{row['name']}: {row['subject']}")


def _summary(row: Mapping[str, Any]) -> str:
    """In few words what is done."""
    if row["kind"] == "sysctl":
        return f"{row['before']['value']} → {row['after']['value']}"
    if row["kind"] == "service":
        return _side(row, "after")
    if row["differs"] == ["exists"]:
        return "created" if row["after"]["exists"] else "removed"
    return ", ".join(row["differs"])


def _difference(row: Mapping[str, Any]) -> str:
    if row["differs"] == ["exists"]:
        return "it does not exist" if row["after"]["exists"] else "it exists"
    return f"other {', '.join(row['differs'])}"


def _side(row: Mapping[str, Any], side: str) -> str:
    """The values that differ; of contents only that they do."""
    state = row[side]
    if row["kind"] == "file":
        if row["differs"] == ["exists"]:
            return "present" if state["exists"] else "absent"
        values = [f"{key} {state[key]}" for key in row["differs"] if key in state]
        return ", ".join(values) or ("other content" if side == "before" else "managed content")
    if row["kind"] == "sysctl":
        return str(state["value"])
    return ", ".join(f"{key}: {'yes' if state[key] else 'no'}" for key in row["differs"])


def _lines(row: Mapping[str, Any], most: int = 12) -> str:
    """The first lines that differ; nothing of a secret file."""
    if row["secret"]:
        return "the file is secret: its content is not shown"
    lines = []
    for diff in row["diff"]:
        before, after = diff["before"].splitlines(), diff["after"].splitlines()
        lines += [f"- {line}" for line in before if line not in after]
        lines += [f"+ {line}" for line in after if line not in before]
    more = [f"and {len(lines) - most} more lines"] if len(lines) > most else []
    return "\n".join([*lines[:most], *more])


def changes(plan: Plan, results: Mapping[str, Mapping[str, Any]], *, check: bool) -> tuple[list[Finding], list[Table]]:
    """What a run has changed, put back, and not come to."""
    findings: list[Finding] = []
    rows: list[list[str]] = []
    for host, about in plan.items():
        findings += _host_changes(host, about["said"], results.get(host, {}), check=check)
        rows += _change_rows(host, about["said"], results.get(host, {}), check=check)
    title = "Changes predicted" if check else "Changes"
    table = {"title": title, "columns": ["Host", "What", "Change", "Result"], "rows": rows}
    return findings, ([table] if rows else [])


def _state(said: Mapping[str, Any], done: Mapping[str, Any], *, check: bool) -> str:
    """How far the host came."""
    applied = done.get("apply", {})
    if not said.get("changed") and not said.get("unfinished"):
        return "as managed"
    if check:
        through = "changed" in applied and not applied.get("failed") and "rollback" not in done
        return "would be changed" if through else "not reached"
    if done.get("rollback", {}).get("failed"):
        return "in doubt"
    if done.get("rollback", {}).get("changed") or applied.get("put_back"):
        return "put back"
    if applied.get("failed"):
        return "failed"
    return "changed" if "changed" in applied else "not reached"


def _host_changes(host: str, said: Mapping[str, Any], done: Mapping[str, Any], *, check: bool) -> Iterator[Finding]:
    state = _state(said, done, check=check)
    applied = done.get("apply", {})
    count = sum(1 for row in said.get("rows", []) if row["differs"])
    things = f"{count} difference{'' if count == 1 else 's'}"
    back = done.get("rollback", {})
    reason = str(applied.get("msg") or back.get("reason") or "the run ended")
    if state == "in doubt":
        title = f"{things} in doubt: the host was not put back, and gets no requests if it was drained"
        yield _finding(
            host, "configuration", "critical", title, detail=f"{reason}\n{back.get('msg', '')}", anchor="in-doubt"
        )
    elif state in ("put back", "failed"):
        yield _finding(host, "configuration", "critical", f"{things} put back", detail=reason, anchor="rolled-back")
    elif state == "not reached":
        title = f"{things} not changed: the run ended before"
        yield _finding(host, "configuration", "warning", title, anchor="rolled-back")
    elif state == "as managed":
        yield _finding(
            host, "configuration", "ok", f"{len(said.get('rows', []))} managed things are as the inventory says"
        )
    else:
        version = applied.get("version")
        yield _finding(host, "configuration", "ok", f"{things} {state}" + (f" in version {version}" if version else ""))
    for line in applied.get("recovered", []):
        yield _finding(host, "interrupted change", "warning", line, anchor="unfinished")
    yield from _waiting(host, applied.get("pending_restart", {}))


def _change_rows(host: str, said: Mapping[str, Any], done: Mapping[str, Any], *, check: bool) -> Iterator[list[str]]:
    state = _state(said, done, check=check)
    applied = done.get("apply", {})
    for row in said.get("rows", []):
        if row["differs"]:
            yield [host, _subject(row), _summary(row), state]
    for verb in ("reloaded", "restarted"):
        for unit in applied.get(verb, []):
            yield [host, unit, verb, "in use" if state == "changed" else state]


def _few(subjects: list[str]) -> str:
    more = len(subjects) - MOST_SUBJECTS
    return ", ".join(subjects[:MOST_SUBJECTS]) + (f" and {more} more" if more > 0 else "")


def _versions(plan: Plan) -> Table:
    rows = [
        [host, item["id"], item["state"].replace("_", " "), item["ticket"], _few(item["subjects"])]
        for host, about in plan.items()
        for item in reversed(about["said"].get("versions", [])[-MOST_VERSIONS:])
    ]
    note = "configuration_changes_restore.yml brings a host back to what it was right after a version."
    columns = ["Host", "Version", "State", "Ticket", "Changed"]
    return {"title": "Recorded versions", "columns": columns, "rows": rows, "note": note}
