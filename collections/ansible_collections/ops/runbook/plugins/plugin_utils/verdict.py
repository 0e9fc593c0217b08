# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether findings end a run in failure, and what the operator then reads."""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.ops.runbook.plugins.module_utils.finding import STATUSES, Finding, at_least
from ansible_collections.ops.runbook.plugins.plugin_utils.render_console import one_line
from ansible_collections.ops.runbook.plugins.plugin_utils.reports import reading_order

NEVER = "never"
CHOICES = (*STATUSES[1:], NEVER)
#: A failure message is read on a screen; the others are in the report.
_MOST_NAMED = 20


def judge(findings: Sequence[Finding], fail_on: str) -> str:
    """Why the run has failed; empty where it has not."""
    if fail_on == NEVER:
        return ""
    if not findings:
        # What nobody looked at is unknown.
        return "" if fail_on == "critical" else "No check ran: nothing is known about the platform."
    bad = reading_order(at_least(findings, fail_on))
    if not bad:
        return ""
    many = len(bad) != 1
    threshold = fail_on if fail_on == STATUSES[-1] else f"{fail_on} or worse"
    lines = [f"{len(bad)} finding{'s' if many else ''} {'are' if many else 'is'} {threshold}:"]
    lines += [one_line(finding) for finding in bad[:_MOST_NAMED]]
    if len(bad) > _MOST_NAMED:
        lines.append(f"and {len(bad) - _MOST_NAMED} more, in the report")
    return "\n".join(lines)
