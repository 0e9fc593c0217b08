# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads windows and freezes from the inventory. An error names the variable and the entry, and says what to write."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import MAXYEAR, MINYEAR, UTC, date, datetime, time, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from ansible_collections.ops.runbook.plugins.plugin_utils.change_window import DAYS, Entry, Single, Weekly, end_of
from ansible_collections.ops.runbook.plugins.plugin_utils.checks_resolve import suggest

_CLOCK = re.compile(r"([01]?\d|2[0-4]):([0-5]\d)( next day)?")
_WEEKLY = ("days", "start", "end")
_SINGLE = ("from", "until")
_COMMON = ("name", "timezone", "because")
_NEXT_DAY = " next day"
_DAY = timedelta(days=1)


class EntryError(ValueError):
    """What is wrong with one entry."""


def read(variable: str, entries: Any, default_zone: str) -> tuple[list[Entry], list[str]]:
    """The entries of a variable, and what is wrong with it."""
    if not isinstance(entries, list):
        return [], [f"{variable} is {entries!r}, not a list of entries"]
    found, errors = [], []
    for number, entry in enumerate(entries):
        name = entry.get("name") if isinstance(entry, Mapping) else None
        where = f"{variable}[{number}]" + (f" ({name})" if name else "")
        try:
            found.append(_entry(entry, default_zone))
        except EntryError as error:
            errors.append(f"{where}: {error}")
    return found, errors


def _entry(entry: Any, default_zone: str) -> Entry:
    if not isinstance(entry, Mapping):
        raise EntryError(f"{entry!r} is not a mapping with {_words(_WEEKLY)}, or with {_words(_SINGLE)}")
    for key in entry:
        if key not in (*_COMMON, *_WEEKLY, *_SINGLE):
            known = (*_COMMON, *_WEEKLY, *_SINGLE)
            raise EntryError(f"{key!r} is no key of a window{suggest(str(key), known)}; keys are {', '.join(known)}")
    weekly, single = ([key for key in keys if key in entry] for keys in (_WEEKLY, _SINGLE))
    if weekly and single:
        raise EntryError(
            f"it has {weekly[0]!r} of a weekly window and {single[0]!r} of a single one; make it two entries"
        )
    keys = _SINGLE if single else _WEEKLY
    missing = [key for key in ("name", *keys) if key not in entry]
    if missing:
        raise EntryError(
            f"it lacks {_words(missing)}; a weekly window has name, {_words(_WEEKLY)}, "
            f"a single one name, {_words(_SINGLE)}"
        )
    zone = _zone(entry.get("timezone", default_zone))
    common = {"name": str(entry["name"]), "zone": zone, "because": str(entry.get("because") or "")}
    return _single(entry, common) if single else _weekly(entry, common)


def _weekly(entry: Mapping[str, Any], common: Mapping[str, Any]) -> Weekly:
    start, end = (_clock(key, entry[key]) for key in ("start", "end"))
    if start >= _DAY:
        raise EntryError(f"start is {entry['start']!r}; a window starts on its own day, before 24:00")
    if end <= start:
        hint = f'; to end on the day after, write end: "{entry["end"]}{_NEXT_DAY}"' if end < start else ""
        order = "before its" if end < start else "at its"
        raise EntryError(f"it ends ({entry['end']}) {order} start ({entry['start']}){hint}")
    return Weekly(**common, days=_days(entry["days"]), start=start, end=end)


def _days(value: Any) -> frozenset[int]:
    days = value if isinstance(value, list) else [value]
    if not days:
        raise EntryError("days is empty, so that it would never be open")
    known = list(DAYS)
    for day in days:
        if str(day).lower() not in known:
            hint = suggest(str(day).lower()[:3], known)
            raise EntryError(f"days names {str(day)!r}, which is no day{hint}; days are {', '.join(known)}")
    return frozenset(known.index(str(day).lower()) for day in days)


def _clock(key: str, value: Any) -> timedelta:
    if isinstance(value, int) and not isinstance(value, bool):
        raise EntryError(
            f'{key} is the number {value}: write the time in quotes, such as "20:00", because YAML reads it as a number'
        )
    match = _CLOCK.fullmatch(str(value).strip())
    length = timedelta(hours=int(match[1]), minutes=int(match[2])) if match else timedelta()
    if match is None or length > _DAY:
        raise EntryError(f'{key} is {str(value)!r}, not a time such as "20:00" or "02:00{_NEXT_DAY}"')
    if match[3] and key == "start":
        raise EntryError(f"start is {str(value)!r}; a window starts on its own day: name that in days")
    return length + (_DAY if match[3] else timedelta())


def _single(entry: Mapping[str, Any], common: Mapping[str, Any]) -> Single:
    start, end = (_moment(key, entry[key]) for key in _SINGLE)
    if (start.tzinfo is None) != (end.tzinfo is None):
        raise EntryError("one of from and until has an offset to UTC and the other has none; give both or none")
    if end <= start:
        raise EntryError(f"it ends (until {entry['until']}) before its start (from {entry['from']})")
    return Single(**common, start=start, end=end)


def _moment(key: str, value: Any) -> datetime:
    """A moment on the wall clock, or an instant; a day means its beginning, or for ``until`` its end."""
    found = value if isinstance(value, datetime) else _parsed(key, str(value).strip())
    # The calendar ends there: in another time zone, or a day later, is no time any more.
    if not MINYEAR < found.year < MAXYEAR:
        raise EntryError(f"{key} is {str(value)!r}; its year lies between {MINYEAR + 1} and {MAXYEAR - 1}")
    if isinstance(found, datetime):
        return found
    return end_of(found) if key == "until" else datetime.combine(found, time())


def _parsed(key: str, text: str) -> date | datetime:
    """A day, or a time."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise EntryError(f'{key} is {text!r}, not a day "2026-12-18" or a time "2026-12-18 20:00"') from error


def _zone(name: Any) -> tzinfo:
    if name == "UTC":
        return UTC  # also where the controller has no time zone data
    try:
        return ZoneInfo(str(name))
    # A folder of the data ("Europe"), a path, an unknown name: each fails in its own way.
    except (OSError, ValueError, KeyError) as error:
        known = available_timezones()
        if not known:
            raise EntryError("the controller has no time zone data; install its package tzdata") from error
        raise EntryError(f"timezone {str(name)!r} is unknown{_similar(str(name), known)}") from error


def _similar(name: str, known: set[str]) -> str:
    """A zone of a similar name, or of the city that was named alone."""
    cities = {zone.rpartition("/")[2].lower(): zone for zone in sorted(known)}
    wanted = name.rpartition("/")[2].lower().replace(" ", "_")
    return f" (did you mean {cities[wanted]!r}?)" if wanted in cities else suggest(name, known)


def _words(words: Any) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else str(last)
