# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""When changes may be made: windows and freezes, as their entries in the inventory say it, on the time line of UTC.

One principle decides about daylight saving: a window is open while a clock on the wall of its time zone shows a time
inside of it. What falls into the hour that spring leaves out is shorter that day; what falls into the hour that autumn
has twice is open twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo

#: How far ahead the next window is looked for.
HORIZON = timedelta(days=400)
#: A zone does not change its offset twice within this time.
_STEP = timedelta(hours=3)
_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True)
class Interval:
    """A piece of time, in UTC, and the entry that it comes from."""

    start: datetime
    end: datetime
    entry: Entry

    @property
    def length(self) -> timedelta:
        """How long it is."""
        return self.end - self.start


@dataclass(frozen=True)
class Entry:
    """A window or a freeze."""

    name: str
    zone: tzinfo
    because: str = ""

    def intervals(self, since: datetime, until: datetime) -> Iterator[Interval]:
        """The pieces of time of this entry that touch the range, in order."""
        raise NotImplementedError

    def _walls(
        self, since: datetime, until: datetime, spans: Iterable[tuple[datetime, datetime]]
    ) -> Iterator[Interval]:
        """What spans of wall clock time are on the time line."""
        known = list(spans)
        for start, end, offset in _segments(self.zone, since, until):
            for opens, closes in known:
                first = max(start, opens.replace(tzinfo=UTC) - offset)
                last = min(end, closes.replace(tzinfo=UTC) - offset)
                if first < last:
                    yield Interval(first, last, self)


@dataclass(frozen=True)
class Weekly(Entry):
    """Open on some days of every week."""

    days: frozenset[int] = frozenset()
    #: Since midnight of the day; the end may lie on the next day.
    start: timedelta = timedelta()
    end: timedelta = timedelta()

    def intervals(self, since: datetime, until: datetime) -> Iterator[Interval]:
        """One a day that is named."""
        first, last = since.date() - 3 * _DAY, until.date() + 2 * _DAY
        spans = []
        for number in range((last - first).days):
            day = first + number * _DAY
            if day.weekday() in self.days:
                midnight = datetime.combine(day, time())
                spans.append((midnight + self.start, midnight + self.end))
        yield from self._walls(since, until, spans)

    def __str__(self) -> str:
        days = ", ".join(DAYS[number].capitalize() for number in sorted(self.days))
        if len(self.days) == len(DAYS):
            days = "daily"
        return f"{self.name} ({days} {_clock(self.start)}-{_clock(self.end)} {zone_name(self.zone)})"


@dataclass(frozen=True)
class Single(Entry):
    """Open once. Its limits are wall clock times, or instants where they came with an offset."""

    start: datetime = datetime.min  # noqa: DTZ901 - a wall clock has no offset
    end: datetime = datetime.max  # noqa: DTZ901

    def intervals(self, since: datetime, until: datetime) -> Iterator[Interval]:
        """One piece, or two where the clock is turned back at its limits."""
        if self.start.tzinfo is None:
            yield from self._walls(since, until, [(self.start, self.end)])
        else:
            first, last = max(since, self.start.astimezone(UTC)), min(until, self.end.astimezone(UTC))
            if first < last:
                yield Interval(first, last, self)

    def __str__(self) -> str:
        if self.start.tzinfo is None:
            return f"{self.name} ({self.start:%Y-%m-%d %H:%M} to {self.end:%Y-%m-%d %H:%M} {zone_name(self.zone)})"
        return f"{self.name} ({self.start:%Y-%m-%d %H:%M%:z} to {self.end:%Y-%m-%d %H:%M%:z})"


def _segments(zone: tzinfo, since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime, timedelta]]:
    """The range in pieces in which the zone's offset does not change."""
    start, offset = since, _offset(zone, since)
    here = since
    while here < until:
        there = min(here + _STEP, until)
        if _offset(zone, there) != offset:
            turn = _turn(zone, here, there)
            yield start, turn, offset
            start, offset = turn, _offset(zone, turn)
        here = there
    yield start, until, offset


def _turn(zone: tzinfo, before: datetime, after: datetime) -> datetime:
    """The first second with the new offset."""
    old = _offset(zone, before)
    while after - before > _SECOND:
        middle = before + (after - before) // 2 // _SECOND * _SECOND
        if _offset(zone, middle) == old:
            before = middle
        else:
            after = middle
    return after


def _offset(zone: tzinfo, moment: datetime) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta()


