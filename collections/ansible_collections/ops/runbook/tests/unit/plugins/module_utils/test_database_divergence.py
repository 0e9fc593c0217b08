# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tests of reading what pg_waldump says."""

from __future__ import annotations

import pytest
from ansible_collections.ops.runbook.plugins.module_utils.database_cluster import ClusterError, lsn
from ansible_collections.ops.runbook.plugins.module_utils.database_divergence import fork, parse

_HEAD = "rmgr: {0:<11} len (rec/tot):     54/    54, tx: {1:>10}, lsn: {2}, prev 0/05000028, desc: "
_TABLE = ", blkref #0: rel 1663/16384/16390 blk 0"


def record(manager: str, xid: int, position: str, what: str) -> str:
    return _HEAD.format(manager, xid, position) + what


LOG = [
    record("Heap", 740, "0/05000060", "INSERT off 1 flags 0x00" + _TABLE),
    record("Transaction", 740, "0/050000A0", "COMMIT 2026-11-23 21:00:00.100000 UTC"),
    record("Heap", 741, "0/05000100", "INSERT off 2 flags 0x00" + _TABLE),
    record("Heap", 743, "0/05000120", "INSERT off 4 flags 0x00" + _TABLE),
    record("Transaction", 741, "0/05000140", "COMMIT 2026-11-23 21:00:01.000000 UTC; subxacts: 743"),
    record("Heap", 742, "0/05000180", "DELETE off 1 flags 0x00 KEYS_UPDATED" + _TABLE),
    record("Transaction", 742, "0/050001C0", "ABORT 2026-11-23 21:00:02.000000 UTC"),
    record("Heap", 744, "0/05000200", "HOT_UPDATE off 2 xmax 744 flags 0x20 ; new off 5 xmax 0" + _TABLE),
    record("Transaction", 744, "0/05000240", "COMMIT 2026-11-23 21:00:03.500000 UTC"),
    record("Heap", 745, "0/05000280", "INSERT+INIT off 1 flags 0x00" + _TABLE),
]


def test_counts_what_was_committed_after_the_fork() -> None:
    found = parse(LOG, "0/50000E0")
    assert found.commits == 2
    assert found.xids == {"741", "743", "744"}
    assert found.changes == {"16384/16390": {"inserted": 2, "updated": 1}}
    assert found.shared == "2026-11-23 21:00:00.100000 UTC"
    assert (found.first, found.last) == ("2026-11-23 21:00:01.000000 UTC", "2026-11-23 21:00:03.500000 UTC")


def test_finds_nothing_before_the_fork() -> None:
    found = parse(LOG, "0/6000000")
    assert (found.commits, found.changes, found.shared) == (0, {}, "2026-11-23 21:00:03.500000 UTC")


def test_the_fork_stands_in_the_history() -> None:
    history = "1\t0/5000150\tno recovery target specified\n\n2\t0/6000000\tno recovery target specified\n"
    assert fork(history, 2) == "0/6000000"
    with pytest.raises(ClusterError, match="timeline 3"):
        fork(history, 3)


def test_positions_are_numbers() -> None:
    assert lsn("1/0") == 2**32
    assert lsn("0/5000150") < lsn("0/50001C0")
