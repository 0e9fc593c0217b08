# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is to be known of a change of the primary: how long it took, how much was lost, what is left to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from ansible_collections.ops.runbook.plugins.module_utils.finding import Finding
from ansible_collections.ops.runbook.plugins.plugin_utils.catalogue import Duration

PAGE = "backup-recovery/disaster-recovery"
RTO = "recovery time (RTO)"
RPO = "recovery point (RPO)"
#: Findings of this type stay in the run record whatever their status.
OBJECTIVE = "objective"

Results = Mapping[str, Mapping[str, Mapping[str, Any]]]


def report(
    plan: Mapping[str, Any], results: Results, objectives: Mapping[str, Any], *, check: bool, now: float
) -> tuple[list[Finding], list[dict[str, Any]]]:
    """Findings and tables; ``now`` is the time in seconds of the epoch."""
    table = _hosts(plan, results, check=check)
    become = "would be" if check else "is now"
    findings = [Finding("database role", host, "ok", f"was {was}, {become} {now}") for host, was, now in table["rows"]]
    if not check:
        findings += [*_findings(plan, results, objectives), *_redundancy_time(plan, results, objectives, now)]
    measured = [finding for finding in findings if finding.check in (RTO, RPO)]
    tables = [table, *([_measured(measured)] if measured else [])]
    lost = [
        [
            host,
            f"{row['database']}.{row['table']}",
            *(str(row[key]) for key in ("inserted", "updated", "deleted", "saved")),
            row["file"],
        ]
        for host, result in results["followed"].items()
        for row in result.get("divergence", {}).get("tables", ())
    ]
    if lost:
        columns = ["Host", "Table", "Inserted", "Updated", "Deleted", "Rows saved", "File on the host"]
        note = (
            "Only this host had them. The database has lost them; the files keep them for whoever decides about them."
        )
        tables.append(
            {"title": "Changes that the primary never received", "columns": columns, "rows": lost, "note": note}
        )
    return findings, tables


def _measured(findings: list[Finding]) -> dict[str, Any]:
    rows = [
        [found.check, "not known" if found.observed is None else f"{found.observed} s", found.expected, found.title]
        for found in findings
    ]
    return {"title": "Against the objectives", "columns": ["Objective", "Measured", "Promised", "What"], "rows": rows}


def _hosts(plan: Mapping[str, Any], results: Results, *, check: bool) -> dict[str, Any]:
    rows = [[host, plan["states"][host]["role"], _task(plan, results, host, check=check)] for host in plan["states"]]
    return {"title": "Database hosts", "columns": ["Host", "Was", "Would be" if check else "Now"], "rows": rows}


def _task(plan: Mapping[str, Any], results: Results, host: str, *, check: bool) -> str:
    if plan["mode"] == "prepare":
        return f"{plan['states'][host]['role']}, {'guarded' if host in plan['guard'] else 'guarded already'}"
    if host == plan["primary"]:
        return "primary" if check or _is_moved(plan, results) else "not promoted"
    if host in plan["follow"]:
        how = results["followed"].get(host, {}).get("how", "")
        return (
            f"standby ({how})" if how not in ("", "unchanged") else ("standby" if check or how else "not yet a standby")
        )
    if host not in plan["fence"]:
        return str(plan["states"][host]["role"])
    return f"{'fenced' if check or _is_moved(plan, results) else 'was to be fenced'} ({plan['fence'][host]})"


def _is_moved(plan: Mapping[str, Any], results: Results) -> bool:
    """Whether the primary is where it was to be; otherwise nothing is lost, and nobody knows what follows what."""
    return not plan["promote"] or any(result.get("promoted_at") for result in results["promoted"].values())


def _findings(plan: Mapping[str, Any], results: Results, objectives: Mapping[str, Any]) -> Iterator[Finding]:
    accepted = max((result.get("accepted_at", 0.0) for result in results["probe"].values()), default=0.0)
    primary = plan["primary"]
    if accepted:
        through = ", ".join(results["probe"])
        title = f"{primary} is the primary, and a write through {through} was accepted at {_clock(accepted)}"
        yield Finding("primary", primary, "ok", title)
    if _is_moved(plan, results):
        yield from _recovery_time(plan, results, objectives, accepted)
        yield from _recovery_point(plan, results, objectives)
        yield from _redundancy(plan, results)
    for host in plan["unreachable"]:
        title = f"{host} could not be reached, so it was not asked whether it is read-only"
        yield Finding("application", host, "warning", title, remedy=f"{PAGE}#application")


def _redundancy(plan: Mapping[str, Any], results: Results) -> Iterator[Finding]:
    primary = plan["primary"]
    for host, how in plan["fence"].items():
        if how != "host" and not plan["states"][primary].get("guard"):
            title = f"{host} would start as a second primary when it is switched on: nothing keeps it from it (guard)"
            yield Finding("fencing", host, "warning", title, remedy=f"{PAGE}#fencing")
        if how == "override":
            title = f"nobody proved that {host} is off; the operator vouched for it: {plan['override']}"
            yield Finding("fencing", host, "warning", title, remedy=f"{PAGE}#fencing")
        if host not in plan["follow"]:
            title = f"{host} does not follow {primary}: another failure now would be an outage"
            yield Finding("redundancy", host, "warning", title, remedy=f"{PAGE}#redundancy")
    for host in plan["follow"]:
        if "how" in results["followed"].get(host, {}):
            yield Finding("redundancy", host, "ok", f"{host} follows {primary} ({results['followed'][host]['how']})")


