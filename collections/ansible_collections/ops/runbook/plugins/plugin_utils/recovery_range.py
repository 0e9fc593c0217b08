# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""To which moments a database can be restored: backups, and the write-ahead log that was archived after them.

A backup reaches as far as its log does without a gap, along one timeline and those that it branched off from. What
pgBackRest prints says where a gap is only by leaving segments out of the list of its archive; so that list is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

SEGMENT_BYTES = 16 * 2**20
_SEGMENT = re.compile(r"(?:^|/)([0-9A-F]{24})-[0-9a-f]{40}(?:\.\w+)?$")
_HISTORY = re.compile(r"^\s*(\d+)\s+([0-9A-F]+/[0-9A-F]+)", re.MULTILINE)


class RangeError(ValueError):
    """Nothing can be restored to what was asked for; the text says why and what is possible."""


@dataclass(frozen=True)
class Backup:
    """A backup that can be restored. Times are seconds since 1970."""

    label: str
    kind: str
    #: First and last segment that it needs to be consistent.
    first: str
    last: str
    begun: float
    #: Before this time it cannot be restored to.
    ended: float
    #: Size of the database in it, and of what has to be read from the repository.
    size: int
    stored: int
    #: Label of the backup that it builds upon, and whether pgBackRest found pages with wrong checksums in it.
    prior: str = ""
    damaged: bool = False

    @property
    def timeline(self) -> int:
        """The timeline that it was taken on."""
        return int(self.last[:8], 16)


@dataclass(frozen=True)
class Span:
    """What one backup reaches along one timeline."""

    timeline: int
    backup: Backup
    #: When the last segment without a gap was archived.
    until: float
    #: Segments after the backup, in order.
    segments: tuple[str, ...]
    #: The first segment that is missing though later ones are there; empty where there is no gap.
    missing: str = ""

    def covers(self, moment: float) -> bool:
        """Whether it can be restored to the moment."""
        return self.backup.ended <= moment <= self.until

    def needed(self, moment: float, archived: Mapping[str, float]) -> list[str]:
        """The segments that have to be replayed up to the moment."""
        wanted: list[str] = []
        for segment in self.segments:
            wanted.append(segment)
            if archived[segment] >= moment:
                break
        return wanted


