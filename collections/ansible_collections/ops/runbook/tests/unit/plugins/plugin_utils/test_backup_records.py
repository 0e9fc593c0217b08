# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What was altered or removed on the store, with its note there, differs from what run records have seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.ops.runbook.plugins.module_utils.backup_database import contents
from ansible_collections.ops.runbook.plugins.module_utils.ledger import Ledger
from ansible_collections.ops.runbook.plugins.plugin_utils.backup_records import (
    Seen,
    compare,
    judged,
    kept_for,
    last_read_back,
    noted,
    read_back_in_time,
    remembered,
    unsaid,
)

DAY = 86400.0
NOW = 100 * DAY
KEEP = {"full": 35 * DAY, "differential": 14 * DAY}
FULL = Seen(90 * DAY, ("full",), "aa", "run 3f2a of 2026-11-23")
DIFFERENTIAL = Seen(95 * DAY, ("differential",), "bb", "run 3f2a of 2026-11-23")
KNOWN = {"1F": FULL, "1F_2D": DIFFERENTIAL}


def test_same_backups_are_nothing_new() -> None:
    found = compare(KNOWN, KNOWN, KEEP, NOW)
    assert (found.wrong, found.new, found.forgotten, found.same) == ({}, {}, [], 2)
    assert judged("store1", "recorded backups of database", found).status == "ok"
    assert noted("database of store1", found) == {}


def test_newest_that_is_gone_and_one_that_was_altered_are_named() -> None:
    found = compare(KNOWN, {"1F": Seen(90 * DAY, ("full",), "ff")}, KEEP, NOW)
    said = judged("store1", "recorded backups of database", found)
    assert said.status == "critical"
    assert "1F was altered: it is not what run 3f2a of 2026-11-23 has read" in said.title
    assert "1F_2D is gone: run 3f2a of 2026-11-23 has seen it, and it is to be kept until 1970-04-20" in said.title
    assert noted("database of store1", found) == {}, "the altered one must not become what is expected"


@pytest.mark.parametrize(("now", "wrong"), [(109 * DAY - 400, True), (109 * DAY - 200, False), (110 * DAY, False)])
def test_one_that_is_gone_when_its_time_is_over_is_forgotten(now: float, wrong: bool) -> None:
    found = compare({"1F_2D": DIFFERENTIAL}, {}, KEEP, now)
    assert bool(found.wrong) is wrong
    assert found.forgotten == ([] if wrong else ["1F_2D"])


def test_sets_without_an_objective_are_never_let_go() -> None:
    snapshot = Seen(0.0, ("drafts",), "", "run 1 of 2026-11-23")
    assert "it is never to be removed" in compare({"ab12": snapshot}, {}, KEEP, NOW).wrong["ab12"]
    assert kept_for(("drafts", "full"), KEEP) == 35 * DAY


def test_content_is_taken_in_when_it_is_read_for_the_first_time() -> None:
    listed = Seen(90 * DAY, ("full",), "")
    assert compare({"1F": listed}, {"1F": FULL}, KEEP, NOW).new == {"1F": FULL}
    assert compare({"1F": FULL}, {"1F": listed}, KEEP, NOW).new == {}


def test_what_somebody_lets_go_is_seen_anew() -> None:
    altered = Seen(90 * DAY, ("full",), "ff")
    found = compare(KNOWN, {"1F": altered}, KEEP, NOW, ["1F*"])
    assert found.wrong == {}
    assert noted("database of store1", found) == {
        "repository": "database of store1",
        "seen": {"1F": altered.row},
        "forgotten": ["1F", "1F_2D"],
    }


def test_host_that_says_nothing_is_unknown() -> None:
    assert unsaid("store1", "recorded backups of database").status == "unknown"


def test_records_are_added_up(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")

    def record(run: str, *backups: dict[str, Any]) -> None:
        start = {"run_id": run, "procedure": "x", "started": "2026-11-23T03:04:05Z", "process": {}}
        ledger.append("started", run, start)
        ledger.append("finished", run, {**start, "outcome": "succeeded", "backups": list(backups)})

    repository = "database of store1"
    record("one", {"repository": repository, "seen": {"1F": FULL.row, "2F": FULL.row}, "forgotten": []})
    record("two", {"repository": repository, "seen": {"3F": FULL.row}, "forgotten": ["1F"]})
    record("three")
    known = remembered(tmp_path)
    assert {label: seen.source for label, seen in known[repository].items()} == {
        "2F": "run one of 2026-11-23",
        "3F": "run two of 2026-11-23",
    }
    assert known[repository]["2F"].row == FULL.row


def test_newest_run_that_read_files_back_counts(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    rows = [{"host": "app1", "snapshot": "ab12", "sets": ["configuration"], "files": 7}]
    for number, outcome, read in (
        (1, "succeeded", rows),
        (2, "succeeded", [{**rows[0], "files": 0}]),
        (3, "failed", rows),
    ):
        start = {"run_id": str(number), "procedure": "x", "started": f"2026-11-2{number}T00:00:00Z", "process": {}}
        ledger.append("started", str(number), start)
        ledger.append("finished", str(number), {**start, "outcome": outcome, "read_back": read})
    assert last_read_back(tmp_path) == {"configuration": "2026-11-21T00:00:00Z"}


@pytest.mark.parametrize(
    ("last", "status"),
    [
        ("", "unknown"),
        ("1970-04-01T00:00:00Z", "ok"),
        ("1970-03-01T00:00:00Z", "warning"),
        ("1970-01-09T00:00:00Z", "critical"),
    ],
)
def test_files_that_were_not_read_back_in_time(last: str, status: str) -> None:
    assert read_back_in_time("store1", "evidence files", last, 30 * DAY, NOW).status == status


def test_content_is_the_backup_with_its_log_and_nothing_that_changes() -> None:
    first, last, later = (f"00000001000000000000000{number}" for number in (2, 3, 4))
    known = {"backup": [{"label": "1F", "archive": {"start": first, "stop": last}}]}
    log = "archive/evidence/15-1/0000000100000000"
    objects = {
        "backup/evidence/1F/bundle/1": (1, "a"),
        f"{log}/{first}-ab.zst": (1, "b"),
        f"{log}/{last}-cd.zst": (1, "c"),
    }
    changing = {
        "backup/evidence/backup.info": (1, "x"),
        "backup/evidence/backup.history/2026/1F.manifest.zst": (1, "x"),
        f"{log}/{later}-ef.zst": (1, "x"),
        f"{log}/{first}.00000028.backup": (1, "x"),
    }
    whole = contents(known, {**objects, **changing})
    assert whole == contents(known, objects)
    for name in objects:
        assert contents(known, {**objects, name: (1, "other")}) != whole
