# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plans the checks of all hosts of the play and runs them at once."""

from __future__ import annotations

import json
import time
from typing import Any

from ansible.plugins.action import ActionBase, VariableLayer
from ansible_collections.ops.runbook.plugins.plugin_utils.checks_plan import Plan
from ansible_collections.ops.runbook.plugins.plugin_utils.checks_sweep import sweep
from ansible_collections.ops.runbook.plugins.plugin_utils.fan_out import FanOut

FINDINGS = "health_check_findings_json"


class ActionModule(ActionBase):  # type: ignore[misc]
    """Looks at all hosts."""

    _requires_connection = False
    _supports_check_mode = True
    TRANSFERS_FILES = False

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Sweep the hosts of the batch."""
        super().run(tmp, task_vars)
        _unused, arguments = self.validate_argument_spec(
            argument_spec={
                "entry_point": {"type": "str", "required": True},
                "also_validate": {"type": "list", "elements": "str", "default": []},
            }
        )
        # Before the plan makes durations of times: the next sweep's window begins here, and must not begin too late.
        begun = time.time()
        variables = task_vars or {}
        plan = Plan(self, variables, arguments["entry_point"], arguments["also_validate"])
        if plan.errors:
            return plan.refusal()
        hosts = list(variables["ansible_play_batch"])
        fan_out = FanOut(self, variables, plan.variables)
        timeouts = {host: plan.options[host]["health_check_timeout"] for host in hosts}
        findings = sweep(fan_out, {host: plan.checks[host] for host in hosts}, timeouts, begun)
        # Ansible copies a result for each callback, which takes longer than judging it: what is ok is not part of it.
        data = [finding.to_dict() for finding in findings]
        # As text: Ansible would tag and copy every value of it, at every step.
        self.register_host_variables({FINDINGS: json.dumps(data)}, VariableLayer.REGISTER_VARS)
        bad = [finding for finding in data if finding["status"] != "ok"]
        message = f"{len(findings)} findings on {len(hosts)} hosts, {len(bad)} of them not ok"
        return {"changed": False, "msg": message, "examined": hosts, "findings": bad}
