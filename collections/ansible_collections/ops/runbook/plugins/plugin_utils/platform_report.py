# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the rebuild of a platform took and lost, step by step and against what is promised."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.ops.runbook.plugins.module_utils.backup_restic import moment
from ansible_collections.ops.runbook.plugins.module_utils.finding import Finding
from ansible_collections.ops.runbook.plugins.plugin_utils.catalogue import Duration
from ansible_collections.ops.runbook.plugins.plugin_utils.disaster_findings import OBJECTIVE, PAGE, RPO, RTO
from ansible_collections.ops.runbook.plugins.plugin_utils.recovery_range import moment_text

__all__ = ["OBJECTIVE", "Seen", "findings", "tables"]

CONTROLS = ("A.5.30", "A.8.13", "A1.3")
#: Steps of a host as its state names them, and as an operator reads them.
STEPS = {
    "fetch": "snapshot fetched",
    "accounts": "accounts",
    "packages": "packages",
    "files": "files",
    "release": "application",
    "start": "services started",
}
#: What the steps of the database's restore have noted: the time before, the time after, what was done.
RESTORED = (
    ("stopped", "fetched", "backup fetched"),
    ("fetched", "verified", "log replayed, every row and page read"),
    ("verified", "opened", "opened for clients"),
    ("opened", "concluded", "archives again"),
)


@dataclass(frozen=True)
class Seen:
    """What this run, and those before it, have come to."""

    plan: Mapping[str, Any]
    #: Host to how far its rebuild has come: begun, done or took, finished.
    states: Mapping[str, Mapping[str, Any]]
    #: That of the database's restore.
    restore: Mapping[str, Any] = field(default_factory=dict)
    #: Host to seconds that copying the primary took.
    followed: Mapping[str, float] = field(default_factory=dict)
    #: When a write through the entrance was accepted; 0 where none was.
    accepted: float = 0.0

    @property
    def began(self) -> float:
        """When the platform was lost, or the first machine began to be rebuilt; 0 where neither is known."""
        begun = [state["begun"] for state in self.states.values() if state.get("begun")]
        return float(self.plan["lost_at"] or min(begun, default=0.0))


def findings(seen: Seen, *, check: bool) -> list[Finding]:
    """What is rebuilt, what is not, and the objectives."""
    plan = seen.plan
    found = [_host(seen, host, check=check) for host in plan["order"]]
    if not check and plan["jobs"]:
        found += [*_times(seen), *_losses(seen)]
    return found


def _host(seen: Seen, host: str, *, check: bool) -> Finding:
    remedy = f"{PAGE}#everything"
    if host not in seen.plan["jobs"]:
        return Finding("rebuild", host, "ok", "is rebuilt already", controls=CONTROLS, remedy=remedy)
    state = seen.states.get(host, {})
    if check or state.get("finished"):
        title = "would be rebuilt" if check else "is rebuilt and works"
        return Finding("rebuild", host, "ok", title, controls=CONTROLS, remedy=remedy)
    done = [STEPS[step] for step in state.get("took", {}) if step in STEPS]
    title = f"is not rebuilt; done: {', '.join(done) or 'nothing'}. The next run goes on from there"
    return Finding("rebuild", host, "critical", title, controls=CONTROLS, remedy=remedy)


def _times(seen: Seen) -> Iterator[Finding]:
    since = "the loss of the platform" if seen.plan["lost_at"] else "the first step on a bare machine"
    for host in seen.plan["order"]:
        state = seen.states.get(host, {})
        ended = _serves(seen, host, state)
        if not (ended and seen.began and host in seen.plan["jobs"]):
            continue
        seconds = round(ended - seen.began, 1)
        promised = seen.plan["promised"][host]["rto"]
        what = "the first write through it was accepted" if host in seen.plan["entrances"] else "it served"
        status = "ok" if seconds <= Duration.parse(promised).seconds else "critical"
        yield _objective(RTO, host, (status, f"{seconds} s from {since} until {what}"), seconds, promised)


def _serves(seen: Seen, host: str, state: Mapping[str, Any]) -> float:
    """From when a host does its work."""
    if host == seen.plan["database"].get("primary") and seen.restore.get("opened"):
        return float(seen.restore["opened"])
    if host in seen.plan["entrances"] and seen.accepted:
        return seen.accepted
    return float(state.get("finished") or 0.0)


