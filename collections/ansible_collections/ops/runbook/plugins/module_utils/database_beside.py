# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One database, or some of its tables, as they were at a moment, beside those that serve.

The backup is restored into a folder of its own, with a server that nobody reaches; what is wanted is copied from there
into a new database, which gets its name only when it is whole. Python 3.9.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.ops.runbook.plugins.module_utils.database_restore import (
    SOCKETS,
    RestoreError,
    Server,
    archive_everything,
)
from ansible_collections.ops.runbook.plugins.module_utils.drill_rehearsal import PORT, Rehearsal

#: What the new database is called until it is whole.
INCOMING = "_incoming"


def quoted(name: str) -> str:
    """A name as SQL has it."""
    return '"{}"'.format(name.replace('"', '""'))


class Beside:
    """A restore of a database or of tables into a new database of the same server."""

    def __init__(self, server: Server, rehearsal: Rehearsal, job: Mapping[str, Any]) -> None:
        self.server = server
        self.rehearsal = rehearsal
        self.job = job
        self.into = str(job["into"])

    def restore(self) -> dict[str, Any]:
        """Restore, copy, compare, and name it; how long that took, and the rows of each table."""
        self._refuse_existing()
        self.discard()
        archive_everything(self.server, "before restore beside")
        self.rehearsal.prepare()
        try:
            estimate = self.job["estimate"]
            target = {
                "backup": estimate["backup"],
                "timeline": estimate["timeline"],
                "type": estimate["target_type"],
                "target": estimate["target"],
                "databases": [self.job["database"]],
            }
            seconds = self.rehearsal.restore(self.job["stanza"], target)
            rows = self._copy()
        finally:
            self.rehearsal.remove()
        self.server.ask(f"ALTER DATABASE {quoted(self.into + INCOMING)} RENAME TO {quoted(self.into)}")
        return {"seconds": seconds, "rows": rows}

    def _refuse_existing(self) -> None:
        if self.into in self.server.databases():
            raise RestoreError(f"there is a database {self.into} already; give database_restore_into another name")

    def discard(self) -> bool:
        """Remove what an interrupted or failed restore has left; whether there was anything."""
        left = self.rehearsal.remove()
        if self.into + INCOMING in self.server.databases():
            self.server.ask(f"DROP DATABASE {quoted(self.into + INCOMING)} WITH (FORCE)")
            return True
        return left

    def _copy(self) -> dict[str, int]:
        database, tables = str(self.job["database"]), [str(name) for name in self.job.get("tables", [])]
        incoming = self.into + INCOMING
        self.server.ask(f"CREATE DATABASE {quoted(incoming)} TEMPLATE template0")
        source = ["-h", str(self.rehearsal.folder), "-p", str(PORT), "-d", database]
        dump = [
            self.server.binary("pg_dump"),
            "-Fc",
            "-Z0",
            "--strict-names",
            *source,
            *(f"--table={name}" for name in tables),
        ]
        there = ["-h", SOCKETS, "-p", str(self.server.cluster["port"]), "-d", incoming]
        load = [self.server.binary("pg_restore"), "--exit-on-error", "--single-transaction", *there]
        line = f"set -o pipefail; {shlex.join(dump)} | {shlex.join(load)}"
        self.server.run(["bash", "-c", line], f"{database} cannot be copied")
        before, after = _rows(self.rehearsal.server, database, str(self.rehearsal.folder)), _rows(self.server, incoming)
        wrong = [
            f"{name}: {before.get(name)} rows, copied {count}"
            for name, count in after.items()
            if before.get(name) != count
        ]
        if wrong or not after:
            raise RestoreError(f"the copy is not what was restored: {'; '.join(wrong) or 'it has no table'}")
        return after


def _rows(server: Server, database: str, folder: str = SOCKETS) -> dict[str, int]:
    query = """
    SELECT coalesce(json_object_agg(format('%s.%s', schemaname, tablename), (xpath('/row/n/text()', query_to_xml(
        format('SELECT count(*) AS n FROM %I.%I', schemaname, tablename), false, true, '')))[1]::text::bigint), '{}')
    FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"""
    words = ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", folder, "-p", str(server.cluster["port"])]
    found: dict[str, int] = json.loads(server.run([*words, "-d", database, "-c", query], "the rows cannot be counted"))
    return found


def beside(server: Server, folder: Path, job: Mapping[str, Any], run: Any) -> Beside:
    """The restore for a server that serves."""
    return Beside(server, Rehearsal(run, folder, server.version, server.owner), job)