def _recovery_time(
    plan: Mapping[str, Any], results: Results, objectives: Mapping[str, Any], accepted: float
) -> Iterator[Finding]:
    promoted = max((result.get("promoted_at", 0.0) for result in results["promoted"].values()), default=0.0)
    if not (accepted and promoted):
        return
    stopped = [
        result["began"] for kind in ("fenced", "power") for result in results[kind].values() if "began" in result
    ]
    began = min([*stopped, *([plan["outage"]] if plan["outage"] else [])], default=promoted)
    allowed = Duration.parse(objectives["rto"]).seconds
    seconds = accepted - began
    since = "the primary was lost" if plan["outage"] else "the old primary was told to stop"
    after = f"{accepted - promoted:.1f} s of it after the promotion"
    yield Finding(
        RTO,
        plan["primary"],
        "ok" if seconds <= allowed else "critical",
        f"{seconds:.1f} s from when {since} to the first accepted write, {after}",
        observed=round(seconds, 2),
        expected=f"<= {objectives['rto']}",
        unit="s",
        type=OBJECTIVE,
        remedy=f"{PAGE}#recovery-time",
        metrics={"outage_seconds": seconds, "promoted_to_write_seconds": accepted - promoted},
    )


def _redundancy_time(
    plan: Mapping[str, Any], results: Results, objectives: Mapping[str, Any], now: float
) -> Iterator[Finding]:
    """A failback ends no outage: what it recovers is the standby, so its time counts from its own beginning."""
    hosts = plan["follow"]
    if plan["mode"] != "failback" or not hosts or not all("how" in results["followed"].get(host, {}) for host in hosts):
        return
    seconds = now - plan["began"]
    yield Finding(
        RTO,
        plan["primary"],
        "ok" if seconds <= Duration.parse(objectives["rto"]).seconds else "critical",
        f"{seconds:.1f} s from the beginning of the failback until {', '.join(hosts)} followed {plan['primary']} again",
        observed=round(seconds, 2),
        expected=f"<= {objectives['rto']}",
        unit="s",
        type=OBJECTIVE,
        remedy=f"{PAGE}#recovery-time",
        metrics={"without_standby_seconds": seconds},
    )


def _recovery_point(plan: Mapping[str, Any], results: Results, objectives: Mapping[str, Any]) -> Iterator[Finding]:
    allowed = Duration.parse(objectives["rpo"]).seconds
    seen = {
        host: result["divergence"]
        for kind in ("measured", "followed")
        for host, result in results[kind].items()
        if result.get("divergence")
    }
    for host, lost in seen.items():
        seconds = _window(lost)
        title = "nothing that was committed is lost"
        if lost["commits"]:
            between = f"{lost['first']} to {lost['last']}"
            title = f"{lost['commits']} commits of {host} ({between}) never reached {plan['primary']}"
        status = "ok" if seconds <= allowed else "critical"
        yield _point(host, seconds, objectives, (status, title), lost["commits"])
    if plan["promote"] and not seen:
        if plan["mode"] == "switchover":
            title = "the standby had all that the old primary had written when it was promoted"
            yield _point(plan["primary"], 0.0, objectives, ("ok", title), 0)
        elif plan["outage"] and plan["last_commit"]:
            seconds = max(plan["outage"] - plan["last_commit"], 0.0)
            title = f"at most {seconds:.1f} s: the age of the last commit that arrived. Failback counts exactly"
            status = "ok" if seconds <= allowed else "warning"
            yield _point(plan["primary"], seconds, objectives, (status, title), None)
        else:
            title = "what is lost is not known until the old primary is back: failback counts it"
            yield Finding(
                RPO, plan["primary"], "warning", title, expected=f"<= {objectives['rpo']}", remedy=f"{PAGE}#loss"
            )


def _point(
    host: str, seconds: float, objectives: Mapping[str, Any], verdict: tuple[str, str], commits: int | None
) -> Finding:
    metrics = {"loss_seconds": seconds} | ({} if commits is None else {"lost_commits": float(commits)})
    expected = f"<= {objectives['rpo']}"
    return Finding(
        RPO, host, *verdict, round(seconds, 2), expected, "s", remedy=f"{PAGE}#loss", type=OBJECTIVE, metrics=metrics
    )


def _window(lost: Mapping[str, Any]) -> float:
    """Seconds from the last commit that both have, or the first that is lost, to the last that is lost."""
    if not lost["commits"] or not lost["last"]:
        return 0.0
    return max((_moment(lost["last"]) - _moment(lost["shared"] or lost["first"])).total_seconds(), 0.0)


def _moment(text: str) -> datetime:
    """A time as pg_waldump prints it. All of one host are in the same time zone, so its name does not matter."""
    day, clock, *_zone = text.split()
    return datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=UTC)


def _clock(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%H:%M:%S UTC")
