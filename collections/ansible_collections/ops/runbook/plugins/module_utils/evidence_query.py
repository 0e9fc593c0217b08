# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Evidence that is in a database: one canonical JSON document a row. Runs on the database's host."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator, Sequence
from typing import Any

from ansible_collections.ops.runbook.plugins.module_utils.evidence_files import PIECE, StoreError

#: One JSON value a line, whatever the query's columns are.
_ROWS = "SELECT row_to_json(found) FROM ({query}) AS found"


def describe_query(database: str, query: str, account: str) -> dict[str, Any]:
    """SHA-256 and size of each document; nothing on a standby, which gives what its primary gives."""
    if _psql(database, account, "SELECT pg_is_in_recovery()").strip() == "t":
        return {"standby": True, "items": {}}
    items = {}
    for name, content in _documents(database, query, account):
        if name in items:
            raise StoreError(f"the query gives {name!r} twice")
        items[name] = [hashlib.sha256(content).hexdigest(), len(content)]
    return {"items": items, "failures": {}}


def send_documents(
    database: str, query: str, account: str, names: Sequence[str], offset: int = 0
) -> Iterator[tuple[str, int, bytes]]:
    """The documents of these names, that of the first one from the offset on."""
    found = dict(_documents(database, query, account))
    for name in names:
        if name not in found:
            raise StoreError(f"{name} is gone from its source since it was looked at; run again")
        for start in range(offset, max(len(found[name]), 1), PIECE):
            yield name, start, found[name][start : start + PIECE]
        offset = 0


def _documents(database: str, query: str, account: str) -> Iterator[tuple[str, bytes]]:
    for line in _psql(database, account, _ROWS.format(query=query)).splitlines():
        row = json.loads(line)
        if not isinstance(row.get("name"), str) or not row["name"]:
            raise StoreError("the query has to give a column name, a text that is unique and not empty")
        text = json.dumps(row, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        yield f"{row['name']}.json", text.encode("utf-8") + b"\n"


def _psql(database: str, account: str, query: str) -> str:
    # A program that comes through the pipe has no module whose run_command could be called.
    done = subprocess.run(  # pylint: disable=ansible-bad-function
        ["runuser", "-u", account, "--", "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", query],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        cwd="/",
    )
    if done.returncode:
        raise StoreError(f"psql: {done.stderr.decode('utf-8', 'replace').strip()[-500:]}")
    return done.stdout.decode("utf-8")
