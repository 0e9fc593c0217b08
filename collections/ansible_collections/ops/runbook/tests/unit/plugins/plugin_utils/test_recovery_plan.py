# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What can be restored is found in what pgBackRest prints, and what cannot is refused with what can."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.ops.runbook.plugins.plugin_utils.recovery_plan import Speed, Wish, estimate, rows
from ansible_collections.ops.runbook.plugins.plugin_utils.recovery_range import (
    RangeError,
    Repository,
    moment,
    moment_text,
    repository,
)

#: 2026-11-23 21:00:00 UTC.
NINE = 1795467600
HASH = "f32099e671437b5efce14215e7705fb7d7afdff8"


def backup(label: str, segments: tuple[str, str], ended: int, **more: Any) -> dict[str, Any]:
    return {
        "label": label,
        "type": "full",
        "archive": {"start": segments[0], "stop": segments[1]},
        "timestamp": {"start": ended - 5, "stop": ended},
        "info": {"size": 600_000_000, "repository": {"size": 100_000_000}},
        "database": {"id": 1, "repo-key": 1},
        "prior": None,
        "error": False,
        **more,
    }


def segment(number: int, timeline: int = 1) -> str:
    return f"{timeline:08X}{number // 256:08X}{number % 256:08X}"


def listing(segments: dict[str, float]) -> dict[str, Any]:
    return {f"{name[:16]}/{name}-{HASH}.zst": {"type": "file", "size": 1, "time": at} for name, at in segments.items()}


def info(*backups: dict[str, Any], name: str = "evidence", code: int = 0) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "status": {"code": code, "message": "ok" if code == 0 else "missing stanza path"},
            "db": [{"id": 1, "system-id": 7, "version": "15"}],
            "backup": list(backups),
        }
    ]


@pytest.fixture
def store() -> Repository:
    """Two backups, at 21:00 and 22:00, and a segment every ten minutes until 23:00."""
    archived = {segment(250 + number): NINE + 600.0 * number for number in range(13)}
    backups = [
        backup("20261123-210000F", (segment(250), segment(250)), NINE),
        backup("20261123-220000F", (segment(256), segment(256)), NINE + 3600),
    ]
    return repository(info(*backups), "evidence", listing(archived))


def without(store: Repository, number: int) -> Repository:
    return Repository(store.backups, {name: at for name, at in store.archived.items() if name != segment(number)})


def test_one_range_without_a_gap(store: Repository) -> None:
    assert store.ranges(1) == [(NINE + 1, NINE + 7200)]
    assert store.describe() == "Possible: from 2026-11-23 21:00:01+00:00 to 2026-11-23 23:00:00+00:00 on timeline 1"


def test_segments_go_on_beyond_256(store: Repository) -> None:
    assert segment(256).endswith("0000000100000000")
    assert len(next(store.spans(1)).segments) == 13


def test_a_gap_makes_two_ranges_and_names_the_segment(store: Repository) -> None:
    damaged = without(store, 253)
    assert damaged.ranges(1) == [(NINE + 1, NINE + 1200), (NINE + 3601, NINE + 7200)]
    with pytest.raises(
        RangeError, match=f"gap of the write-ahead log: segment {segment(253)} is missing.*Possible: from"
    ):
        estimate(damaged, Wish(to="2026-11-23 21:45:00"), now=NINE + 8000)


def test_a_backup_without_its_own_segments_is_none(store: Repository) -> None:
    assert without(store, 256).ranges(1) == [(NINE + 1, NINE + 3000)]


def test_the_newest_backup_before_the_time_is_taken(store: Repository) -> None:
    found = estimate(store, Wish(to="2026-11-23 22:25:00+00:00"), now=NINE + 7260)
    assert (found.backup, found.target_type, found.target) == ("20261123-220000F", "time", "2026-11-23 22:25:00+00:00")
    assert found.segments == 4
    assert found.lost_seconds == 7260 - 85 * 60
    assert found.lost_segments == 3


def test_latest_loses_nothing_where_the_primary_lives(store: Repository) -> None:
    dead = estimate(store, Wish(to="latest"), now=NINE + 7300)
    live = estimate(store, Wish(to="latest"), now=NINE + 7300, live=1)
    assert (dead.lost_seconds, live.lost_seconds) == (100, 0)
    assert dead.target_type == "default"


