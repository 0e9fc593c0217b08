# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The finding: what one check observed on one host, and how bad that is.

Health checks, troubleshooting, security monitoring and backup verification all return findings; every report is
made from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Optional, Union

#: From best to worst. ``unknown`` is worse than ``warning``: what could not be observed may be broken.
STATUSES = ("ok", "warning", "unknown", "critical")


@dataclass(frozen=True)
class Finding:
    """One check's result on one host (status semantics of Nagios plugins)."""

    #: Identity of the check: its name in the inventory, stable from run to run.
    check: str
    #: Inventory name of the host.
    host: str
    #: One of STATUSES.
    status: str
    #: One line that says what is the case: "/var is 93 % full".
    title: str = ""
    #: What was measured; a number in ``unit`` where there is one.
    observed: Optional[Union[float, str]] = None
    #: What would have been ok: "< 80 %".
    expected: str = ""
    #: Unit of ``observed``: %, s, B, days, or empty.
    unit: str = ""
    #: What an operator needs to act: names of failed units, the last log line.
    detail: str = ""
    #: Page of the runbook that remedies it, with anchor: "monitoring-procedures/health-checks#disk".
    remedy: str = ""
    #: Controls of the compliance framework that the check gives evidence for.
    controls: tuple[str, ...] = ()
    #: Type of the check (``disk``, ``http``); empty for findings that no check type made.
    type: str = ""
    #: How long the check took, in seconds.
    duration: float = 0.0
    #: Further numbers, for pictures and forecasts. Keys end in their unit: ``used_bytes``, ``lag_seconds``.
    metrics: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise ValueError(f"status of {self.check!r} on {self.host!r} is {self.status!r}, not one of {STATUSES}")
        object.__setattr__(self, "controls", tuple(self.controls))

    def to_dict(self) -> dict[str, Any]:
        """The finding as JSON-ready data."""
        # Not asdict: it copies every value deeply, which takes long for 800 findings.
        return {**vars(self), "controls": list(self.controls), "metrics": dict(self.metrics)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Finding:
        """The finding from to_dict's data.

        Raises TypeError for keys that a finding does not have, ValueError for an unknown status.
        """
        return cls(**data)


def worst(findings: Iterable[Finding]) -> str:
    """The worst status among the findings; ``ok`` where there are none."""
    return max((finding.status for finding in findings), key=STATUSES.index, default="ok")


def at_least(findings: Iterable[Finding], threshold: str) -> list[Finding]:
    """The findings whose status is as bad as the threshold or worse."""
    return [finding for finding in findings if STATUSES.index(finding.status) >= STATUSES.index(threshold)]


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """The findings in the order in which an operator reads them: by status, host, check."""
    return sorted(findings, key=lambda f: (-STATUSES.index(f.status), f.host, f.check))
