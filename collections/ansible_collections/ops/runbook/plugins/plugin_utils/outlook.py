# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The outlook: what earlier reports say about tomorrow, and what has changed since the last one."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from itertools import combinations
from statistics import median
from typing import Any

from ansible_collections.ops.runbook.plugins.module_utils.finding import STATUSES, Finding
from ansible_collections.ops.runbook.plugins.plugin_utils.checks_judge import ASKED, REACHABLE
from ansible_collections.ops.runbook.plugins.plugin_utils.render_text import days, size, value
from ansible_collections.ops.runbook.plugins.plugin_utils.reports import Entry, Report

#: Type of the findings that forecasts make.
TYPE = "outlook"
#: Check types whose metrics grow: the kind of forecast, and the metric that holds what is in use.
GROWING = {"disk": ("filesystem", "used_bytes"), "postgresql": ("database", "database_bytes")}
#: Check types that tell what has happened since the host was last asked.
LOOKING_BACK = ("failed_logins", "sudo_use")

_DAY = 86400.0
#: Reports read of each procedure: enough for a trend, few enough to read them in a moment.
_MOST_REPORTS = 40
#: Reports looked through for a host that the newest ones do not mention.
_MOST_BASELINES = 14

Point = tuple[float, float]


@dataclass(frozen=True)
class Limits:
    """When a forecast is worth a finding, and how much history it needs."""

    warning_days: float = 30
    critical_days: float = 7
    #: Days of history that a trend is drawn through.
    window_days: float = 30
    #: A trend needs reports that lie at least this far apart; below a day, so that two daily runs suffice.
    least_hours: float = 20


@dataclass(frozen=True)
class Forecast:
    """What is to be expected of one filesystem, database, certificate or standby."""

    #: ``filesystem``, ``database``, ``certificate`` or ``replication``.
    kind: str
    host: str
    check: str
    status: str
    #: Bytes in use, or bytes that a standby is behind.
    now_bytes: float | None = None
    #: Bytes that there are in all.
    size_bytes: float | None = None
    growth_bytes_per_day: float | None = None
    #: Days until it is full or ends; None where nothing can be said.
    days_left: float | None = None
    lag_seconds: float | None = None
    #: What the forecast is based on, or why there is none.
    note: str = ""
    #: Unix time and bytes of each earlier report, and of now.
    points: Sequence[Point] = ()
    remedy: str = ""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Forecast:
        """The forecast from its dictionary."""
        return cls(**{**data, "points": tuple((when, amount) for when, amount in data.get("points", ()))})

    def to_dict(self) -> dict[str, Any]:
        """The forecast as JSON-ready data."""
        return {**asdict(self), "points": [list(point) for point in self.points]}


@dataclass(frozen=True)
class Change:
    """A finding beside the finding of the same host and check in the earlier report."""

    host: str
    check: str
    #: Status now; empty where the check did not run.
    status: str
    #: Status then; empty where the check did not run.
    was: str
    title: str

    def to_dict(self) -> dict[str, str]:
        """The change as JSON-ready data."""
        return asdict(self)


@dataclass(frozen=True)
class Changes:
    """What is different from the earlier report."""

    #: Time of the earlier report in ISO 8601; empty where there is none.
    since: str = ""
    new: Sequence[Change] = ()
    worse: Sequence[Change] = ()
    better: Sequence[Change] = ()
    resolved: Sequence[Change] = ()
    standing: Sequence[Change] = ()
    #: Was not ok, and its check did not run this time: neither resolved nor standing.
    unobserved: Sequence[Change] = ()

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Changes:
        """The changes from their dictionary."""
        groups = {name: [Change(**item) for item in data.get(name, ())] for name in GROUPS}
        return cls(since=data.get("since", ""), **groups)

    def to_dict(self) -> dict[str, Any]:
        """The changes as JSON-ready data."""
        return {"since": self.since, **{name: [change.to_dict() for change in getattr(self, name)] for name in GROUPS}}


GROUPS = tuple(field.name for field in fields(Changes) if field.name != "since")


