# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of ops.runbook.rebuild_report; the module of the same name documents it."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase, VariableLayer
from ansible_collections.ops.runbook.plugins.plugin_utils import rebuild_report


class ActionModule(ActionBase):  # type: ignore[misc]
    """Makes findings and tables of a rebuild."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Set the variables that the report is made of."""
        super().run(tmp, task_vars)
        spec = {"rto": {"type": "str", "required": True}, "rpo": {"type": "str", "required": True}}
        _unused, options = self.validate_argument_spec(argument_spec=spec)
        variables = task_vars or {}
        plan = variables["__host_rebuild_plan"]
        host = variables["hostvars"][plan["host"]]
        seconds = host["__host_rebuild_finished"]["seconds"] if "__host_rebuild_finished" in host else 0.0
        check = bool(self._task.check_mode)
        found = rebuild_report.findings(plan, seconds, options["rto"], options["rpo"], check=check)
        made = {
            "__host_rebuild_findings": [finding.to_dict() for finding in found],
            "__host_rebuild_sections": {"tables": rebuild_report.tables(plan, found)},
        }
        self.register_host_variables(made, VariableLayer.REGISTER_VARS)
        # What was measured against a promise goes to the record, kept or not.
        measured = [finding.to_dict() for finding in found if finding.type == rebuild_report.OBJECTIVE]
        return {"changed": False, "findings": measured}
