# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a whole platform is rebuilt from its store: judged by what the machines and the store say."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.ops.runbook.plugins.plugin_utils import rebuild_plan
from ansible_collections.ops.runbook.plugins.plugin_utils.rebuild_plan import RefusalError
from ansible_collections.ops.runbook.plugins.plugin_utils.recovery_plan import Speed, Wish, estimate, rows
from ansible_collections.ops.runbook.plugins.plugin_utils.recovery_range import RangeError, moment_text, repository

DATABASE_MARK = "@ops.runbook.database "
REPOSITORY_MARK = "@ops.runbook.repository "
LATEST = "latest"
#: What packages and files of a host take as long as nobody has measured it, in seconds.
HOST_SECONDS = 120.0
#: What a database host says of itself besides.
_DATABASE = """
import glob
def restored():
    try:
        with open("/var/lib/ops-runbook/restore/state.json", encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return {{}}
def serves():
    query = ["psql", "-XAtqc", "SELECT pg_is_in_recovery()"]
    try:
        done = subprocess.run(
            ["runuser", "-u", "postgres", "--", *query], capture_output=True, text=True, timeout=20, cwd="/"
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return ""
    return {{"f": "primary", "t": "standby"}}.get(done.stdout.strip(), "")
print({mark!r} + json.dumps({{"restore": restored(), "serves": serves()}}))
"""
#: What the store says of the backups of the database.
_REPOSITORY = """
def pgbackrest(*words):
    command = ["timeout", "60", "runuser", "-u", "postgres", "--", "pgbackrest", "--log-level-console=off"]
    command += ["--log-level-stderr=error", "--stanza=" + {stanza!r}, *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/")
    if done.returncode:
        raise RuntimeError((done.stderr or done.stdout).strip()[-600:] or "pgbackrest ended with %d" % done.returncode)
    return done.stdout
def repository():
    info = json.loads(pgbackrest("info", "--output=json"))
    archives = [one for item in info if item["name"] == {stanza!r} for one in item.get("archive", [])]
    newest = max((one["database"]["id"] for one in archives), default=0)
    listing, histories = {{}}, {{}}
    for one in archives:
        if one["database"]["id"] == newest:
            folder = "archive/" + {stanza!r} + "/" + one["id"]
            found = json.loads(pgbackrest("repo-ls", folder, "--recurse", "--output=json"))
            listing = dict((name, row) for name, row in found.items() if row["type"] == "file")
            names = [name for name in listing if name.endswith(".history")]
            histories = dict((name, pgbackrest("repo-get", folder + "/" + name)) for name in names)
    return {{"info": info, "listing": listing, "histories": histories}}
try:
    backups = repository()
except (OSError, RuntimeError, ValueError) as error:
    backups = {{"error": str(error)}}
print({mark!r} + json.dumps(backups))
"""


@dataclass(frozen=True)
class Wishes:
    """What the inventory and the operator say."""

    #: The hosts to rebuild, in any order.
    hosts: Sequence[str]
    #: All hosts of the database, whether they are rebuilt or not.
    databases: Sequence[str]
    #: Hosts through which clients come in: the last ones.
    entrances: Sequence[str]
    store: str
    stanza: str
    #: Name and port of the cluster, as PostgreSQL on Debian has them.
    cluster: Mapping[str, str]
    #: Host to its options, as rebuild_plan.job reads them.
    options: Mapping[str, Mapping[str, Any]]
    primary: str = ""
    #: What the restore of the primary needs besides: queries, seconds.
    restore: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Plan:
    """What is to be done, as the tasks read it."""

    #: Host to its job; hosts without one are rebuilt already.
    jobs: dict[str, dict[str, Any]]
    #: Host to how far its rebuild had come before this run.
    states: dict[str, dict[str, Any]]
    database: dict[str, Any]
    entrances: list[str]
    #: The hosts of this platform, in the order in which they come back.
    order: list[str]

    @property
    def queue(self) -> list[str]:
        """The hosts to work on: all of them, because each may be needed for another one."""
        return self.order if self.jobs else []

    def to_dict(self) -> dict[str, Any]:
        """The plan as data."""
        return {**vars(self), "queue": self.queue}


def database_program(machine: bytes) -> bytes:
    """The program for a host of the database: that for any machine, and what a database says."""
    return machine + _DATABASE.format(mark=DATABASE_MARK).encode()


def store_program(snapshots: bytes, stanza: str) -> bytes:
    """The program for the store: what snapshots it has, and what backups."""
    return snapshots + _REPOSITORY.format(mark=REPOSITORY_MARK, stanza=stanza).encode()


def said(output: str, mark: str) -> dict[str, Any]:
    """What stands behind a mark; empty where nothing does."""
    for line in output.splitlines():
        if line.startswith(mark):
            found: dict[str, Any] = json.loads(line[len(mark) :])
            return found
    return {}


