# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Chooses the backup for what was asked for, and estimates what its restore costs: time, room, data that is lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ansible_collections.ops.runbook.plugins.plugin_utils.recovery_range import (
    RangeError,
    Repository,
    Span,
    moment,
    moment_text,
    position,
)

#: How fast a restore is as long as no drill has measured it: bytes and segments a second.
BYTES_PER_SECOND = 60e6
SEGMENTS_PER_SECOND = 4.0
#: What stopping, starting and verifying take besides, in seconds.
OVERHEAD = 15.0
#: Room that a restored database needs beyond its size.
MARGIN = 1.1


@dataclass(frozen=True)
class Wish:
    """What the operator asked for."""

    to: str = ""
    point: str = ""
    timeline: int = 0
    backup: str = ""

    def __str__(self) -> str:
        where = f"restore point {self.point}" if self.point else self.to
        return where + (f" on timeline {self.timeline}" if self.timeline else "")


@dataclass(frozen=True)
class Speed:
    """What a restore was last seen to do."""

    bytes_per_second: float = BYTES_PER_SECOND
    segments_per_second: float = SEGMENTS_PER_SECOND
    measured: bool = False


@dataclass(frozen=True)
class Estimate:
    """What will be restored, and what that costs."""

    wish: str
    backup: str
    kind: str
    backup_ended: float
    timeline: int
    #: Options of pgBackRest: what to recover to.
    target_type: str
    target: str
    #: The moment that this comes to.
    moment: float
    size: int
    stored: int
    segments: int
    seconds: float
    measured: bool
    #: Seconds of changes, and segments of the log, after the moment: they are not in the restored database.
    lost_seconds: float
    lost_segments: int

    def to_dict(self) -> dict[str, Any]:
        """The estimate as data."""
        return asdict(self)


def estimate(
    repository: Repository, wish: Wish, *, now: float, live: int = 0, point: str = "", speed: Speed | None = None
) -> Estimate:
    """What has to be restored for the wish. ``live`` is the timeline of a primary that runs, 0 where none does.

    ``point`` is the position of the named restore point. Raises RangeError with what would be possible.
    """
    possible = repository.describe(live)
    seen = repository.with_live(live, now) if live else repository
    timeline = wish.timeline or live or repository.newest_timeline
    if timeline not in repository.timelines:
        known = ", ".join(map(str, repository.timelines))
        raise RangeError(f"there is no timeline {timeline}, only {known}. {possible}")
    spans = list(seen.spans(timeline))
    if wish.backup:
        labels = [backup.label for backup in repository.backups]
        if wish.backup not in labels:
            raise RangeError(f"there is no backup {wish.backup!r}, only {', '.join(labels)}. {possible}")
        spans = [span for span in spans if span.backup.label == wish.backup]
    usable = [span for span in spans if span.until and not span.backup.damaged]
    if not usable:
        raise RangeError(f"no backup reaches timeline {timeline}. {possible}")
    if wish.point:
        span, when, target = _for_point(repository, usable, timeline, point)
        kind = "lsn"
    elif wish.to == "latest":
        span = max(usable, key=lambda item: (item.until, item.backup.ended))
        when, kind, target = span.until, "default", ""
        if span.missing:
            kind, target = "time", moment_text(when)
    else:
        try:
            when = moment(wish.to)
        except RangeError as error:
            raise RangeError(f"{error}. {possible}") from None
        span = _for_time(spans, usable, when, now, possible)
        kind, target = "time", moment_text(when)
    return _estimate(seen, span, (when, kind, target), wish, now=now, speed=speed or Speed(), live=live)


def _for_time(spans: list[Span], usable: list[Span], when: float, now: float, possible: str) -> Span:
    text = moment_text(when)
    if when > now:
        raise RangeError(f"{text} is in the future: it is {moment_text(now)} there now. {possible}")
    oldest = min(span.backup.ended for span in usable)
    if when < oldest:
        raise RangeError(f"{text} is before the end of the oldest backup, {moment_text(oldest)}. {possible}")
    covering = [span for span in usable if span.covers(when)]
    if not covering:
        gaps = sorted({span.missing for span in spans if span.missing and span.backup.ended <= when})
        missing = f"segment {gaps[0]} is missing in the archive" if gaps else "the archive ends before it"
        raise RangeError(f"{text} is in a gap of the write-ahead log: {missing}. {possible}")
    return max(covering, key=lambda span: span.backup.ended)


def _for_point(repository: Repository, usable: list[Span], timeline: int, lsn: str) -> tuple[Span, float, str]:
    segment = repository.segment_at(timeline, lsn)
    covering = [span for span in usable if span.backup.last < segment or _inside(repository, span, lsn)]
    covering = [span for span in covering if segment in span.segments or segment not in repository.archived]
    if not covering:
        raise RangeError(f"no backup reaches the restore point at {lsn}. {repository.describe()}")
    span = max(covering, key=lambda item: item.backup.ended)
    # When the point was made is not known; not before the segment that precedes its own was archived.
    before = [repository.archived[name] for name in span.segments if name[8:] < segment[8:]]
    return span, max([span.backup.ended, *before]), lsn


def _inside(repository: Repository, span: Span, lsn: str) -> bool:
    """Whether the position is in the last segment that the backup needs; its end is not known better than that."""
    return repository.number(span.backup.last) < position(lsn) // repository.segment_bytes


def _estimate(
    repository: Repository,
    span: Span,
    reached: tuple[float, str, str],
    wish: Wish,
    *,
    now: float,
    speed: Speed,
    live: int,
) -> Estimate:
    when, kind, target = reached
    needed = span.segments if kind == "default" else span.needed(when, repository.archived)
    later = [s for s in repository.archived if repository.number(s) > repository.number(needed[-1])]
    seconds = OVERHEAD + span.backup.size / speed.bytes_per_second + len(needed) / speed.segments_per_second
    return Estimate(
        wish=str(wish),
        backup=span.backup.label,
        kind=span.backup.kind,
        backup_ended=span.backup.ended,
        timeline=span.timeline,
        target_type=kind,
        target=target,
        moment=when,
        size=span.backup.size,
        stored=span.backup.stored,
        segments=len(needed),
        seconds=round(seconds, 1),
        measured=speed.measured,
        lost_seconds=0.0 if kind == "default" and live else round(max(0.0, now - when), 1),
        lost_segments=len(later),
    )


def rows(found: Mapping[str, Any]) -> list[list[str]]:
    """The estimate as an operator reads it."""
    lost = found["lost_seconds"]
    base = "as the last drill measured" if found["measured"] else "not measured yet"
    when = moment_text(found["moment"])
    return [
        ["restore to", when if found["target_type"] == "time" else f"{found['wish']} (about {when})"],
        ["from backup", f"{found['backup']} ({found['kind']}), ended {moment_text(found['backup_ended'])}"],
        ["size", f"{found['size'] / 1e6:.0f} MB, {found['segments']} segments of log to replay"],
        ["expected duration", f"{found['seconds']:.0f} s ({base})"],
        ["data lost", f"{_duration(lost)} of changes, {found['lost_segments']} segments of log" if lost else "none"],
    ]


def _duration(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"