def sample(entries: Iterable[Entry], now: datetime, window_days: float) -> list[Entry]:
    """Reports of the window, thinned evenly where a procedure has more than are needed."""
    step = window_days * _DAY / _MOST_REPORTS
    kept: dict[tuple[str, int], Entry] = {}
    for entry in entries:
        age = (now - entry.time).total_seconds()
        if 0 <= age <= window_days * _DAY:
            kept[entry.procedure, int(age // step)] = entry
    return sorted(kept.values(), key=lambda entry: entry.time)


def growth_per_day(points: Sequence[Point], least_hours: float) -> float | None:
    """Bytes a day: the median slope between all pairs of points (Theil and Sen), which one odd day does not sway.

    None where the points are too few or too close together.
    """
    if len(points) < 2 or points[-1][0] - points[0][0] < least_hours * 3600:  # noqa: PLR2004
        return None
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in combinations(points, 2) if b[0] > a[0]]
    return median(slopes) * _DAY


def forecasts(report: Report, history: Iterable[Report], limits: Limits) -> list[Forecast]:
    """The outlook of everything in the report that grows, ends or lags, the most urgent first."""
    past = _series(history)
    made: list[Forecast] = []
    for finding in report.findings:
        made += _of_finding(finding, past[finding.type, finding.host, finding.check], report.time.timestamp(), limits)
    return sorted(made, key=lambda f: (-STATUSES.index(f.status), _or_infinite(f.days_left), f.kind, f.host, f.check))


def findings(made: Iterable[Forecast], limits: Limits) -> list[Finding]:
    """A finding for each forecast of growth that crosses a threshold."""
    return [_finding(forecast, limits) for forecast in made if forecast.points and forecast.status != "ok"]


def last_asked(newest_first: Iterable[Report], wanted: Iterable[tuple[str, str]]) -> dict[tuple[str, str], datetime]:
    """When each host was asked that last gave an answer to a check of this type, for the pairs that reports have."""
    missing = set(wanted)
    found: dict[tuple[str, str], datetime] = {}
    for report in newest_first:
        asked = {finding.host: finding.metrics.get(ASKED) for finding in report.findings if finding.type == REACHABLE}
        answered = {(finding.host, finding.type) for finding in report.findings if finding.status != "unknown"}
        for host, kind in missing & answered:
            moment = asked.get(host)
            found[host, kind] = report.time if moment is None else datetime.fromtimestamp(moment, UTC)
        missing -= answered
        if not missing:
            break
    return found


def baseline(entries: Sequence[Entry], now: datetime, hosts: Iterable[str]) -> list[Report]:
    """The reports to compare with: the newest from before today, or else the last one.

    A run that was limited to some hosts says nothing about the others, so older reports follow until each host is
    in one of them.
    """
    midnight = now.astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
    before = [entry for entry in entries if entry.time < midnight] or list(entries)
    missing = set(hosts)
    chosen: list[Report] = []
    for entry in reversed(before[-_MOST_BASELINES:]):
        report = entry.load()
        if not chosen or missing & set(report.hosts):
            chosen.append(report)
            missing -= set(report.hosts)
        if not missing:
            break
    return chosen


def compare(current: Iterable[Finding], earlier: Sequence[Report]) -> Changes:
    """The difference between the current findings and the earlier reports, host by host."""
    if not earlier:
        return Changes()
    now = _worst_by_check(current)
    hosts = {host for host, _check in now}
    then = {key: finding for key, finding in _earlier(earlier).items() if key[0] in hosts}
    groups: dict[str, list[Change]] = defaultdict(list)
    for key in sorted({*now, *then}):
        group = _group(now.get(key), then.get(key))
        if group:
            groups[group].append(_change(key, now.get(key), then.get(key)))
    return Changes(since=earlier[0].time.isoformat(), **groups)


def _series(history: Iterable[Report]) -> Mapping[tuple[str, str, str], list[Point]]:
    past: dict[tuple[str, str, str], list[Point]] = defaultdict(list)
    for report in sorted(history, key=lambda report: report.time):
        for finding in report.findings:
            if finding.type in GROWING:
                amount = finding.metrics.get(GROWING[finding.type][1])
                if amount is not None:
                    past[finding.type, finding.host, finding.check].append((report.time.timestamp(), float(amount)))
    return past


def _of_finding(finding: Finding, past: list[Point], time: float, limits: Limits) -> Iterator[Forecast]:
    if finding.type in GROWING and GROWING[finding.type][1] in finding.metrics:
        yield _growing(finding, past, time, limits)
    subject = (finding.host, finding.check, finding.status)
    if finding.type == "certificate" and "left_seconds" in finding.metrics:
        left = finding.metrics["left_seconds"] / _DAY
        yield Forecast("certificate", *subject, days_left=left, remedy=finding.remedy)
    if finding.type == "replication":
        # A primary knows how far its standby servers are behind; a standby knows only what it has not replayed.
        lag = finding.metrics.get("lag_bytes", finding.metrics.get("behind_bytes"))
        seconds = finding.metrics.get("lag_seconds", finding.metrics.get("behind_seconds"))
        if lag is not None or seconds is not None:
            yield Forecast("replication", *subject, now_bytes=lag, lag_seconds=seconds, remedy=finding.remedy)


def _growing(finding: Finding, past: list[Point], time: float, limits: Limits) -> Forecast:
    kind, metric = GROWING[finding.type]
    used = float(finding.metrics[metric])
    points = [*((when, amount) for when, amount in past if when < time), (time, used)]
    growth = growth_per_day(points, limits.least_hours)
    left = _left(finding, used)
    days_left = max(left, 0.0) / growth if growth and growth > 0 and left is not None else None
    return Forecast(
        kind,
        finding.host,
        finding.check,
        _status(days_left, limits),
        now_bytes=used,
        size_bytes=finding.metrics.get("size_bytes"),
        growth_bytes_per_day=growth,
        days_left=days_left,
        note=_note(points, growth, left),
        points=tuple(points),
        remedy=finding.remedy,
    )


def _left(finding: Finding, used: float) -> float | None:
    """Bytes that may still be used; what is reserved for root is not among them."""
    if "free_bytes" in finding.metrics:
        return float(finding.metrics["free_bytes"])
    if "size_bytes" in finding.metrics:
        return float(finding.metrics["size_bytes"]) - used
    return None


def _note(points: Sequence[Point], growth: float | None, left: float | None) -> str:
    if growth is None:
        return "not enough history"
    basis = f"{len(points)} reports over {value(points[-1][0] - points[0][0], 's')}"
    if growth <= 0:
        return f"not growing, {basis}"
    if left is None:
        return f"{basis}; its filesystem says when it is full"
    return basis


def _status(days_left: float | None, limits: Limits) -> str:
    if days_left is None or days_left >= limits.warning_days:
        return "ok"
    return "critical" if days_left < limits.critical_days else "warning"


def _finding(forecast: Forecast, limits: Limits) -> Finding:
    left, growth = forecast.days_left or 0.0, forecast.growth_bytes_per_day or 0.0
    whole = f" of {size(forecast.size_bytes)}" if forecast.size_bytes else ""
    used = f"{size(forecast.now_bytes or 0)}{whole} used"
    return Finding(
        check=f"{forecast.kind} outlook: {forecast.check}",
        host=forecast.host,
        status=forecast.status,
        title=f"{forecast.check} on {forecast.host} is full in {days(left)} if it goes on growing as it does",
        observed=round(left, 1),
        unit="days",
        expected=f"time left at least {limits.warning_days:g} days",
        detail=f"grows {size(growth)} a day; {used}; {forecast.note}",
        remedy=forecast.remedy,
        type=TYPE,
        metrics={"days_left": round(left, 2), "growth_bytes_per_day": round(growth, 1)},
    )


def _or_infinite(number: float | None) -> float:
    return math.inf if number is None else number


def _worst_by_check(items: Iterable[Finding]) -> dict[tuple[str, str], Finding]:
    kept: dict[tuple[str, str], Finding] = {}
    for finding in items:
        key = (finding.host, finding.check)
        if key not in kept or STATUSES.index(finding.status) > STATUSES.index(kept[key].status):
            kept[key] = finding
    return kept


def _earlier(reports: Sequence[Report]) -> dict[tuple[str, str], Finding]:
    """Each host's findings in the newest report that mentions it."""
    known: set[str] = set()
    kept: dict[tuple[str, str], Finding] = {}
    for report in reports:
        kept |= _worst_by_check(finding for finding in report.findings if finding.host not in known)
        known |= set(report.hosts)
    return kept


def _group(now: Finding | None, then: Finding | None) -> str:
    """Name of the group that the pair belongs to; empty for ok that stayed ok."""
    after = STATUSES.index(now.status) if now else 0
    before = STATUSES.index(then.status) if then else 0
    if not before:
        return "new" if after else ""
    if now is None:
        # A forecast makes a finding only while it crosses a threshold: without one it is resolved.
        return "resolved" if then and then.type == TYPE else "unobserved"
    if not after:
        return "resolved"
    if after == before:
        return "standing"
    return "worse" if after > before else "better"


def _change(key: tuple[str, str], now: Finding | None, then: Finding | None) -> Change:
    shown = now or then
    return Change(
        host=key[0],
        check=key[1],
        status=now.status if now else "",
        was=then.status if then else "",
        title=shown.title if shown else "",
    )
