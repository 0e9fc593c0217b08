# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The area of PostgreSQL: vacuum and analyze where statistics ask for it; bloat, unused indexes, wraparound."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ansible_collections.ops.runbook.plugins.module_utils.maintenance import Area, Item, MaintenanceError, area, run

# ruff: noqa: E501

PSQL = "/usr/bin/psql"
SOCKETS = "/var/run/postgresql"

SERVER = """
SELECT json_build_object(
  'version', current_setting('server_version'),
  'standby', pg_is_in_recovery(),
  'system', (SELECT system_identifier::text FROM pg_control_system()),
  'lag', CASE WHEN pg_is_in_recovery() THEN 0 ELSE
      (SELECT coalesce(max(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)), 0) FROM pg_stat_replication WHERE state <> 'backup') END,
  'transaction', (SELECT coalesce(max(extract(epoch FROM now() - xact_start)), 0) FROM pg_stat_activity
      WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()),
  'xids', (SELECT max(age(datfrozenxid)) FROM pg_database),
  'multixacts', (SELECT max(mxid_age(datminmxid)) FROM pg_database),
  'databases', (SELECT json_agg(json_build_object('name', datname, 'bytes', pg_database_size(oid)) ORDER BY datname)
                FROM pg_database WHERE datallowconn AND NOT datistemplate)
)"""

#: Tables by what the statistics say of them. Estimated bloat: pages in use beyond those that the rows need by their
#: average width, with the header of a row (23 bytes and its pointer of 4, aligned) and the page's.
TABLES = """
WITH width AS (
  SELECT starelid, sum(stawidth * (1 - stanullfrac)) AS bytes FROM pg_statistic WHERE NOT stainherit GROUP BY 1
), tables AS (
  SELECT s.relid, format('%I.%I', s.schemaname, s.relname) AS name, s.n_dead_tup AS dead, s.n_live_tup AS live,
         s.n_mod_since_analyze AS modified, age(c.relfrozenxid) AS age,
         c.relpages::bigint * current_setting('block_size')::bigint AS bytes,
         CASE WHEN w.bytes IS NULL OR c.reltuples < 0 THEN NULL ELSE
           ceil(c.reltuples * (28 + w.bytes) / (current_setting('block_size')::int - 24)) * current_setting('block_size')::bigint END AS needed
  FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid LEFT JOIN width w ON w.starelid = s.relid
  WHERE c.relpersistence <> 't'
)
SELECT json_build_object(
  'tables', (SELECT coalesce(json_agg(json_build_object('name', name, 'dead', dead, 'live', live, 'modified', modified,
      'age', age, 'bytes', bytes, 'bloat', greatest(0, bytes - needed)) ORDER BY name), '[]'::json) FROM tables),
  'unused', (SELECT coalesce(json_agg(json_build_object('name', format('%I.%I', s.schemaname, s.indexrelname),
      'table', format('%I.%I', s.schemaname, s.relname), 'bytes', pg_relation_size(s.indexrelid)) ORDER BY s.indexrelname), '[]'::json)
      FROM pg_stat_user_indexes s JOIN pg_index i USING (indexrelid)
      WHERE s.idx_scan = 0 AND NOT i.indisunique AND NOT i.indisexclusion AND i.indisvalid),
  'counted', (SELECT extract(epoch FROM now() - coalesce(stats_reset, pg_postmaster_start_time())) FROM pg_stat_database
      WHERE datname = current_database()),
  'freeze', current_setting('autovacuum_freeze_max_age')::bigint
)"""


@area
class PostgreSQL(Area):
    """One server. A standby is only looked at: it follows the primary."""

    name = "postgresql"

    def plan(self) -> list[Item]:
        """Tables that their statistics ask to vacuum or analyze."""
        if not Path(f"{SOCKETS}/.s.PGSQL.{self.options['port']}").exists() or not Path(PSQL).exists():
            return []
        server = json.loads(self._ask("postgres", SERVER))
        server["databases"] = [self._look(database) for database in server["databases"]]
        self.seen = server
        server["busy"] = self.busy(server)
        if server["standby"]:
            return []
        return [item for database in server["databases"] for item in self._items(database)]

    def apply(self, items: list[Item]) -> None:
        """Vacuum or analyze table by table. Neither locks readers or writers out."""
        reason = self.busy(json.loads(self._ask("postgres", SERVER)))
        if reason:
            raise MaintenanceError(f"PostgreSQL is left alone, because {reason}: wait for that, then run again")
        for item in items:
            database, _space, rest = item.subject.partition(": ")
            self._ask(
                database,
                f"SET lock_timeout = '{self.options['lock_timeout']}ms'; SET vacuum_cost_delay = '{self.options['cost_delay']}ms';\n{rest};",
                read_only=False,
            )

    def busy(self, server: dict[str, Any]) -> str:
        """Why the server should be left alone now; empty where it need not be."""
        if server["lag"] > self.options["lag"]:
            return f"a standby is {server['lag'] // 2**20} MiB behind"
        if server["transaction"] > self.options["transaction_age"]:
            return f"a transaction has been open for {server['transaction']:.0f} s"
        return ""

    def _look(self, database: dict[str, Any]) -> dict[str, Any]:
        return {**database, **json.loads(self._ask(database["name"], TABLES))}

    def _items(self, database: dict[str, Any]) -> list[Item]:
        items = []
        for table in database["tables"]:
            command, why = self._wanted(table, database["freeze"])
            if command:
                items.append(Item(self.name, f"{database['name']}: {command} {table['name']}", 0, why))
        return items

    def _wanted(self, table: dict[str, Any], freeze: float) -> tuple[str, str]:
        """What the table's statistics ask for, and which of them."""
        if table["age"] > self.options["freeze_fraction"] * freeze:
            return "VACUUM (FREEZE, ANALYZE)", f"oldest transaction id is {table['age']:,} transactions old"
        rows = table["live"] + table["dead"]
        enough = max(self.options["rows"], self.options["fraction"] * rows)
        if table["dead"] >= enough:
            return "VACUUM (ANALYZE)", f"{table['dead']:,} dead of {rows:,} rows"
        if table["modified"] >= enough:
            return "ANALYZE", f"{table['modified']:,} rows changed since the last analyze"
        return "", ""

    def _ask(self, database: str, sql: str, read_only: bool = True) -> str:
        options = (
            "-c default_transaction_read_only=on -c statement_timeout=60s" if read_only else "-c statement_timeout=0"
        )
        command = [
            PSQL,
            "-XAtq",
            "--no-password",
            "--set=ON_ERROR_STOP=1",
            f"--port={self.options['port']}",
            f"--dbname={database}",
        ]
        user = self.options["user"]
        if user and os.geteuid() == 0:
            command = ["runuser", "-u", user, "--", *command]
        environment = {"PGAPPNAME": "ops-runbook-maintenance", "PGCONNECT_TIMEOUT": "10", "PGOPTIONS": options}
        try:
            return run(command, stdin=sql, env=environment)
        except MaintenanceError as error:
            raise MaintenanceError(f"PostgreSQL, database {database}: {error}") from error
