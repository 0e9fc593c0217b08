# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of ops.runbook.recovery_report; the module of the same name documents it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase, VariableLayer
from ansible_collections.ops.runbook.plugins.action.recovery_plan import PLAN
from ansible_collections.ops.runbook.plugins.plugin_utils import recovery_report

#: Results of the steps, in their order.
STEPS = ("restored", "verified", "opened", "concluded")


class ActionModule(ActionBase):  # type: ignore[misc]
    """Turns the plan and what became of it into findings and tables."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Set the variables that the report is made of."""
        super().run(tmp, task_vars)
        _unused, arguments = self.validate_argument_spec(
            argument_spec={"failure": {"type": "str", "default": ""}, "back": {"type": "bool", "default": False}}
        )
        variables = task_vars or {}
        plan: Mapping[str, Any] = variables[PLAN]
        primary = variables["hostvars"][plan["primary"]]
        state: dict[str, Any] = {}
        seconds: dict[str, Any] = {}
        for step in STEPS:
            result = primary.get(f"__database_restore_{step}") or {}
            state.update(result.get("state") or {})
            seconds.update(result.get("seconds") or {})
        copied = primary.get("__database_restore_copied") or {}
        findings = list(recovery_report.restore_findings(plan, state, seconds, copied))
        if arguments["failure"]:
            findings = [recovery_report.failure(plan["primary"], arguments["failure"], back=arguments["back"])]
        made = {
            "__database_restore_findings": [finding.to_dict() for finding in findings],
            "__database_restore_sections": {"tables": recovery_report.tables(plan, state, seconds, copied)},
        }
        self.register_host_variables(made, VariableLayer.REGISTER_VARS)
        return {"changed": False}
