# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Pictures for the HTML report: bars against their limits, and lines of growth.

They hold no text and no style: words stand beside them, where they wrap and scale, and colours come from the page's
classes, so that a strict content security policy and the dark mode apply.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

_WIDTH, _HEIGHT = 300, 72
#: Part of a growth picture's width that is kept for the days to come.
_AHEAD = 0.3


@dataclass(frozen=True)
class Bar:
    """A value on a scale, with the marks at which it turns into a warning or worse."""

    value: float
    full: float
    status: str
    warning: float | None = None
    critical: float | None = None


def draw_bar(shown: Bar, label: str) -> Markup:
    """The bar as SVG that takes the width of its place."""
    marks = Markup("").join(
        _mark(limit / shown.full * 100, kind)
        for kind, limit in (("warning", shown.warning), ("critical", shown.critical))
        if limit is not None and 0 < limit <= shown.full
    )
    share = min(max(shown.value / shown.full, 0.0), 1.0) * 100
    return Markup(
        '<svg class="bar" role="img" aria-label="{}"><rect class="track" width="100%" height="8" y="3" rx="2"/>'
        '<rect class="fill {}" width="{:.1f}%" height="8" y="3" rx="2"/>{}</svg>'
    ).format(label, shown.status, share, marks)


def _mark(percent: float, kind: str) -> Markup:
    return Markup('<line class="mark {0}" x1="{1:.1f}%" x2="{1:.1f}%" y1="0" y2="14"/>').format(kind, percent)


def draw_growth(
    points: Sequence[tuple[float, float]], per_day: float | None, size: float | None, status: str, label: str
) -> Markup:
    """A line of what was in use, with its trend drawn on to the right edge; the upper edge is full."""
    first, last = points[0][0], points[-1][0]
    span = max(last - first, 1.0)
    ahead = span * _AHEAD / (1 - _AHEAD)
    now = points[-1][1]
    then = now + (per_day or 0.0) * ahead / 86400
    low, high = _scale([amount for _time, amount in points] + [then], size)

    def spot(time: float, amount: float) -> str:
        across = (time - first) / (span + ahead) * _WIDTH
        down = _HEIGHT - 4 - (amount - low) / (high - low) * (_HEIGHT - 8)
        return f"{across:.1f},{down:.1f}"

    line = " ".join(spot(*point) for point in points)
    trend = f"{spot(last, now)} {spot(last + ahead, then)}"
    ground = f"{spot(first, low)} {line} {spot(last, low)}"
    full = ""
    if size is not None and low <= size <= high:
        left, right = spot(first, size), spot(last + ahead, size)
        full = Markup('<polyline class="full" points="{} {}"/>').format(left, right)
    return Markup(
        '<svg class="growth {}" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">'
        '{}<polygon class="area" points="{}"/><polyline class="line" points="{}"/>'
        '<polyline class="trend" points="{}"/></svg>'
    ).format(status, _WIDTH, _HEIGHT, label, full, ground, line, trend)


def _scale(amounts: Sequence[float], size: float | None) -> tuple[float, float]:
    """Lower and upper end of the picture: up to full where that is near enough to see the line move."""
    low, high = min(amounts), max(amounts)
    room = max((high - low) * 0.25, high * 0.002, 1.0)
    if size is not None and size - high < (high - low) * 6:
        high = max(high, size)
    return low - room, high + room * 0.3