def merged(intervals: Iterable[Interval]) -> list[Interval]:
    """The same time in as few pieces as possible; each belongs to the entry that begins it."""
    found: list[Interval] = []
    for interval in sorted(intervals, key=lambda item: item.start):
        if found and interval.start <= found[-1].end:
            found[-1] = replace(found[-1], end=max(found[-1].end, interval.end))
        else:
            found.append(interval)
    return found


def without(intervals: Iterable[Interval], others: Sequence[Interval]) -> list[Interval]:
    """The intervals less the time of the others, which are merged."""
    found = []
    for interval in intervals:
        rest = interval
        for other in others:
            if other.end <= rest.start or other.start >= rest.end:
                continue
            if rest.start < other.start:
                found.append(replace(rest, end=other.start))
            rest = replace(rest, start=min(other.end, rest.end))
        if rest.start < rest.end:
            found.append(rest)
    return found


@dataclass(frozen=True)
class Verdict:
    """Whether a change may begin."""

    #: Why it may not; empty where it may.
    reason: str = ""
    #: When it could begin, where that is known.
    opens: str = ""
    #: When the open time ends, for those who may begin.
    closes: datetime | None = None


def judge(windows: Sequence[Entry], freezes: Sequence[Entry], now: datetime, expected: timedelta) -> Verdict:
    """Whether a change that takes this long may begin now."""
    since, until = now - _DAY, now + HORIZON
    # The limits of a range of whole seconds are whole seconds, as those of the windows are.
    since, until = since.replace(microsecond=0), until.replace(microsecond=0)
    opened = merged(piece for window in windows for piece in window.intervals(since, until))
    frozen = [piece for freeze in freezes for piece in merged(freeze.intervals(since, until))]
    free = without(opened, merged(frozen))
    current = next((piece for piece in free if piece.start <= now < piece.end), None)
    if current and now + expected <= current.end:
        return Verdict(closes=current.end)
    following = next((piece for piece in free if piece.start > now and piece.length >= expected), None)
    return Verdict(_reason(windows, frozen, now, expected, current), _opening(following, expected))


def _reason(
    windows: Sequence[Entry], frozen: Sequence[Interval], now: datetime, expected: timedelta, current: Interval | None
) -> str:
    active = next((piece for piece in frozen if piece.start <= now < piece.end), None)
    if active:
        because = f", because {active.entry.because}" if active.entry.because else ""
        return f"changes are frozen until {moment(active.end, active.entry.zone)}: {active.entry}{because}"
    if current is None:
        named = ", ".join(map(str, windows)) or "none is defined"
        return f"no change window is open. Windows: {named}"
    start = next((piece for piece in frozen if piece.start == current.end), None)
    ends = f"the freeze {start.entry} begins" if start else "the change window closes"
    left = int((current.end - now) / timedelta(minutes=1))
    return (
        f"{ends} too early: at {moment(current.end, current.entry.zone)}, in {left} min, and a batch is expected "
        f"to take {minutes(expected)} min"
    )


def _opening(following: Interval | None, expected: timedelta) -> str:
    if following is None:
        return f"no window of {minutes(expected)} min opens within {HORIZON.days} days"
    return f"the next window opens at {moment(following.start, following.entry.zone)}: {following.entry}"


def moment(when: datetime, zone: tzinfo) -> str:
    """A moment in a zone and, where that is another time, in UTC."""
    local = when.astimezone(zone)
    utc = when.astimezone(UTC)
    shown = f"{local:%a %Y-%m-%d %H:%M} {zone_name(zone)}"
    if local.utcoffset():
        shown += f" ({utc:%H:%M} UTC)" if local.date() == utc.date() else f" ({utc:%a %Y-%m-%d %H:%M} UTC)"
    return shown


def minutes(length: timedelta) -> str:
    """A length in minutes, without a fraction where there is none."""
    return f"{length / timedelta(minutes=1):g}"


def zone_name(zone: tzinfo) -> str:
    """How the inventory calls the zone."""
    return str(getattr(zone, "key", "UTC"))


def end_of(day: date) -> datetime:
    """The midnight that ends the day."""
    return datetime.combine(day + _DAY, time())


def _clock(length: timedelta) -> str:
    total = int(length / timedelta(minutes=1))
    day = 24 * 60
    shown = f"{total // 60:02}:{total % 60:02}" if total <= day else f"{total % day // 60:02}:{total % 60:02}"
    return shown + (" next day" if total > day else "")
