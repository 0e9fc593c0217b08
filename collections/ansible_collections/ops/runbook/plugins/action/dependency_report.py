# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of ops.runbook.dependency_report; the module of the same name documents it."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase, VariableLayer
from ansible_collections.ops.runbook.plugins.plugin_utils import dependency_report
from ansible_collections.ops.runbook.plugins.plugin_utils.dependency_report import Result

PLAN = "__dependency_updates_plan"
_STEPS = ("switched", "concluded", "rolled_back")


class ActionModule(ActionBase):  # type: ignore[misc]
    """Makes the report of a change of releases from what its steps returned."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Register findings and tables as variables."""
        super().run(tmp, task_vars)
        _unused, arguments = self.validate_argument_spec(argument_spec={"failure": {"type": "str", "default": ""}})
        variables = task_vars or {}
        plan, hostvars = variables[PLAN], variables["hostvars"]
        results = {
            host: Result(step, *(self._result(hostvars[host], name) for name in _STEPS))
            for host, step in plan["hosts"].items()
        }
        check = self._task.check_mode
        found = dependency_report.findings(results, plan, arguments["failure"], check=check)
        facts = {
            "__dependency_updates_findings": [finding.to_dict() for finding in found],
            "__dependency_updates_sections": {"tables": dependency_report.tables(results, plan, check=check)},
        }
        self.register_host_variables(facts, VariableLayer.REGISTER_VARS)
        return {"changed": False}

    @staticmethod
    def _result(variables: Any, step: str) -> dict[str, Any]:
        """What a step on a host returned; empty where it did not run or, but for the way back, failed."""
        found = variables.get(f"__application_release_{step}") or {}
        bad = found.get("failed") and step != "rolled_back"
        return {} if bad or found.get("skipped") else dict(found)
