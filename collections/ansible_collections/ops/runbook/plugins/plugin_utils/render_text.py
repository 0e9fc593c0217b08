# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Values, times and page references as people read them; every rendering uses the same words."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_PAGE = re.compile(r"(?P<page>[a-z0-9-]+(?:/[a-z0-9-]+)*)(?:#(?P<anchor>[A-Za-z0-9_-]+))?")

#: Stands where there is no value.
NOTHING = "—"
#: One sign a status: it must be told apart without colour.
SYMBOLS = {"ok": "✓", "warning": "!", "unknown": "?", "critical": "✕"}


def number(value: float) -> str:
    """A number with as many digits as say something."""
    if abs(value) >= 100 or value == int(value):  # noqa: PLR2004
        return f"{value:.0f}"
    return f"{value:.3g}"


def size(value: float) -> str:
    """Bytes in the unit that leaves one to four digits before the point."""
    amount, unit = float(value), _BINARY[0]
    for unit in _BINARY:
        if abs(amount) < 1024 or unit == _BINARY[-1]:  # noqa: PLR2004
            break
        amount /= 1024
    return f"{number(amount)} {unit}"


def duration(seconds: float) -> str:
    """Seconds in the unit that suits them."""
    if abs(seconds) < 1:
        return f"{number(seconds * 1000)} ms"
    if abs(seconds) < 120:  # noqa: PLR2004
        return f"{number(seconds)} s"
    if abs(seconds) < 2 * 3600:
        return f"{number(round(seconds / 60))} min"
    if abs(seconds) < 2 * 86400:
        return f"{number(round(seconds / 3600))} h"
    return f"{number(round(seconds / 86400))} days"


def value(observed: float | str | None, unit: str = "") -> str:
    """What was observed, with its unit."""
    if observed is None:
        return NOTHING
    if isinstance(observed, str):
        return f"{observed} {unit}".strip()
    if unit in {"B", "bytes"}:
        return size(observed)
    if unit in {"s", "seconds"}:
        return duration(observed)
    return f"{number(observed)} {unit}".strip()


def days(count: float | None) -> str:
    """Days that are left."""
    if count is None:
        return NOTHING
    if count < 1:
        return "less than a day"
    if count > 730:  # noqa: PLR2004
        return "over 2 years"
    whole = int(count + 0.01)  # 6.999 is seven
    return "1 day" if whole == 1 else f"{whole} days"


def moment(time: datetime) -> str:
    """Date and time in the controller's own time zone."""
    return time.astimezone().strftime("%Y-%m-%d %H:%M %Z")


def since(earlier: str, now: datetime) -> str:
    """Heading of a comparison with an earlier moment (ISO 8601), in the controller's own time zone."""
    then, today = datetime.fromisoformat(earlier).astimezone(), now.astimezone().date()
    if then.date() == today:
        return f"Since {then:%H:%M} today"
    if then.date() == today - timedelta(days=1):
        return f"Since yesterday {then:%H:%M}"
    return f"Since {moment(then)}"


def page_parts(remedy: str) -> tuple[str, str] | None:
    """Page and anchor of a reference such as ``monitoring-procedures/health-checks#disk``; None for other text."""
    match = _PAGE.fullmatch(remedy)
    return (match["page"], match["anchor"] or "") if match else None
