# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs the planned checks of one host and fails the host if a finding is too bad."""

from __future__ import annotations

import time
from typing import Any

from ansible.plugins.action import ActionBase, VariableLayer
from ansible_collections.ops.runbook.plugins.module_utils.finding import STATUSES, Finding, at_least, worst_first
from ansible_collections.ops.runbook.plugins.plugin_utils.checks import CHECK_TYPES
from ansible_collections.ops.runbook.plugins.plugin_utils.checks_sweep import sweep
from ansible_collections.ops.runbook.plugins.plugin_utils.fan_out import FanOut

#: What M(ops.runbook.health_plan) has registered. Not an argument, which would be shown: checks may hold credentials.
PLAN = "__health_check_plan"
FINDINGS = "health_check_findings"


class ActionModule(ActionBase):  # type: ignore[misc]
    """Lets pass who is healthy."""

    _supports_check_mode = True
    TRANSFERS_FILES = False

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Look at the host once."""
        super().run(tmp, task_vars)
        _unused, arguments = self.validate_argument_spec(
            argument_spec={
                "timeout": {"type": "float", "default": 30.0},
                "fail_on": {"type": "str", "choices": list(STATUSES[1:]), "default": "unknown"},
                "ignored": {"type": "list", "elements": "str", "choices": list(CHECK_TYPES), "default": []},
            }
        )
        variables = task_vars or {}
        host = str(variables["inventory_hostname"])
        checks = [check for check in variables[PLAN][host] if check["type"] not in arguments["ignored"]]
        findings = sweep(FanOut(self, variables), {host: checks}, {host: arguments["timeout"]}, time.time())
        data = [finding.to_dict() for finding in findings]
        self.register_host_variables({FINDINGS: data}, VariableLayer.REGISTER_VARS)
        return {"changed": False, "findings": data, **_verdict(findings, arguments["fail_on"])}


def _verdict(findings: list[Finding], fail_on: str) -> dict[str, Any]:
    """Whether the task fails, and why."""
    bad = worst_first(at_least(findings, fail_on))
    if not bad:
        return {}
    lines = [f"- {finding.status}: {finding.check}: {finding.title}" for finding in bad]
    message = f"{bad[0].host} is not healthy ({len(bad)} of {len(findings)} checks are {fail_on} or worse):\n"
    return {"failed": True, "msg": message + "\n".join(lines)}
