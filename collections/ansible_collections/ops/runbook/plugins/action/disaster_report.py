# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of ops.runbook.disaster_report; the module of the same name documents it."""

from __future__ import annotations

import time
from typing import Any

from ansible.plugins.action import ActionBase, VariableLayer
from ansible_collections.ops.runbook.plugins.plugin_utils import disaster_findings

PLAN = "__disaster_recovery_plan"
RESULTS = {
    "fenced": "__database_role_fenced",
    "promoted": "__database_role_promoted",
    "followed": "__database_role_followed",
    "measured": "__database_role_measured",
    "power": "__disaster_recovery_power",
    "probe": "__disaster_recovery_probe",
}


class ActionModule(ActionBase):  # type: ignore[misc]
    """Turns what was planned and done into findings and tables."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Set the variables that the report is made of."""
        super().run(tmp, task_vars)
        _unused, options = self.validate_argument_spec(argument_spec={"objectives": {"type": "dict", "required": True}})
        variables = task_vars or {}
        plan, hostvars = variables[PLAN], variables["hostvars"]
        results = {
            kind: {
                host: dict(hostvars[host][name])
                for host in hostvars
                if name in hostvars[host] and not hostvars[host][name].get("skipped")
            }
            for kind, name in RESULTS.items()
        }
        findings, tables = disaster_findings.report(
            plan, results, options["objectives"], check=bool(self._task.check_mode), now=time.time()
        )
        made = {
            "__disaster_recovery_findings": [finding.to_dict() for finding in findings],
            "__disaster_recovery_sections": {"tables": tables},
        }
        self.register_host_variables(made, VariableLayer.REGISTER_VARS)
        # What was measured against a promise goes to the record, kept or not.
        measured = [finding.to_dict() for finding in findings if finding.type == disaster_findings.OBJECTIVE]
        return {"changed": False, "findings": measured}