@dataclass(frozen=True)
class Repository:
    """All that can be restored of one database."""

    backups: tuple[Backup, ...] = ()
    #: Segment to the time at which it was archived.
    archived: Mapping[str, float] = field(default_factory=dict)
    #: Timeline to the points at which its ancestors were left: (timeline, number of the segment with the fork).
    histories: Mapping[int, tuple[tuple[int, int], ...]] = field(default_factory=dict)
    segment_bytes: int = SEGMENT_BYTES

    @property
    def timelines(self) -> list[int]:
        """All timelines, oldest first."""
        found = {int(segment[:8], 16) for segment in self.archived} | {backup.timeline for backup in self.backups}
        return sorted(found | set(self.histories))

    @property
    def newest_timeline(self) -> int:
        """The timeline that recovery follows unless it is told another."""
        return max(self.timelines, default=1)

    def spans(self, timeline: int) -> Iterator[Span]:
        """What each backup reaches along the timeline, oldest backup first."""
        for backup in self.backups:
            if self._timeline_of(timeline, self.number(backup.last)) == backup.timeline:
                yield self._span(timeline, backup)

    def _span(self, timeline: int, backup: Backup) -> Span:
        number = self.number(backup.first)
        segments: list[str] = []
        while (name := self.name(self._timeline_of(timeline, number), number)) in self.archived:
            segments.append(name)
            number += 1
        times = [self.archived[segment] for segment in segments]
        complete = bool(segments) and segments[-1][8:] >= backup.last[8:]
        later = any(int(s[:8], 16) == timeline and self.number(s) > number for s in self.archived)
        # A backup without its own segments is none.
        until = max([backup.ended, *times]) if complete else 0.0
        return Span(timeline, backup, until, tuple(segments), name if later or not complete else "")

    def number(self, segment: str) -> int:
        """The place of a segment in the log, whatever its timeline."""
        return int(segment[8:16], 16) * (2**32 // self.segment_bytes) + int(segment[16:24], 16)

    def name(self, timeline: int, number: int) -> str:
        """The name of the segment at a place."""
        return (
            f"{timeline:08X}{number // (2**32 // self.segment_bytes):08X}{number % (2**32 // self.segment_bytes):08X}"
        )

    def segment_at(self, timeline: int, lsn: str) -> str:
        """The segment that holds a position of the log."""
        number = position(lsn) // self.segment_bytes
        return self.name(self._timeline_of(timeline, number), number)

    def _timeline_of(self, timeline: int, number: int) -> int:
        """The timeline whose segment recovery reads at this place on its way along a timeline."""
        for ancestor, fork in self.histories.get(timeline, ()):
            if number < fork:
                return ancestor
        return timeline

    def ranges(self, timeline: int) -> list[tuple[float, float]]:
        """The times that are possible, those that touch or overlap in one."""
        found: list[tuple[float, float]] = []
        for span in sorted(self.spans(timeline), key=lambda span: span.backup.ended):
            if span.until < span.backup.ended:
                continue
            if found and span.backup.ended <= found[-1][1]:
                found[-1] = found[-1][0], max(found[-1][1], span.until)
            else:
                found.append((span.backup.ended, span.until))
        return found

    def describe(self, live_timeline: int = 0) -> str:
        """The possible times, for a message. Those of a primary that lives end now."""
        lines = []
        for timeline in reversed(self.timelines):
            ranges = self.ranges(timeline)
            for number, (begin, end) in enumerate(ranges):
                now = timeline == live_timeline and number == len(ranges) - 1
                lines.append(
                    f"from {moment_text(begin)} to {'now' if now else moment_text(end)} on timeline {timeline}"
                )
        return "Possible: " + "; ".join(lines) if lines else "No backup can be restored"

    def with_live(self, timeline: int, now: float) -> Repository:
        """The same where the primary lives: what is not archived yet will be before it is stopped."""
        newest = max((s for s in self.archived if int(s[:8], 16) == timeline), default="")
        return replace(self, archived={**self.archived, newest: now}) if newest else self


def position(lsn: str) -> int:
    """A position of the log as a number."""
    high, _slash, low = lsn.partition("/")
    return (int(high, 16) << 32) + int(low, 16)


def repository(
    info: Iterable[Mapping[str, Any]],
    stanza: str,
    listing: Mapping[str, Mapping[str, Any]],
    histories: Mapping[str, str] | None = None,
    segment_bytes: int = SEGMENT_BYTES,
) -> Repository:
    """What pgBackRest's `info` and `repo-ls` say, and the files *.history of its archive.

    Raises RangeError for a stanza that is not there, or has no backup.
    """
    known = {str(entry["name"]): entry for entry in info}
    entry = known.get(stanza)
    if entry is None or entry["status"]["code"] not in (0, 2):
        names = [name for name, item in known.items() if item["status"]["code"] in (0, 2)]
        said = f": {entry['status']['message']}" if entry else ""
        hint = f"the store has {', '.join(sorted(names))}" if names else "the store has none that this host can see"
        raise RangeError(f"stanza {stanza!r} cannot be read{said}; {hint}")
    newest = max((item["id"] for item in entry["db"]), default=0)
    backups = [_backup(item) for item in entry["backup"] if item["database"]["id"] == newest]
    if not backups:
        raise RangeError(f"stanza {stanza!r} has no backup yet")
    archived = {match[1]: float(item["time"]) for name, item in listing.items() if (match := _SEGMENT.search(name))}
    forks = {
        int(name[:8], 16): tuple((int(old), position(lsn) // segment_bytes) for old, lsn in _HISTORY.findall(text))
        for name, text in (histories or {}).items()
    }
    return Repository(tuple(sorted(backups, key=lambda item: item.ended)), archived, forks, segment_bytes)


def _backup(item: Mapping[str, Any]) -> Backup:
    return Backup(
        label=item["label"],
        kind=item["type"],
        first=item["archive"]["start"],
        last=item["archive"]["stop"],
        begun=float(item["timestamp"]["start"]),
        # Whole seconds: the backup is consistent within the one that is named.
        ended=float(item["timestamp"]["stop"]) + 1,
        size=int(item["info"]["size"]),
        stored=int(item["info"]["repository"].get("size", item["info"]["repository"].get("delta", 0))),
        prior=item.get("prior") or "",
        damaged=bool(item.get("error")),
    )


def moment(text: str) -> float:
    """The time that the text denotes; without a zone it is UTC.

    Raises RangeError for anything else.
    """
    try:
        parsed = datetime.fromisoformat(text.strip())
    except ValueError:
        raise RangeError(f"{text!r} is no time; write it as in 2026-11-23 21:05:00+00:00") from None
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()


def moment_text(seconds: float) -> str:
    """A time as PostgreSQL, pgBackRest and operators read it."""
    text = datetime.fromtimestamp(seconds, UTC).isoformat(sep=" ", timespec="milliseconds")
    return text.replace(".000+", "+")
