# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Resolves the health checks of every host of the play, and refuses the run if anything about them is wrong."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase, VariableLayer
from ansible_collections.ops.runbook.plugins.plugin_utils.checks_plan import Plan

PLAN = "__health_check_plan"


class ActionModule(ActionBase):  # type: ignore[misc]
    """Plans a sweep: no host is touched."""

    _requires_connection = False
    _supports_check_mode = True
    TRANSFERS_FILES = False

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Resolve the checks of every host of the play."""
        super().run(tmp, task_vars)
        _unused, arguments = self.validate_argument_spec(
            argument_spec={"entry_point": {"type": "str", "required": True}}
        )
        plan = Plan(self, task_vars or {}, arguments["entry_point"])
        if plan.errors:
            return plan.refusal()
        # Not part of the result: check options may hold credentials, and results are shown and recorded.
        self.register_host_variables({PLAN: plan.checks}, VariableLayer.REGISTER_VARS)
        count = sum(map(len, plan.checks.values()))
        message = f"{count} checks on {len(plan.checks)} hosts"
        return {"changed": False, "msg": message, "hosts": len(plan.checks), "checks": count}
