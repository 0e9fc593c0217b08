"""Windows that make no sense: each error names the variable and the entry, and says what to write."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible_collections.ops.runbook.plugins.plugin_utils import change_window_entries
from ansible_collections.ops.runbook.plugins.plugin_utils.change_window_entries import read

WEEKLY: dict[str, Any] = {"name": "night", "days": ["sun"], "start": "02:00", "end": "04:00"}
SINGLE: dict[str, Any] = {"name": "move", "from": "2026-12-12 06:00", "until": "2026-12-12 18:00"}


def without(entry: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if name != key}


WRONG = {
    "end before start": (
        WEEKLY | {"start": "22:00", "end": "02:00"},
        ["ends (02:00) before its start (22:00)", '"02:00 next day"'],
    ),
    "end at start": (WEEKLY | {"end": "02:00"}, ["ends (02:00) at its start (02:00)"]),
    "until before from": (
        SINGLE | {"until": "2026-12-11"},
        ["until 2026-12-11", "before its start (from 2026-12-12 06:00)"],
    ),
    "unknown time zone": (WEEKLY | {"timezone": "Europe/Berln"}, ["timezone 'Europe/Berln'", "'Europe/Berlin'"]),
    "city alone": (WEEKLY | {"timezone": "new york"}, ["timezone 'new york'", "'America/New_York'"]),
    "part of a time zone": (WEEKLY | {"timezone": "Europe"}, ["timezone 'Europe' is unknown"]),
    "path as time zone": (WEEKLY | {"timezone": "../../etc/passwd"}, ["timezone '../../etc/passwd' is unknown"]),
    "unknown day": (
        WEEKLY | {"days": ["sun", "thrusday"]},
        ["days names 'thrusday'", "'thu'", "mon, tue, wed, thu, fri, sat, sun"],
    ),
    "no day": (WEEKLY | {"days": []}, ["days is empty"]),
    "time without quotes": (
        yaml.safe_load("{name: night, days: [sun], start: 20:00, end: 21:00}"),
        ["start is the number 1200", "quotes"],
    ),
    "no time": (WEEKLY | {"start": "eight"}, ["start is 'eight'", '"20:00"']),
    "after midnight": (WEEKLY | {"end": "24:30"}, ["end is '24:30'"]),
    "start at the end of the day": (WEEKLY | {"start": "24:00", "end": "02:00 next day"}, ["start is '24:00'"]),
    "start on the next day": (
        WEEKLY | {"start": "01:00 next day", "end": "02:00 next day"},
        ["start is '01:00 next day'"],
    ),
    "misspelt key": (WEEKLY | {"timzone": "UTC"}, ["'timzone'", "'timezone'"]),
    "half a window": (without(WEEKLY, "end"), ["lacks end", "days, start and end", "from and until"]),
    "no name": (without(WEEKLY, "name"), ["lacks name"]),
    "both kinds": (WEEKLY | SINGLE, ["'days' of a weekly window and 'from' of a single one"]),
    "no date": (SINGLE | {"from": "Christmas"}, ["from is 'Christmas'", '"2026-12-18 20:00"']),
    "last day of the calendar": (SINGLE | {"until": "9999-12-31"}, ["until is '9999-12-31'", "between 2 and 9998"]),
    "last time of the calendar": (
        SINGLE | {"until": "9999-12-31 23:59", "timezone": "America/New_York"},
        ["until is '9999-12-31 23:59'", "between 2 and 9998"],
    ),
    "first time of the calendar": (SINGLE | {"from": "0001-01-01 00:00+14:00"}, ["from is '0001-01-01 00:00+14:00'"]),
    "one offset": (SINGLE | {"from": "2026-12-12 06:00+01:00"}, ["one of from and until has an offset"]),
    "no mapping": ("always", ["'always' is not a mapping"]),
}


@pytest.mark.parametrize("case", WRONG)
def test_error_names_variable_and_entry(case: str) -> None:
    entry, words = WRONG[case]
    found, errors = read("objectives_change_windows", [WEEKLY, entry], "UTC")
    assert len(found) == 1
    assert len(errors) == 1
    name = f" ({entry['name']})" if isinstance(entry, dict) and "name" in entry else ""
    assert errors[0].startswith(f"objectives_change_windows[1]{name}: ")
    assert [word for word in words if word not in errors[0]] == [], errors[0]


def test_no_list() -> None:
    assert read("objectives_freezes", {"name": "x"}, "UTC")[1] == [
        "objectives_freezes is {'name': 'x'}, not a list of entries"
    ]


def test_default_time_zone_is_checked_too() -> None:
    assert "timezone 'Nowhere'" in read("windows", [WEEKLY], "Nowhere")[1][0]


def test_dates_as_yaml_reads_them() -> None:
    entries = yaml.safe_load(
        "[{name: a, from: 2026-12-12, until: 2026-12-12},"
        " {name: b, from: 2026-12-12 06:00:00, until: 2026-12-12 07:00:00}]"
    )
    found, errors = read("windows", entries, "UTC")
    assert errors == []
    assert [str(entry) for entry in found] == [
        "a (2026-12-12 00:00 to 2026-12-13 00:00 UTC)",
        "b (2026-12-12 06:00 to 2026-12-12 07:00 UTC)",
    ]


def test_times_with_an_offset_are_shown_with_it() -> None:
    [entry], _errors = read(
        "windows", [SINGLE | {"from": "2026-12-12 06:00+05:30", "until": "2026-12-12T02:00Z"}], "UTC"
    )
    assert str(entry) == "move (2026-12-12 06:00+05:30 to 2026-12-12 02:00+00:00)"


def test_controller_without_time_zone_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(change_window_entries, "available_timezones", set)
    monkeypatch.setattr(change_window_entries, "ZoneInfo", lambda name: {}[name])
    assert "install its package tzdata" in read("windows", [WEEKLY | {"timezone": "Europe/Berlin"}], "UTC")[1][0]
    assert read("windows", [WEEKLY], "UTC")[1] == []