def _losses(seen: Seen) -> Iterator[Finding]:
    plan = seen.plan
    known = bool(plan["lost_at"])
    for host in plan["order"]:
        promised = plan["promised"][host]["rpo"]
        if host == plan["database"].get("primary"):
            if not seen.restore.get("opened"):
                continue
            until = seen.restore["estimate"]["moment"]
            title = f"what was written after {moment_text(until)}, the end of the archived log, is lost"
        elif host in plan["jobs"] and host not in plan["database"].get("standbys", []):
            until = moment(plan["jobs"][host]["sources"]["configuration"]["time"])
            title = "changes of its configuration after this backup are lost, if there were any"
        else:
            continue
        seconds = round(max(seen.began - until, 0.0), 1)
        late = seconds > Duration.parse(promised).seconds
        if late and not known:
            title += "; an upper limit, because nobody has said when the platform was lost (platform_rebuild_lost_at)"
        status = ("critical" if known and host == plan["database"].get("primary") else "warning") if late else "ok"
        yield _objective(RPO, host, (status, title), seconds, promised)


def _objective(check: str, host: str, verdict: tuple[str, str], observed: float, promised: str) -> Finding:
    return Finding(
        check,
        host,
        *verdict,
        observed,
        f"<= {promised}",
        "s",
        remedy=f"{PAGE}#everything",
        controls=CONTROLS,
        type=OBJECTIVE,
    )


def tables(seen: Seen, found: list[Finding]) -> list[dict[str, Any]]:
    """From what, how long each step took, how many rows are back, and the objectives."""
    plan = seen.plan
    sources = [
        [host, tag, f"{row['name']} ({row['host']})", row["time"][:19]]
        for host in plan["order"]
        for tag, row in plan["jobs"].get(host, {}).get("sources", {}).items()
    ]
    estimate = seen.restore.get("estimate") or plan["database"].get("estimate")
    if estimate and plan["jobs"]:
        sources.append(
            [plan["database"]["primary"], "database", estimate["backup"], moment_text(estimate["moment"])[:19]]
        )
    made = [_table("Rebuilt from", ["Host", "Set", "Backup", "Of"], sources)]
    made.append(_table("Steps", ["Step", "Hosts", "Seconds"], list(_steps(seen))))
    rows = [[name, str(count)] for name, count in sorted(seen.restore.get("restored_rows", {}).items())]
    made.append(_table("Rows that are back", ["Table", "Rows"], rows if plan["jobs"] else []))
    measured = [
        [one.host, one.check, f"{one.observed} s", one.expected, one.title] for one in found if one.type == OBJECTIVE
    ]
    made.append(_table("Against the objectives", ["Host", "Objective", "Measured", "Promised", "What"], measured))
    return [table for table in made if table["rows"]]


def _table(title: str, columns: list[str], rows: list[list[str]]) -> dict[str, Any]:
    return {"title": title, "columns": columns, "rows": rows}


def _steps(seen: Seen) -> Iterator[list[str]]:
    """Hosts work side by side: a step takes as long as on the slowest of them."""
    if not seen.plan["jobs"]:
        return
    for step in ("fetch", "accounts", "packages", "files", "release"):
        yield from _slowest(seen, step, list(seen.plan["order"]))
    primary = seen.plan["database"].get("primary", "")
    for first, second, what in RESTORED:
        if first in seen.restore and second in seen.restore:
            yield [f"database: {what}", primary, f"{seen.restore[second] - seen.restore[first]:.1f}"]
    yield from ([f"database: copied to {host}", host, f"{took:.1f}"] for host, took in seen.followed.items())
    entrances = list(seen.plan["entrances"])
    yield from _slowest(seen, "start", [host for host in seen.plan["order"] if host not in entrances])
    yield from _slowest(seen, "start", entrances)
    if seen.accepted and seen.began:
        yield [
            "first write through the entrance, from the beginning",
            ", ".join(entrances),
            f"{seen.accepted - seen.began:.1f}",
        ]


def _slowest(seen: Seen, step: str, hosts: list[str]) -> Iterator[list[str]]:
    took = {
        host: seen.states[host]["took"][step] for host in hosts if step in seen.states.get(host, {}).get("took", {})
    }
    if took:
        slowest = max(took, key=lambda host: float(took[host]))
        others = f", slowest {slowest}" if len(took) > 1 else ""
        yield [STEPS[step], f"{', '.join(took)}{others}", f"{took[slowest]:.1f}"]