def test_a_live_primary_reaches_until_now(store: Repository) -> None:
    wish = Wish(to=moment_text(NINE + 7250))
    assert estimate(store, wish, now=NINE + 7300, live=1).target_type == "time"
    with pytest.raises(RangeError, match="the archive ends before it"):
        estimate(store, wish, now=NINE + 7300)


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (Wish(to="2026-11-24 00:00:00"), "is in the future: it is 2026-11-23 23:01:00"),
        (Wish(to="2026-11-23 20:59:59"), "is before the end of the oldest backup, 2026-11-23 21:00:01"),
        (Wish(to="2026-11-23 21:00:00"), "is before the end of the oldest backup"),
        (Wish(to="noon"), "'noon' is no time; write it as in"),
        (Wish(to="latest", backup="x"), "there is no backup 'x', only 20261123-210000F, 20261123-220000F"),
        (Wish(to="latest", timeline=9), "there is no timeline 9, only 1"),
    ],
)
def test_refusals(store: Repository, wish: Wish, words: str) -> None:
    with pytest.raises(RangeError, match=words):
        estimate(store, wish, now=NINE + 7260)


def test_a_restore_point_needs_a_backup_before_it(store: Repository) -> None:
    found = estimate(store, Wish(point="noon"), now=NINE + 7260, point="1/2000028")
    assert (found.backup, found.target_type, found.target) == ("20261123-220000F", "lsn", "1/2000028")
    assert found.moment == NINE + 600 * 7
    with pytest.raises(RangeError, match="no backup reaches the restore point"):
        estimate(store, Wish(point="noon"), now=NINE + 7260, point="0/A000028")


def test_timelines_are_followed_through_their_forks() -> None:
    """Timeline 2 left timeline 1 within segment 12; what timeline 1 wrote after it is not on the way to timeline 2."""
    archived = {segment(number): NINE + 60.0 * number for number in range(10, 16)}
    archived |= {segment(number, 2): NINE + 1000 + 60.0 * number for number in range(12, 14)}
    backups = [
        backup("A", (segment(10), segment(10)), NINE + 600),
        backup("B", (segment(14), segment(14)), NINE + 840),
    ]
    histories = {"00000002.history": "1\t0/C000100\tno recovery target specified\n"}
    store = repository(info(*backups), "evidence", listing(archived), histories)
    (span,) = store.spans(2)
    assert span.segments == (segment(10), segment(11), segment(12, 2), segment(13, 2))
    assert [span.backup.label for span in store.spans(1)] == ["A", "B"]
    assert estimate(store, Wish(to="latest"), now=NINE + 9000).timeline == 2
    assert estimate(store, Wish(to="latest", timeline=1), now=NINE + 9000).backup == "B"


def test_damaged_backups_are_left_out() -> None:
    archived = {segment(10): NINE + 0.0, segment(11): NINE + 100.0}
    backups = [
        backup("A", (segment(10), segment(10)), NINE),
        backup("B", (segment(11), segment(11)), NINE + 90, error=True),
    ]
    store = repository(info(*backups), "evidence", listing(archived))
    assert estimate(store, Wish(to="latest"), now=NINE + 200).backup == "A"


def test_unknown_stanzas_are_named() -> None:
    with pytest.raises(RangeError, match=r"stanza 'other' cannot be read; the store has evidence"):
        repository(info(), "other", {})
    with pytest.raises(RangeError, match="missing stanza path"):
        repository(info(code=1), "evidence", {})
    with pytest.raises(RangeError, match="has no backup yet"):
        repository(info(), "evidence", {})


def test_the_estimate_uses_what_a_drill_measured(store: Repository) -> None:
    wish = Wish(to="latest")
    slow = estimate(store, wish, now=NINE + 7300, speed=Speed(1e6, 1.0, measured=True))
    assert slow.seconds > 600
    assert ["expected duration", f"{slow.seconds:.0f} s (as the last drill measured)"] in rows(slow.to_dict())
    assert "not measured yet" in str(rows(estimate(store, wish, now=NINE + 7300).to_dict()))


def test_times_are_utc_unless_they_say_otherwise() -> None:
    assert moment("2026-11-23 21:00") == moment("2026-11-23T22:00:00+01:00") == NINE
    assert moment_text(NINE + 0.25) == "2026-11-23 21:00:00.250+00:00"
