# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Checks of PostgreSQL, each by one read-only psql call: the server, replication, the WAL archive."""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any

from ansible_collections.ops.runbook.plugins.module_utils.probe import (
    Options,
    Result,
    UnobservableError,
    check,
    plural,
    run,
    size,
    span,
    time_limit,
)

# ruff: noqa: E501

SERVER = """
SELECT json_build_object(
  'version', current_setting('server_version'),
  'standby', pg_is_in_recovery(),
  'up', extract(epoch FROM now() - pg_postmaster_start_time()),
  'connections', (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()),
  'most', current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,
  'oldest', (SELECT coalesce(max(extract(epoch FROM now() - xact_start)), 0) FROM pg_stat_activity
             WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()),
  'who', (SELECT format('process %s, %s@%s from %s, %s: %s', pid, usename, datname, coalesce(host(client_addr), 'local'), state,
                        left(query, 200))
          FROM pg_stat_activity WHERE xact_start IS NOT NULL AND backend_type = 'client backend' AND pid <> pg_backend_pid()
          ORDER BY xact_start LIMIT 1),
  'age', (SELECT max(age(datfrozenxid)) FROM pg_database),
  'bytes', (SELECT sum(pg_database_size(oid)) FROM pg_database),
  'directory', (SELECT setting FROM pg_settings WHERE name = 'data_directory')
)"""

REPLICATION = """
SELECT json_build_object(
  'standby', pg_is_in_recovery(),
  'standbys', (SELECT coalesce(json_agg(json_build_object(
      'name', coalesce(nullif(application_name, ''), host(client_addr), 'local'), 'state', state,
      'bytes', CASE WHEN pg_is_in_recovery() THEN NULL ELSE pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn) END,
      'seconds', coalesce(extract(epoch FROM replay_lag), 0))), '[]'::json) FROM pg_stat_replication WHERE state <> 'backup'),
  'slots', (SELECT coalesce(json_agg(json_build_object('name', slot_name, 'active', active,
      'bytes', CASE WHEN pg_is_in_recovery() THEN 0 ELSE pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) END)), '[]'::json)
      FROM pg_replication_slots WHERE restart_lsn IS NOT NULL AND NOT temporary),
  'receiver', (SELECT format('%s from %s', status, sender_host) FROM pg_stat_wal_receiver LIMIT 1),
  'behind', CASE WHEN pg_is_in_recovery() THEN pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) END,
  'silent', CASE WHEN pg_is_in_recovery() AND pg_last_wal_receive_lsn() IS DISTINCT FROM pg_last_wal_replay_lsn()
      THEN extract(epoch FROM now() - pg_last_xact_replay_timestamp()) ELSE 0 END
)"""

ARCHIVE = """
SELECT json_build_object(
  'mode', current_setting('archive_mode'),
  'standby', pg_is_in_recovery(),
  'ready', (SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'),
  'oldest', (SELECT extract(epoch FROM now() - min(modification)) FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'),
  'last', last_archived_wal,
  'age', extract(epoch FROM now() - last_archived_time),
  'failed', failed_count,
  'failing', coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false),
  'failure', last_failed_wal
) FROM pg_stat_archiver"""


def _ask(options: Options, query: str) -> dict[str, Any]:
    """The one row of JSON that the query gives."""
    seconds = max(1, int(time_limit().timeout))
    environment = {
        "PGAPPNAME": "ops-runbook-probe",
        "PGCONNECT_TIMEOUT": str(max(2, seconds)),
        "PGOPTIONS": f"-c default_transaction_read_only=on -c statement_timeout={seconds}s",
    }
    connection = [] if options["subject"] is True else [f"--dbname={options['subject']}"]
    if not connection:
        connection = [f"--port={options['port']}", "--dbname=postgres"]
    command = ["psql", "-XAtq", "--no-password", "--set=ON_ERROR_STOP=1", *connection]
    if options["user"] and os.geteuid() == 0:
        command = ["runuser", "-u", options["user"], "--", *command]
    done = run(command, stdin=query, env=environment)
    if done.code:
        reasons = [line for line in done.err.strip().splitlines() if line] or [f"psql ended with {done.code}"]
        raise ConnectionError("; ".join(reasons))
    answer = json.loads(done.out)
    return {
        key: float(value) if isinstance(value, str) and key in ("age", "up") else value for key, value in answer.items()
    }


