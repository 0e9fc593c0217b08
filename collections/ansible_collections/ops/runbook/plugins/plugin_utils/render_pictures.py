# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which pictures a report shows: response times and capacity against their limits, growth of what fills up."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ansible_collections.ops.runbook.plugins.module_utils.finding import Finding
from ansible_collections.ops.runbook.plugins.plugin_utils import render_svg, render_text
from ansible_collections.ops.runbook.plugins.plugin_utils.outlook import Forecast
from markupsafe import Markup

#: Metric of the checks that wait for an answer: http, tcp, dns.
_LATENCY = "latency_seconds"
#: Bars shown at once; the others unfold.
_MOST_BARS = 12
_MOST_LINES = 8
#: What fills up later than this needs no picture, in days.
_FAR = 730
_LIMIT = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>ms|s|min|h|%)(?!\w)")
#: What one of the unit is, in the unit that the metrics of the name have.
_UNITS = {"seconds": {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}, "percent": {"%": 1.0}}


@dataclass(frozen=True)
class Line:
    """A picture with the words beside it."""

    host: str
    name: str
    status: str
    text: str
    note: str
    picture: Markup


@dataclass(frozen=True)
class Picture:
    """A group of pictures: those shown, and those that unfold."""

    shown: Sequence[Line]
    more: Sequence[Line]


@dataclass(frozen=True)
class Pictures:
    """All pictures of a report."""

    latency: Picture
    capacity: Picture
    growth: Picture


def pictures(findings: Sequence[Finding], forecasts: Iterable[Forecast]) -> Pictures:
    """The pictures that the findings and forecasts give."""
    growing = [forecast for forecast in forecasts if _is_worth_a_line(forecast)]
    return Pictures(
        latency=_latency(findings),
        capacity=_capacity(findings),
        growth=_picture([_growth(forecast) for forecast in growing], _MOST_LINES),
    )


def _picture(lines: Sequence[Line], most: int) -> Picture:
    return Picture(lines[:most], lines[most:])


def _latency(findings: Iterable[Finding]) -> Picture:
    measured = []
    for finding in findings:
        seconds = finding.metrics.get(_LATENCY)
        if seconds is not None:
            limits = _limit(finding, "warning", "seconds"), _limit(finding, "critical", "seconds")
            measured.append((finding, seconds, *limits))
    longest = max((seconds for _finding, seconds, *_limits in measured), default=0.0) or 1.0
    bars = []
    for finding, seconds, warning, critical in measured:
        # Each bar is scaled to its own limit: what is near it stands out, however fast it is.
        limit = critical or warning
        full = limit * 1.15 if limit else longest
        drawn = render_svg.Bar(seconds, full, finding.status, warning, critical)
        bars.append((seconds / full, _bar(finding, drawn, render_text.duration(seconds))))
    return _picture([line for _share, line in sorted(bars, key=_fullest)], _MOST_BARS)


def _capacity(findings: Iterable[Finding]) -> Picture:
    bars = []
    for finding in findings:
        if finding.type != "disk" or not finding.metrics.get("size_bytes") or "used_bytes" not in finding.metrics:
            continue
        used = _used_percent(finding)
        limits = _limit(finding, "warning", "percent"), _limit(finding, "critical", "percent")
        drawn = render_svg.Bar(used, 100.0, finding.status, *limits)
        text = f"{used:.0f} %, {_room(finding)}"
        bars.append((used, _bar(finding, drawn, text)))
    return _picture([line for _share, line in sorted(bars, key=_fullest)], _MOST_BARS)


def _room(finding: Finding) -> str:
    """What is left, where the check says so; what is reserved for root is not, so the size tells less."""
    if "free_bytes" in finding.metrics:
        return f"{render_text.size(finding.metrics['free_bytes'])} free"
    return f"of {render_text.size(finding.metrics['size_bytes'])}"


def _used_percent(finding: Finding) -> float:
    """The share that the check judged, or else the plain quotient."""
    if finding.unit == "%" and isinstance(finding.observed, int | float):
        return float(finding.observed)
    return finding.metrics["used_bytes"] / finding.metrics["size_bytes"] * 100


def _bar(finding: Finding, drawn: render_svg.Bar, text: str) -> Line:
    label = f"{finding.check} on {finding.host}: {text}"
    return Line(finding.host, finding.check, finding.status, text, finding.expected, render_svg.draw_bar(drawn, label))


def _is_worth_a_line(forecast: Forecast) -> bool:
    if len(forecast.points) < 2 or (forecast.growth_bytes_per_day or 0.0) <= 0:  # noqa: PLR2004
        return False
    return forecast.days_left is None or forecast.days_left < _FAR


def _growth(forecast: Forecast) -> Line:
    growing = forecast.growth_bytes_per_day or 0.0
    left = forecast.days_left
    text = f"now {render_text.size(forecast.points[-1][1])}" if left is None else f"full in {render_text.days(left)}"
    note = f"+{render_text.size(growing)} a day"
    label = f"{forecast.check} on {forecast.host}: {text}"
    drawn = render_svg.draw_growth(forecast.points, growing, forecast.size_bytes, forecast.status, label)
    return Line(forecast.host, forecast.check, forecast.status, text, note, drawn)


def _fullest(entry: tuple[float, Line]) -> tuple[float, str, str]:
    return -entry[0], entry[1].host, entry[1].name


def _limit(finding: Finding, kind: str, unit: str) -> float | None:
    """The check's threshold: among its metrics, or else the one that it expected not to cross."""
    given = finding.metrics.get(f"{kind}_{unit}")
    if given is not None or kind != "warning":
        return given
    match = _LIMIT.search(finding.expected)
    scale = _UNITS[unit].get(match["unit"]) if match else None
    return float(match["number"]) * scale if match and scale else None
