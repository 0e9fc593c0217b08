"""When a change may begin: windows, freezes and the two days a year on which clocks are turned."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from ansible_collections.ops.runbook.plugins.plugin_utils.change_window import Verdict, judge
from ansible_collections.ops.runbook.plugins.plugin_utils.change_window_entries import read

EVENING = {"name": "evening", "days": ["tue", "thu"], "start": "20:00", "end": "23:00"}
NIGHT = {"name": "night", "days": ["sat"], "start": "22:00", "end": "02:00 next day"}
#: Clocks are turned inside of it: at 02:00 to 03:00 on 2026-03-29, at 03:00 to 02:00 on 2026-10-25.
TURN = {"name": "turn", "days": ["sun"], "start": "02:30", "end": "03:30", "timezone": "Europe/Berlin"}
ALWAYS = {"name": "always", "days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "start": "00:00", "end": "24:00"}
FREEZE = {"name": "year end", "from": "2026-12-18", "until": "2027-01-04", "because": "customers close their year"}


def at(windows: Any, now: str, *, freezes: Any = (), minutes: float = 20) -> Verdict:
    """The verdict at a moment in UTC."""
    opened, wrong = read("windows", list(windows), "UTC")
    frozen, more = read("freezes", list(freezes), "UTC")
    assert wrong + more == []
    return judge(opened, frozen, datetime.fromisoformat(now).replace(tzinfo=UTC), timedelta(minutes=minutes))


OPEN = {
    "at the first minute": ([EVENING], "2026-11-24 20:00"),
    "when exactly the expected time is left": ([EVENING], "2026-11-24 22:40"),
    "before midnight": ([NIGHT], "2026-11-28 23:50"),
    "after midnight of a window of the day before": ([NIGHT], "2026-11-29 01:00"),
    "over the midnight of two windows that touch": ([ALWAYS], "2026-11-24 23:55"),
    "over the end of a window into another": (
        [EVENING, {"name": "late", "days": ["tue"], "start": "23:00", "end": "24:00"}],
        "2026-11-24 22:55",
    ),
    "in a single window": (
        [{"name": "move", "from": "2026-12-12 06:00", "until": "2026-12-12 18:00"}],
        "2026-12-12 12:00",
    ),
    "on the last day of a window of days": (
        [{"name": "move", "from": "2026-12-12", "until": "2026-12-13"}],
        "2026-12-13 23:00",
    ),
    "in a window with an offset": (
        [{"name": "move", "from": "2026-12-12 06:00+05:30", "until": "2026-12-12 07:00+05:30"}],
        "2026-12-12 00:35",
    ),
    "in a zone whose day is another": (
        [{"name": "early", "days": ["wed"], "start": "05:00", "end": "07:00", "timezone": "Asia/Tokyo"}],
        "2026-11-24 20:30",
    ),
    "in spring, once the clock shows it": ([TURN], "2026-03-29 01:00"),
    "in autumn, the first time": ([TURN], "2026-10-25 00:35"),
    "in autumn, the second time": ([TURN], "2026-10-25 01:45"),
    "in autumn, over the hour that comes twice": (
        [{"name": "long", "days": ["sun"], "start": "01:00", "end": "04:00", "timezone": "Europe/Berlin"}],
        "2026-10-25 00:50",
    ),
    "in the minute after a freeze": ([ALWAYS], "2027-01-05 00:00"),
}


@pytest.mark.parametrize("case", OPEN)
def test_may_begin(case: str) -> None:
    windows, now = OPEN[case]
    assert at(windows, now, freezes=[FREEZE]).reason == ""


SHUT = {
    "on another day": ([EVENING], "2026-11-25 21:00", "no change window is open", "Thu 2026-11-26 20:00 UTC"),
    "a minute too late": (
        [EVENING],
        "2026-11-24 22:41",
        "closes too early: at Tue 2026-11-24 23:00 UTC, in 19 min",
        "Thu 2026-11-26",
    ),
    "at the last minute": ([EVENING], "2026-11-24 23:00", "no change window is open", "Thu 2026-11-26 20:00 UTC"),
    "after a window over midnight": (
        [NIGHT],
        "2026-11-29 02:00",
        "no change window is open",
        "Sat 2026-12-05 22:00 UTC",
    ),
    "on the morning of its day": ([NIGHT], "2026-11-28 01:00", "no change window is open", "Sat 2026-11-28 22:00 UTC"),
    "in a freeze": (
        [ALWAYS],
        "2026-12-24 12:00",
        "changes are frozen until Tue 2027-01-05 00:00 UTC: year end (2026-12-18 00:00 to 2027-01-05 00:00 UTC), "
        "because customers close their year",
        "Tue 2027-01-05 00:00 UTC",
    ),
    "shortly before a freeze": ([ALWAYS], "2026-12-17 23:50", "the freeze year end", "Tue 2027-01-05 00:00 UTC"),
    "in spring, in the hour that is left out": (
        [TURN],
        "2026-03-29 00:59",
        "no change window is open",
        "Sun 2026-03-29 03:00 Europe/Berlin (01:00 UTC)",
    ),
    "in spring, when the day's window is half as long": (
        [TURN],
        "2026-03-29 01:11",
        "at Sun 2026-03-29 03:30 Europe/Berlin (01:30 UTC), in 19 min",
        "Sun 2026-04-05 02:30 Europe/Berlin (00:30 UTC)",
    ),
    "in autumn, between the two": (
        [TURN],
        "2026-10-25 01:10",
        "no change window is open",
        "02:30 Europe/Berlin (01:30 UTC)",
    ),
    "in autumn, before the clock is turned back": ([TURN], "2026-10-25 00:50", "closes too early", "(01:30 UTC)"),
    "without any window": ([], "2026-11-24 20:00", "none is defined", "no window of 20 min opens within 400 days"),
    "after the only window": (
        [{"name": "move", "from": "2026-01-01", "until": "2026-01-02"}],
        "2026-11-24 20:00",
        "no change window is open. Windows: move (2026-01-01 00:00 to 2026-01-03 00:00 UTC)",
        "no window of 20 min opens",
    ),
}


@pytest.mark.parametrize("case", SHUT)
def test_may_not_begin(case: str) -> None:
    windows, now, reason, opens = SHUT[case]
    verdict = at(windows, now, freezes=[FREEZE])
    assert reason in verdict.reason
    assert opens in verdict.opens


def test_next_window_is_long_enough() -> None:
    short = {"name": "short", "days": ["wed"], "start": "10:00", "end": "10:30"}
    assert "Thu 2026-11-26 20:00" in at([EVENING, short], "2026-11-25 08:00", minutes=45).opens


def test_next_window_is_not_frozen() -> None:
    assert (
        "Tue 2027-01-05 20:00 UTC: evening (Tue, Thu 20:00-23:00 UTC)"
        in at([EVENING], "2026-12-20 10:00", freezes=[FREEZE]).opens
    )


def test_freeze_wins_inside_of_a_window() -> None:
    lunch = {"name": "demonstration", "from": "2026-11-24 21:00", "until": "2026-11-24 21:30"}
    assert at([EVENING], "2026-11-24 20:40", freezes=[lunch]).reason == ""
    assert "the freeze demonstration" in at([EVENING], "2026-11-24 20:41", freezes=[lunch]).reason
    assert "frozen until Tue 2026-11-24 21:30" in at([EVENING], "2026-11-24 21:29", freezes=[lunch]).reason
    assert at([EVENING], "2026-11-24 21:30", freezes=[lunch]).reason == ""


def test_freeze_may_be_weekly() -> None:
    friday = {
        "name": "Fridays",
        "days": ["fri"],
        "start": "00:00",
        "end": "24:00",
        "because": "nobody likes weekends on call",
    }
    assert "nobody likes weekends" in at([ALWAYS], "2026-11-27 12:00", freezes=[friday]).reason


@pytest.mark.parametrize(
    "zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Tokyo", "Africa/Casablanca"]
)
def test_open_exactly_while_the_clock_on_the_wall_says_so(zone: str) -> None:
    """Every ten minutes of a year, in zones that turn their clocks by an hour, by half an hour, or not at all."""
    entry = {"name": "night", "days": ["sun"], "start": "01:40", "end": "02:50", "timezone": zone}
    [window], _errors = read("windows", [entry], "UTC")
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    pieces = list(window.intervals(begin, begin + timedelta(days=366)))
    for number in range(365 * 144):
        now = begin + timedelta(minutes=10 * number)
        local = now.astimezone(ZoneInfo(zone))
        expected = local.weekday() == 6 and "01:40" <= f"{local:%H:%M}" < "02:50"
        if local.weekday() == 6 or number % 97 == 0:
            assert any(piece.start <= now < piece.end for piece in pieces) == expected, local
