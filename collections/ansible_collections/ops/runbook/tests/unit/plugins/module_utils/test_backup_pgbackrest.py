# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.ops.runbook.plugins.module_utils.backup_pgbackrest import explain, gaps, parse_verify

WHOLE = """stanza: evidence
status: ok
  archiveId: 15-1, total WAL checked: 4, total valid WAL: 4
    missing: 0, checksum invalid: 0, size invalid: 0, other: 0
  backup: 20261123-212036F, status: valid, total files checked: 964, total valid files: 964
    missing: 0, checksum invalid: 0, size invalid: 0, other: 0
"""
DAMAGED = """P01   INFO: invalid checksum '20261123-212036F/pg_data/base/4/2757.zst'
P01   INFO: invalid result 15-1/0000000100000000/000000010000000000000002-3782.zst: [29] raised from local-1 protocol
P00   INFO: stanza: evidence
            status: error
              backup: 20261123-212036F, status: invalid, total files checked: 964, total valid files: 963
                checksum invalid: 1
              backup: 20261123-212036F_20261123-212039D, status: in-progress
"""


def test_whole_repository() -> None:
    verdict = parse_verify(WHOLE)
    assert (verdict.invalid, verdict.damaged) == ([], [])


def test_damage_is_named() -> None:
    verdict = parse_verify(DAMAGED)
    assert verdict.invalid == ["20261123-212036F", "20261123-212036F_20261123-212039D"]
    assert verdict.damaged == [
        "invalid checksum: 20261123-212036F/pg_data/base/4/2757.zst",
        "invalid result: 15-1/0000000100000000/000000010000000000000002-3782.zst",
    ]


def test_errors_without_a_name_are_errors() -> None:
    assert parse_verify("stanza: evidence\nstatus: error\n  No usable backup.info file\n").damaged
    assert parse_verify("stanza: evidence\nstatus: error\n").damaged


def segment(number: int, timeline: int = 1) -> str:
    return f"{timeline:08X}{number // 256:08X}{number % 256:08X}"


def test_gaps_are_found_across_the_end_of_a_file_number() -> None:
    names = [segment(number) for number in range(250, 262)]
    assert gaps(names, segment(250)) == []
    assert gaps([name for name in names if name != segment(256)], segment(250)) == [(segment(256), segment(256))]
    assert gaps(names[5:], segment(250)) == [(segment(250), segment(254))]
    assert gaps(names, segment(255)) == []


def test_new_timeline_begins_where_the_old_one_ends() -> None:
    first, second = [segment(n) for n in range(1, 6)], [segment(n, 2) for n in range(5, 9)]
    assert gaps([*first, *second], segment(2)) == []
    assert gaps([*first, *second[2:]], segment(2)) == [(segment(6, 2), segment(6, 2))]


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("ERROR: [050]: unable to acquire lock on file", "busy"),
        ("ERROR: [029]: unable to load info file\nFormatError: key/value found outside of section at line 1", "cipher"),
        ("ERROR: [039]: unable to write: [28] No space left on device", "full"),
        ("ERROR: [095]: certificate verify failed: certificate has expired", "certificate"),
        ("ERROR: [049]: unable to connect to 'store1:8432': [111] Connection refused", "unreachable"),
        ("ERROR: [082]: WAL segment 00 was not archived before the 60000ms timeout", "archive"),
        ("ERROR: [056]: unable to find primary cluster - cannot proceed", "database"),
        ("ERROR: [051]: backup and archive info files exist but do not match the database", "mismatch"),
        ("something else", "failed"),
    ],
)
def test_messages_have_a_cause(said: str, cause: str, tmp_path: Path) -> None:
    error = explain(said, tmp_path, "the backup")
    assert error.cause == cause
    assert "It said" in str(error) or "pgBackRest said" in str(error)
