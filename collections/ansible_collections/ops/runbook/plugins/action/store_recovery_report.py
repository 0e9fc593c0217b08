# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of ops.runbook.store_recovery_report; the module of the same name documents it."""

from __future__ import annotations

import time
from typing import Any

from ansible.plugins.action import ActionBase, VariableLayer
from ansible_collections.ops.runbook.plugins.module_utils.finding import Finding
from ansible_collections.ops.runbook.plugins.plugin_utils import store_recovery

#: Roles whose findings and tables become part of the report.
PARTS = ("evidence_store", "backup_procedures")


class ActionModule(ActionBase):  # type: ignore[misc]
    """Brings the reports of the parts together, and measures."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Set the variables that the report is made of."""
        super().run(tmp, task_vars)
        _unused, given = self.validate_argument_spec(
            argument_spec={
                "store": {"type": "str", "required": True},
                "objectives": {"type": "dict", "required": True},
            }
        )
        variables = task_vars or {}
        known = variables["hostvars"][given["store"]]
        found = [Finding.from_dict(each) for part in PARTS for each in known[f"__{part}_findings"]]
        measured: list[Finding] = []
        if not self._task.check_mode:
            plan = known["__store_recovery_plan"]
            seconds = time.time() - plan["began"]
            measured = list(store_recovery.findings(given["store"], plan, found, given["objectives"], seconds))
        promised = [finding for finding in measured if finding.type == store_recovery.OBJECTIVE]
        tables = [store_recovery.against_objectives(promised)] if promised else []
        tables += [table for part in PARTS for table in known[f"__{part}_sections"].get("tables", ())]
        whole = all(finding.status not in store_recovery.BAD for finding in found)
        self.register_host_variables(
            {
                "__store_recovery_findings": [finding.to_dict() for finding in [*measured, *found]],
                "__store_recovery_sections": {"tables": tables},
                "__store_recovery_whole": whole,
            },
            VariableLayer.REGISTER_VARS,
        )
        return {"changed": False, "findings": [finding.to_dict() for finding in promised]}
