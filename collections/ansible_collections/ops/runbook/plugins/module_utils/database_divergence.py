# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a former primary has written that the new one never received: found in its log, saved before it is discarded."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Iterator, List, Set

from ansible_collections.ops.runbook.plugins.module_utils.database_cluster import (
    Cluster,
    ClusterError,
    call,
    checked,
    lsn,
)

#: Bytes of one segment of the log, as the packages build it.
SEGMENT = 16 * 1024 * 1024
_RECORD = re.compile(
    r"rmgr: (?P<manager>\w+)\s.* tx:\s+(?P<xid>\d+), lsn: (?P<lsn>\S+), .*desc: (?P<what>\w+)(?P<rest>.*)$"
)
_COMMIT_TIME = re.compile(r"^(?:_PREPARED)? (?:\d+: )?(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)? [^\s;]+)")
_SUBTRANSACTIONS = re.compile(r"subxacts: (?P<xids>[\d ]+)")
_RELATION = re.compile(r"rel (?P<space>\d+)/(?P<database>\d+)/(?P<file>\d+)")
#: What the log calls changes of rows.
_CHANGES = {
    "INSERT": "inserted",
    "MULTI_INSERT": "inserted",
    "UPDATE": "updated",
    "HOT_UPDATE": "updated",
    "DELETE": "deleted",
}
_TABLES = """
SELECT json_agg(json_build_object('name', c.oid::regclass::text, 'file', pg_relation_filenode(c.oid)::text))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
"""


@dataclass
class Divergence:
    """What was committed after the fork."""

    #: Transactions that committed after the fork, with those inside them.
    xids: Set[str] = field(default_factory=set)
    commits: int = 0
    #: Time of the first and the last of them, and of the last commit before the fork that was seen; as text.
    first: str = ""
    last: str = ""
    shared: str = ""
    #: (database, file) → kind of change → number, of committed transactions.
    changes: Dict[str, Dict[str, int]] = field(default_factory=dict)


def timelines(history: str) -> List[int]:
    """The timelines that a history names: those before its own."""
    rows = [line.split() for line in history.splitlines()]
    return [int(row[0]) for row in rows if row and row[0].isdigit()]


def fork(history: str, timeline: int) -> str:
    """Where the timeline was left, from the history of a later one; ClusterError where it never was on it."""
    for line in history.splitlines():
        fields = line.split()
        if len(fields) > 1 and fields[0] == str(timeline):
            return fields[1]
    raise ClusterError(
        "timeline {0} is not in the history: this host and the primary have none in common".format(timeline)
    )


def read(cluster: Cluster, timeline: int, since: str) -> Divergence:
    """Read the log of a stopped cluster beyond the fork."""
    start = lsn(since) // SEGMENT * SEGMENT
    begin = "{0:X}/{1:X}".format(start >> 32, start & 0xFFFFFFFF)
    words = [str(cluster.programs / "pg_waldump"), "--path", str(cluster.data / "pg_wal")]
    done = call(cluster.as_owner(*words, "--timeline", str(timeline), "--start", begin), 600.0)
    # It ends with an error where the log ends: that is how an end looks like.
    if "could not find file" in done.stderr and not done.stdout:
        return Divergence()
    return parse(done.stdout.splitlines(), since)


def parse(lines: List[str], since: str) -> Divergence:
    """What pg_waldump says, from records at the fork on."""
    found, edge = Divergence(), lsn(since)
    rows: List[Any] = []
    for line in lines:
        match = _RECORD.search(line)
        if not match:
            continue
        beyond = lsn(match.group("lsn")) >= edge
        if match.group("manager") == "Transaction" and match.group("what").startswith("COMMIT"):
            _commit(found, match, beyond)
        elif beyond and match.group("manager").startswith("Heap") and match.group("what").rstrip("+") in _CHANGES:
            relation = _RELATION.search(match.group("rest"))
            if relation:
                place = "{0}/{1}".format(relation.group("database"), relation.group("file"))
                rows.append((match.group("xid"), place, _CHANGES[match.group("what").rstrip("+")]))
    for xid, place, kind in rows:
        if xid in found.xids:
            kinds = found.changes.setdefault(place, {})
            kinds[kind] = kinds.get(kind, 0) + 1
    return found


