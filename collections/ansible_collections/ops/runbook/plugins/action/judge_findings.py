# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of ops.runbook.judge_findings; the module of the same name documents it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.ops.runbook.plugins.module_utils.finding import STATUSES, Finding, at_least
from ansible_collections.ops.runbook.plugins.plugin_utils.arguments import validated
from ansible_collections.ops.runbook.plugins.plugin_utils.render_console import one_line
from ansible_collections.ops.runbook.plugins.plugin_utils.reports import ReportError, parse_findings, reading_order

NEVER = "never"
CHOICES = (*STATUSES[1:], NEVER)
#: A failure message is read on a screen; the others are in the report.
_MOST_NAMED = 20


class ActionModule(ActionBase):  # type: ignore[misc]
    """End a run in failure whose findings are too bad."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Fail where a finding is at or above the threshold."""
        super().run(tmp, task_vars)
        arguments = validated(
            self._task.args,
            {
                "findings": {"type": "list", "elements": "dict", "required": True},
                "fail_on": {"type": "str", "choices": list(CHOICES), "default": "unknown"},
                "report": {"type": "str", "default": ""},
            },
        )
        try:
            findings = parse_findings(arguments["findings"])
        except ReportError as error:
            raise AnsibleActionFail(str(error)) from error
        message = judge(findings, arguments["fail_on"])
        if not message:
            return {"changed": False, "msg": "No finding is as bad as that."}
        if arguments["report"]:
            message += f"\nReport: {arguments['report']}"
        return {"changed": False, "failed": True, "msg": message}


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
