# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""When a snapshot came in, by the clock of the store, and whether that belies the time that the snapshot bears.

Whoever holds a host can date its snapshots as he likes; when they came in he cannot. Python 3.9.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Optional

#: A clock may go this much ahead before a snapshot counts as one from the future, in seconds.
CLOCK = 300.0
#: A snapshot bears the time at which its backup began, and comes in when it is complete: at most so many seconds later.
LONGEST = 86400.0


def ahead(snapshot: Mapping[str, Any]) -> bool:
    """Whether a snapshot came in before the time that it bears."""
    return float(snapshot["made"]) > float(snapshot["received"]) + CLOCK


def behind(snapshot: Mapping[str, Any]) -> bool:
    """Whether a snapshot came in later than any backup takes."""
    return float(snapshot["received"]) > float(snapshot["made"]) + LONGEST


def newest(snapshots: Iterable[Mapping[str, Any]]) -> Optional[Mapping[str, Any]]:
    """The one that came in last, of those that bear a time at which they can have been made."""
    credible = [each for each in snapshots if not (ahead(each) or behind(each))]
    return max(credible, key=lambda each: float(each["received"]), default=None)


def doubtful(snapshots: Iterable[Mapping[str, Any]]) -> str:
    """What to say of those that bear another time; empty where there are none."""
    names = [each["short_id"] for each in snapshots if ahead(each) or behind(each)]
    if not names:
        return ""
    why = "the host's clock was wrong, or they are forged"
    return f"{', '.join(names[-5:])} bear a time at which they did not come in: {why}"