@check("postgresql")
def postgresql(options: Options) -> Result:
    """A server that answers, has connections left, no forgotten transaction and no transaction id wraparound ahead."""
    try:
        seen = _ask(options, SERVER)
    except ConnectionError as error:
        return Result("PostgreSQL does not answer", str(error)).fault(
            "critical", f"PostgreSQL does not answer: {error}"
        )
    used = round(100 * seen["connections"] / seen["most"], 1)
    role = "standby" if seen["standby"] else "primary"
    result = Result(f"PostgreSQL {seen['version']} ({role}) answers, {plural(seen['connections'], 'connection')}")
    if seen["who"] and seen["oldest"] >= 1:
        result.detail = f"oldest transaction, {span(seen['oldest'])}: {seen['who']}"
    if options["role"] not in ("any", role):
        result.fault("critical", f"PostgreSQL is a {role}, not a {options['role']}")
    wraparound = round(100 * seen["age"] / 2**31, 1)
    result.values = {"connections": used, "transaction_age": seen["oldest"], "wraparound": wraparound}
    result.metrics = {
        "connections": seen["connections"],
        "connections_percent": used,
        "transaction_seconds": round(seen["oldest"], 3),
        "wraparound_percent": wraparound,
        "database_bytes": float(seen["bytes"]),
        "uptime_seconds": round(seen["up"]),
    }
    # Of another server the path means nothing here. Who may not know it is told none, who may not look gets no number.
    if options["subject"] is True and seen["directory"]:
        with contextlib.suppress(PermissionError):
            room = os.statvfs(seen["directory"])
            result.metrics["free_bytes"] = float(room.f_bavail * room.f_frsize)
    return result


def _primary(seen: dict[str, Any], options: Options) -> Result:
    standbys, slots = seen["standbys"], seen["slots"]
    streaming = [item for item in standbys if item["state"] == "streaming"]
    for item in standbys:
        # The server goes on showing the last lag that it measured; who has everything is behind nobody.
        item["seconds"] = 0 if item["bytes"] == 0 else item["seconds"]
    lag_bytes = max((item["bytes"] or 0 for item in standbys), default=0)
    lag = max((item["seconds"] for item in standbys), default=0)
    retained = max((item["bytes"] or 0 for item in slots), default=0)
    result = Result(f"primary with {plural(len(streaming), 'streaming standby server')}")
    lines = [
        f"{item['name']}: {item['state']}, {size(item['bytes'] or 0)} and {span(item['seconds'])} behind"
        for item in standbys
    ]
    idle = [
        f"slot {item['name']} is not in use and keeps {size(item['bytes'] or 0)}"
        for item in slots
        if not item["active"]
    ]
    result.detail = "\n".join(lines + idle)
    result.values = {"lag_bytes": lag_bytes, "lag": lag, "retained_bytes": retained}
    result.metrics = {
        "standbys": len(streaming),
        "lag_bytes": lag_bytes,
        "lag_seconds": round(lag, 3),
        "retained_bytes": retained,
    }
    if len(streaming) < options["standbys"]:
        result.fault("critical", f"{len(streaming)} of {plural(options['standbys'], 'standby server')} connected")
    return result


def _standby(seen: dict[str, Any]) -> Result:
    receiver = seen["receiver"]
    result = Result(
        f"standby, {receiver}" if receiver else "standby, not connected to a primary",
        "the primary's check judges the link",
    )
    result.metrics = {"behind_bytes": seen["behind"] or 0, "behind_seconds": round(seen["silent"] or 0, 3)}
    return result


@check("replication")
def replication(options: Options) -> Result:
    """Replication, judged where it is known whole: on the primary. A standby only tells its role."""
    try:
        seen = _ask(options, REPLICATION)
    except ConnectionError as error:
        raise UnobservableError(str(error)) from error
    role = "standby" if seen["standby"] else "primary"
    result = _standby(seen) if seen["standby"] else _primary(seen, options)
    if options["role"] not in ("any", role):
        result.fault("critical", f"PostgreSQL is a {role}, not a {options['role']}")
    return result


@check("wal_archive")
def wal_archive(options: Options) -> Result:
    """WAL segments that wait for the archive. With asynchronous archiving the failure count stays 0; the backlog grows."""
    try:
        seen = _ask(options, ARCHIVE)
    except ConnectionError as error:
        raise UnobservableError(str(error)) from error
    waiting = seen["oldest"] or 0
    if seen["mode"] == "off":
        return Result("archiving is off").fault("critical", "archive_mode is off")
    if seen["standby"] and seen["mode"] != "always":
        return Result("a standby does not archive")
    result = Result(
        f"{plural(seen['ready'], 'segment')} wait for the archive" if seen["ready"] else "nothing waits for the archive"
    )
    if seen["last"]:
        result.detail = f"last archived: {seen['last']}, {span(seen['age'])} ago"
    result.values = {"backlog": seen["ready"], "waiting": waiting}
    result.metrics = {"ready_segments": seen["ready"], "waiting_seconds": round(waiting), "failures": seen["failed"]}
    if seen["age"] is not None:
        result.values["archive_age"] = seen["age"]
        result.metrics["archive_age_seconds"] = round(seen["age"])
    if seen["failing"]:
        result.fault("critical", f"archiving {seen['failure']} failed, and nothing was archived since")
    return result