def _commit(found: Divergence, match: Any, beyond: bool) -> None:
    moment = _COMMIT_TIME.match(match.group("rest"))
    time = moment.group("time") if moment else ""
    if not beyond:
        found.shared = time
        return
    inner = _SUBTRANSACTIONS.search(match.group("rest"))
    found.xids.add(match.group("xid"))
    found.xids.update(inner.group("xids").split() if inner else ())
    found.commits += 1
    found.first = found.first or time
    found.last = time


def save(cluster: Cluster, divergence: Divergence, folder: Path) -> List[Dict[str, Any]]:
    """Write the rows that only this host has into files; what each table has lost. Nobody else hears the server."""
    tables = []
    with Alone(cluster) as server:
        databases = server.query("SELECT json_object_agg(oid, datname) FROM pg_database WHERE datallowconn", "postgres")
        names: Dict[str, str] = json.loads(databases)
        touched: Dict[str, Dict[str, Dict[str, int]]] = {}
        for place, kinds in divergence.changes.items():
            database, file = place.split("/")
            touched.setdefault(database, {})[file] = kinds
        for database, files in touched.items():
            if database in names:
                tables += list(_tables(server, names[database], files, divergence, folder))
    return tables


def _tables(
    server: "Alone", database: str, files: Dict[str, Dict[str, int]], divergence: Divergence, folder: Path
) -> Iterator[Dict[str, Any]]:
    xids = ",".join(sorted(divergence.xids))
    for table in json.loads(server.query(_TABLES, database) or "[]") or []:
        if table["file"] not in files:
            continue
        # The server has quoted the name, and numbers are numbers.
        query = "SELECT to_jsonb(t) FROM {0} t WHERE t.xmin::text = ANY ('{{{1}}}')"
        rows = server.query(query.format(table["name"], xids), database)
        lines = [line for line in rows.splitlines() if line]
        path = folder / "{0}.{1}.jsonl".format(database, re.sub(r"[^\w.-]", "_", table["name"]))
        path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        yield {
            "database": database,
            "table": table["name"],
            "saved": len(lines),
            "file": str(path),
            **{kind: files[table["file"]].get(kind, 0) for kind in ("inserted", "updated", "deleted")},
        }


class Alone:
    """The cluster's server, started so that nobody but this process can talk to it, and stopped cleanly at the end.

    It also ends the recovery of a server that has crashed, which a rewind demands.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._sockets = ""

    def __enter__(self) -> "Alone":
        cluster = self._cluster
        self._sockets = tempfile.mkdtemp(prefix="alone-")
        shutil.chown(self._sockets, cluster.owner)
        access = Path(self._sockets) / "access.conf"
        access.write_text("local all all peer\n", encoding="utf-8")
        shutil.chown(str(access), cluster.owner)
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": self._sockets,
            "hba_file": str(access),
            "archive_mode": "off",
            "autovacuum": "off",
            "default_transaction_read_only": "on",
            "logging_collector": "off",
        }
        options = " ".join("-c {0}='{1}'".format(name, value) for name, value in settings.items())
        words = [str(cluster.programs / "pg_ctl"), "start", "-w", "-t", "600", "-D", str(cluster.configuration)]
        log = str(Path(self._sockets) / "log")
        try:
            checked(cluster.as_owner(*words, "-s", "-l", log, "-o", options), 620.0)
        except ClusterError as error:
            said = Path(log).read_text(encoding="utf-8", errors="replace")[-1500:] if Path(log).exists() else ""
            shutil.rmtree(self._sockets)
            raise ClusterError("{0}\n{1}".format(error, said)) from error
        return self

    def __exit__(self, *_problem: Any) -> None:
        cluster = self._cluster
        words = [str(cluster.programs / "pg_ctl"), "stop", "-w", "-t", "300", "-m", "fast", "-D", str(cluster.data)]
        checked(cluster.as_owner(*words, "-s"), 320.0)
        shutil.rmtree(self._sockets)

    def query(self, sql: str, database: str) -> str:
        """The answer to a query."""
        psql = ["psql", "--no-psqlrc", "-qAt", "--host", self._sockets, "--port", self._cluster.port]
        words = [*psql, "--set=ON_ERROR_STOP=1", "--dbname", database, "--command", sql]
        return checked(self._cluster.as_owner(*words), 600.0).strip()
