"""Documents in PostgreSQL."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import DictRow, dict_row
from werkzeug.exceptions import NotFound

SCHEMA = """
CREATE TABLE IF NOT EXISTS evidence (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name        text NOT NULL,
    content     text NOT NULL,
    sha256      text NOT NULL CHECK (length(sha256) = 64),
    submitter   text NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS evidence_received_at ON evidence (received_at DESC);
"""
#: Any number for all who change the schema: they take turns.
SCHEMA_LOCK = 1
#: Seconds for which a request rides out a restart of the database, or a change of the primary, before it fails.
PATIENCE = 15.0
PAUSE = 0.2

Answer = TypeVar("Answer")


class Store:
    """The evidence table. A connection lives as long as one request, so that a failover needs no restart."""

    def __init__(self, database: str) -> None:
        self.database = database

    def connect(self) -> psycopg.Connection[DictRow]:
        """A new connection to whichever server accepts writes; that one is asked first from then on.

        So a server that is switched off, and does not even refuse, costs its time-out once and not with every request.
        """
        connection = psycopg.connect(self.database, row_factory=dict_row)
        hosts = str(conninfo_to_dict(self.database)["host"]).split(",")
        if connection.info.host != hosts[0]:
            hosts.sort(key=lambda host: host != connection.info.host)
            self.database = make_conninfo(self.database, host=",".join(hosts))
        return connection

    def connect_to_read(self) -> psycopg.Connection[DictRow]:
        """A new connection to the server that accepts writes or, while there is none, to any that answers."""
        try:
            return self.connect()
        except psycopg.OperationalError:
            return psycopg.connect(make_conninfo(self.database, target_session_attrs="any"), row_factory=dict_row)

    def patiently(self, work: Callable[[psycopg.Connection[DictRow]], Answer], *, reads: bool = False) -> Answer:
        """Do the work in one transaction; again where the server went away, so it has to bear being done twice."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                with self.connect_to_read() if reads else self.connect() as connection:
                    return work(connection)
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(PAUSE)

    def create_schema(self) -> bool:
        """Create what is missing; whether anything was."""
        with self.connect() as connection:
            connection.execute("SELECT pg_advisory_xact_lock(%s)", [SCHEMA_LOCK])
            found = connection.execute("SELECT to_regclass('evidence_received_at') AS found").fetchone()
            connection.execute(SCHEMA)
        return found is None or found["found"] is None

    def ping(self) -> str:
        """The address of the server that answers."""
        with self.connect() as connection:
            row = connection.execute("SELECT 1").fetchone()
            return f"{connection.info.host}:{connection.info.port}" if row else ""

    def add(self, name: str, content: str, submitter: str) -> dict[str, Any]:
        """Store a document; everything about it but its content."""
        sha256 = hashlib.sha256(content.encode()).hexdigest()
        # Its number is made here: a document whose commit was not confirmed is not stored a second time.
        values = [str(uuid.uuid4()), name, content, sha256, submitter]

        def insert(connection: psycopg.Connection[DictRow]) -> DictRow | None:
            return connection.execute(
                "INSERT INTO evidence (id, name, content, sha256, submitter) VALUES (%s, %s, %s, %s, %s)"
                " ON CONFLICT (id) DO UPDATE SET id = evidence.id RETURNING id, name, sha256, submitter, received_at",
                values,
            ).fetchone()

        return plain(self.patiently(insert))

    def newest(self, limit: int) -> list[dict[str, Any]]:
        """The newest documents, without their content."""
        query = "SELECT id, name, sha256, submitter, received_at FROM evidence ORDER BY received_at DESC LIMIT %s"
        rows = self.patiently(lambda connection: connection.execute(query, [limit]).fetchall(), reads=True)
        return [plain(row) for row in rows]

    def get(self, identity: str) -> dict[str, Any]:
        """One document."""
        query = "SELECT id, name, content, sha256, submitter, received_at FROM evidence WHERE id = %s"
        return plain(self.patiently(lambda connection: connection.execute(query, [identity]).fetchone(), reads=True))


def plain(row: DictRow | None) -> dict[str, Any]:
    """A row as JSON can hold it; 404 for none."""
    if row is None:
        raise NotFound("there is no such evidence")
    return {**row, "id": str(row["id"]), "received_at": row["received_at"].isoformat()}
