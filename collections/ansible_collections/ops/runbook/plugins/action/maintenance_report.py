# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of ops.runbook.maintenance_report; the module of the same name documents it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase, VariableLayer
from ansible_collections.ops.runbook.plugins.action.maintenance_plan import PLAN, TIMEOUT
from ansible_collections.ops.runbook.plugins.plugin_utils.fan_out import FanOut
from ansible_collections.ops.runbook.plugins.plugin_utils.maintenance_findings import findings
from ansible_collections.ops.runbook.plugins.plugin_utils.maintenance_program import answer, program
from ansible_collections.ops.runbook.plugins.plugin_utils.maintenance_report import Done, failures, tables


class ActionModule(ActionBase):  # type: ignore[misc]
    """Looks again at the hosts that were touched, and makes the report's findings and tables."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Set the variables that the report is made of."""
        super().run(tmp, task_vars)
        self.validate_argument_spec(argument_spec={})
        variables = task_vars or {}
        check = bool(self._play_context.check_mode)
        plan: Mapping[str, Any] = variables[PLAN]
        fan_out = FanOut(self, variables)
        done = {name: _done(planned, fan_out.variables(name)) for name, planned in plan.items()}
        seen = {name: planned["seen"] for name, planned in plan.items()}
        if not check:
            touched = variables["__routine_maintenance_touched_hosts"]
            replies = fan_out.run_python({name: program(plan[name]["job"]) for name in touched}, TIMEOUT)
            seen |= {name: answer(reply) for name, reply in replies.items()}
        thresholds = {name: planned["thresholds"] for name, planned in plan.items()}
        found = [finding.to_dict() for finding in (*failures(done), *findings(seen, thresholds))]
        self.register_host_variables(
            {
                "__routine_maintenance_findings": found,
                "__routine_maintenance_sections": {"tables": tables(done, thresholds, check=check)},
            },
            VariableLayer.REGISTER_VARS,
        )
        return {"changed": False}


def _done(planned: Mapping[str, Any], variables: Mapping[str, Any]) -> Done:
    """What the tasks have left in the host's variables."""
    restarted = variables.get("service_restart_result") or {}
    reboot = variables.get("host_reboot_result") or {}
    cleaned = variables.get("__routine_maintenance_cleaned") or {}
    came = "changed" in restarted or "changed" in reboot
    left = "" if came or not (planned["restarts"] or planned["reboots"]) else "not reached: the run ended before it"
    # The last is what the block that was rescued failed with: a gate, or a host that did not answer.
    results = (cleaned, restarted, reboot, variables.get("ansible_failed_result") or {})
    failed = next((result for result in results if result.get("failed")), {})
    return Done(
        before=planned["seen"],
        cleaned=cleaned if "areas" in cleaned else {},
        restarted=list(restarted.get("restarted", ())),
        rebooted=bool(reboot.get("changed")),
        failure=str(failed.get("msg", "")),
        left=left,
    )