def plan(
    wishes: Wishes,
    machines: Mapping[str, Mapping[str, Any]],
    servers: Mapping[str, Mapping[str, Any]],
    stored: Mapping[str, Any] | None,
    backups: Mapping[str, Any],
    *,
    run: str,
    now: float,
    why: str = "",
    speed: Speed | None = None,
) -> Plan:
    """Everything that is to be done. RefusalError with all reasons why it cannot be."""
    jobs: dict[str, dict[str, Any]] = {}
    reasons: list[str] = []
    advice: list[str] = []
    for host in sorted(wishes.hosts):
        try:
            job = rebuild_plan.job(wishes.options[host], machines[host], stored, why)
        except RefusalError as refusal:
            reason, _dot, what_to_do = str(refusal).partition(". ")
            reasons.append(f"- {reason}")
            advice.append(what_to_do)
        else:
            if job:
                jobs[host] = job
    if reasons:
        # What can be done is the same for most of them.
        raise RefusalError("\n".join([*reasons, *dict.fromkeys(filter(None, advice))]))
    here = [host for host in wishes.databases if host in wishes.hosts]
    states = {host: dict(machines[host]["state"]) for host in wishes.hosts}
    database = {}
    if here:
        primary = _primary(wishes, here, servers)
        restore = _under_way(servers[primary]["restore"], states[primary].get("begun", now))
        pending = primary in jobs and restore.get("phase") != "concluded"
        found = _found(wishes, primary, restore, backups, pending=pending, now=now, speed=speed)
        database = _database(wishes, [primary, *(host for host in here if host != primary)], jobs, restore, found)
        database["restore"] = pending
        database["job"]["run"] = run
    standbys = database.get("standbys", [])
    first = [*([database["primary"]] if here else []), *standbys]
    middle = sorted(host for host in wishes.hosts if host not in (*first, *wishes.entrances))
    last = [host for host in wishes.entrances if host in wishes.hosts]
    return Plan(jobs, states, database, last, [*first, *middle, *last])


def _under_way(restore: Mapping[str, Any], begun: float) -> dict[str, Any]:
    """How far the restore has come; that of an earlier life of this machine says nothing about this one."""
    return dict(restore) if restore and restore["began"] >= begun else {}


def _found(
    wishes: Wishes,
    primary: str,
    restore: Mapping[str, Any],
    backups: Mapping[str, Any],
    *,
    pending: bool,
    now: float,
    speed: Speed | None,
) -> dict[str, Any]:
    """What the database comes back from. RefusalError where it cannot."""
    if not pending:
        return dict(restore.get("estimate", {}))
    if restore and restore["wish"] != LATEST:
        raise RefusalError(
            f"- a restore to {restore['wish']} is unfinished on {primary} (run {restore['run']}). Begin with a bare one"
        )
    if restore:
        return dict(restore["estimate"])
    try:
        if backups.get("error"):
            raise RangeError(f"pgBackRest says {backups['error']}")
        known = repository(backups["info"], wishes.stanza, backups["listing"], backups["histories"])
        return estimate(known, Wish(LATEST), now=now, speed=speed).to_dict()
    except RangeError as error:
        raise RefusalError(f"- {wishes.store} cannot give the database back: {error}") from error


def _database(
    wishes: Wishes,
    hosts: list[str],
    jobs: Mapping[str, Any],
    restore: Mapping[str, Any],
    found: Mapping[str, Any],
) -> dict[str, Any]:
    """What the tasks read about the database; its first host is the primary."""
    job = {
        "stanza": wishes.stanza,
        "wish": LATEST,
        "estimate": dict(found),
        "copies": [],
        # Nobody else is the primary: every host of the database was asked.
        "alone": True,
        "requests": [],
        **wishes.restore,
    }
    return {
        "primary": hosts[0],
        "standbys": hosts[1:],
        "follow": [host for host in hosts[1:] if host in jobs],
        "state": dict(restore),
        "estimate": dict(found),
        "clusters": {host: dict(wishes.cluster) for host in hosts},
        "job": job,
    }


def _primary(wishes: Wishes, here: list[str], servers: Mapping[str, Mapping[str, Any]]) -> str:
    """The host that becomes the primary, or is it already; never a second one."""
    serving = [host for host in wishes.databases if servers[host].get("serves") == "primary"]
    restored = [host for host in here if servers[host].get("restore") and host not in serving]
    claims = [*serving, *restored]
    chosen = wishes.primary or next((host for host in claims if host in here), here[0])
    if chosen not in here:
        raise RefusalError(
            f"- platform_rebuild_primary is {chosen!r}, which is no host of the database that is rebuilt. There are: "
            + ", ".join(here)
        )
    others = [host for host in claims if host != chosen]
    if others:
        what = "accepts writes" if others[0] in serving else "has the restored database"
        raise RefusalError(
            f"- {others[0]} {what}, and platform_rebuild_primary would be {chosen}: two primaries. Let it be "
            f"{others[0]}, or switch that one off and begin with a bare machine"
        )
    return str(chosen)


def shown(made: Plan) -> list[str]:
    """What will be restored, from when it is and how long that takes, for whoever decides whether to go on."""
    if not made.jobs:
        return [f"{', '.join(made.order)}: rebuilt already, nothing to do"]
    lines = ["What this rebuild restores, in this order"]
    width = max(len(host) for host in made.order)
    for host in made.order:
        if host not in made.jobs:
            lines.append(f"  {host:<{width}}  is rebuilt already")
            continue
        done = made.states[host].get("done") or []
        parts = [f"{tag} of {row['time'][:19]} ({row['host']})" for tag, row in made.jobs[host]["sources"].items()]
        parts += [f"goes on after {done[-1]}"] if done else []
        lines.append(f"  {host:<{width}}  {'; '.join([*parts, *_part(made, host)])}")
    seconds = HOST_SECONDS
    if made.database.get("restore"):
        found = made.database["estimate"]
        seconds += found["seconds"]
        lines += ["The database", *(f"  {name:<17}  {value}" for name, value in rows(found))]
        lines.append(f"  What was written after {moment_text(found['moment'])} is lost.")
    lines.append(f"Expected: about {seconds / 60:.0f} min, most of it packages (not measured yet)")
    return lines


def _part(made: Plan, host: str) -> list[str]:
    if host == made.database.get("primary"):
        return ["database from its backup" if made.database["restore"] else "has its database"]
    if host in made.database.get("standbys", []):
        return [f"follows {made.database['primary']}"]
    return ["opened last"] if host in made.entrances else []
