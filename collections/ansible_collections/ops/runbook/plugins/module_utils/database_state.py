# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the PostgreSQL servers of a host do now: their role, how far replication is behind, how old transactions are.

Runs on managed hosts: Python 3.9, the standard library alone. An inspection also sends it through a pipe, so it imports
nothing of this collection.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Mapping
from typing import Any

_QUERY = """
SELECT json_build_object(
  'role', CASE WHEN pg_is_in_recovery() THEN 'standby' ELSE 'primary' END,
  'standbys', (SELECT count(*) FROM pg_stat_replication),
  'lag_bytes', CASE WHEN pg_is_in_recovery()
    THEN coalesce(pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()), 0)
    ELSE greatest(
      (SELECT max(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)) FROM pg_stat_replication),
      (SELECT max(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn))
         FROM pg_replication_slots WHERE slot_type = 'physical' AND NOT active), 0) END,
  'transaction_seconds', (SELECT coalesce(max(extract(epoch FROM now() - xact_start)), 0)
     FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()))
"""


def databases() -> list[dict[str, Any]]:
    """The state of every server of this host that runs; none where there is no PostgreSQL."""
    try:
        # pylint: disable-next=ansible-bad-function
        listing = subprocess.run(["pg_lsclusters", "--no-header"], capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        return []
    return [_state(line.split()) for line in listing.splitlines() if "online" in line]


def _state(fields: list[str]) -> dict[str, Any]:
    version, cluster, port, _status, owner = fields[:5]
    psql = ["psql", "--no-psqlrc", "-qAt", f"--port={port}", "--dbname=postgres", "--command", _QUERY]
    # pylint: disable-next=ansible-bad-function
    done = subprocess.run(
        ["runuser", "-u", owner, "--", *psql], cwd="/", capture_output=True, text=True, timeout=20, check=False
    )
    state = {"cluster": f"{version}/{cluster}"}
    if done.returncode != 0:
        return {**state, "error": done.stderr.strip()[:500]}
    return {**state, **json.loads(done.stdout)}


def busy(states: Iterable[Mapping[str, Any]], lag_bytes: float, transaction_seconds: float) -> list[str]:
    """Why a server must not be restarted now."""
    reasons = []
    for state in states:
        name = f"PostgreSQL {state['cluster']}"
        if "error" in state:
            reasons.append(f"{name} cannot be asked: {state['error']}")
            continue
        if state["lag_bytes"] > lag_bytes:
            lag = state["lag_bytes"] / 2**20
            reasons.append(f"{name}: replication is {lag:.1f} MiB behind, at most {lag_bytes / 2**20:g} MiB is allowed")
        if state["transaction_seconds"] > transaction_seconds:
            age = state["transaction_seconds"]
            reasons.append(f"{name}: a transaction is {age:.0f} s old, at most {transaction_seconds:g} s is allowed")
    return reasons
