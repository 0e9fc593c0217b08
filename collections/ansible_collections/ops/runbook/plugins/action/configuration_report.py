# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of ops.runbook.configuration_report; the module of the same name documents it."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase, VariableLayer
from ansible_collections.ops.runbook.plugins.plugin_utils import configuration_findings

PLAN = "__configuration_changes_plan"


class ActionModule(ActionBase):  # type: ignore[misc]
    """Turns what was inspected and done into findings and tables."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Set the variables that the report is made of."""
        super().run(tmp, task_vars)
        _unused, arguments = self.validate_argument_spec(
            argument_spec={"mode": {"type": "str", "choices": ["changes", "drift"], "required": True}}
        )
        variables = task_vars or {}
        plan = variables[PLAN]
        if arguments["mode"] == "drift":
            findings, tables = configuration_findings.drift(plan)
        else:
            hostvars = variables["hostvars"]
            results = {host: _results(hostvars[host]) for host in plan}
            findings, tables = configuration_findings.changes(plan, results, check=bool(self._task.check_mode))
        made = {
            "__configuration_changes_findings": [finding.to_dict() for finding in findings],
            "__configuration_changes_sections": {"tables": tables},
        }
        self.register_host_variables(made, VariableLayer.REGISTER_VARS)
        return {"changed": False}


def _results(variables: Any) -> dict[str, Any]:
    """What the host's tasks returned in this run."""
    names = {"apply": "__configuration_changes_applied", "rollback": "__configuration_changes_rolled_back"}
    return {name: variables[variable] for name, variable in names.items() if variable in variables}
