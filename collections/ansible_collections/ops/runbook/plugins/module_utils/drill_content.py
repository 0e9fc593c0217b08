# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is in a database at one position of its log: rows and a digest of every table, and the state of its sequences.

One session in each database holds a snapshot, and all snapshots are of the same position: it is asked for before and
after they are taken, until it is the same. On a standby that is the position up to which it has replayed. Python 3.9.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from typing import Any

from ansible_collections.ops.runbook.plugins.module_utils.database_restore import RestoreError, Server

#: How often a moment without a change is looked for, and how long the log has to stand still for it, in seconds.
ATTEMPTS = 200
STILL = 0.03
_POSITION = """SELECT
  CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END,
  pg_is_in_recovery()
  OR pg_snapshot_xmin(pg_current_snapshot()) = pg_snapshot_xmax(pg_current_snapshot())"""
_BEGIN = """SET bytea_output = hex; SET timezone = UTC; SET datestyle = ISO; SET intervalstyle = iso_8601;
SET extra_float_digits = 3; SET search_path = pg_catalog; SET statement_timeout = 0;
BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; SELECT pg_current_snapshot();"""
_TABLES = """SELECT coalesce(json_agg(format('%I.%I', n.nspname, c.relname) ORDER BY 1), '[]')
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname NOT IN ('pg_catalog', 'information_schema')"""
_SEQUENCES = """SELECT
  coalesce(json_object_agg(format('%I.%I', schemaname, sequencename), coalesce(last_value, 0)), '{}')
  FROM pg_sequences"""
_END = "end of the answer"


class Session:
    """A connection that stays open: psql, asked line by line."""

    def __init__(self, server: Server, database: str, folder: str) -> None:
        words = ["runuser", "-u", server.owner, "--", "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]
        words += ["-h", folder, "-p", str(server.cluster["port"]), "-d", database]
        # It has to stay open, which run_command cannot do. pylint: disable-next=ansible-bad-function
        self._process = subprocess.Popen(
            words, cwd="/", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.database = database

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_ignored: object) -> None:
        self._process.kill()
        self._process.communicate()

    def ask(self, query: str) -> str:
        """The answer to one or more statements. RestoreError where the server has another opinion."""
        to, out = self._process.stdin, self._process.stdout
        if to is None or out is None:
            raise RestoreError(f"{self.database}: psql has no pipes")
        lines: list[str] = []
        with suppress(BrokenPipeError):  # what it said before it ended is read below
            to.write(f"{query.rstrip(';')};\n\\echo '{_END}'\n")
            to.flush()
        for line in out:
            if line.strip() == _END:
                return "\n".join(lines).strip()
            lines.append(line.rstrip("\n"))
        raise RestoreError(f"{self.database}: {' '.join(lines)[-500:] or 'the connection was closed'}")


def content(server: Server, folder: str) -> dict[str, Any]:
    """Position, time, tables and sequences of all databases."""
    began = time.time()
    with ExitStack() as stack:
        asking = stack.enter_context(Session(server, "postgres", folder))
        databases = json.loads(
            asking.ask(
                "SELECT json_agg(datname ORDER BY datname) FROM pg_database WHERE datallowconn AND NOT datistemplate"
            )
        )
        sessions = [stack.enter_context(Session(server, name, folder)) for name in databases]
        position = _hold(asking, sessions)
        taken = time.time()
        found: dict[str, Any] = {"tables": {}, "sequences": {}}
        for session in sessions:
            for table in json.loads(session.ask(_TABLES)):
                found["tables"][f"{session.database}.{table}"] = _digest(session, table)
            sequences = json.loads(session.ask(_SEQUENCES))
            found["sequences"].update({f"{session.database}.{name}": value for name, value in sequences.items()})
    return {**found, "lsn": position, "time": taken, "seconds": round(time.time() - began, 1)}


def _hold(asking: Session, sessions: list[Session]) -> str:
    """Take a snapshot in every session, all at one position of the log."""
    for _attempt in range(ATTEMPTS):
        before, quiet = asking.ask(_POSITION).split("|")
        if quiet == "t":
            time.sleep(STILL)
            for session in sessions:
                session.ask(_BEGIN)
            time.sleep(STILL)
            after, quiet = asking.ask(_POSITION).split("|")
            if (before, quiet) == (after, "t"):
                return before
            for session in sessions:
                session.ask("ROLLBACK")
        time.sleep(STILL)
    raise RestoreError(
        f"within {ATTEMPTS} attempts the log never stood still for {2 * STILL:g} s: compare with a standby instead"
    )


def _digest(session: Session, table: str) -> list[Any]:
    """Number of rows, and a sum of their hashes: the order of rows is nothing that a restore keeps or loses."""
    # Names of tables come quoted from the server itself.
    query = f"SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) FROM {table} t"  # noqa: S608
    rows, digest = session.ask(query).split("|")
    return [int(rows), digest]


def differences(live: Mapping[str, Any], restored: Mapping[str, Any]) -> list[str]:
    """What is not the same in both, a line each."""
    lines = []
    for kind in ("tables", "sequences"):
        for name in sorted({*live[kind], *restored[kind]}):
            one, other = live[kind].get(name), restored[kind].get(name)
            # A primary is ahead of its log by some numbers that nobody has seen: not used again, and none is lost.
            if one == other or (kind == "sequences" and None not in (one, other) and other > one):
                continue
            if one is None or other is None:
                lines.append(f"{name} is only in the {'restored' if one is None else 'live'} database")
            elif kind == "tables" and one[0] != other[0]:
                lines.append(f"{name} has {one[0]} rows, restored {other[0]}")
            else:
                lines.append(f"{name} has other content" if kind == "tables" else f"{name} is {one}, restored {other}")
    return lines
