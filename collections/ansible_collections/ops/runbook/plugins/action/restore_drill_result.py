# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of ops.runbook.restore_drill_result; the module of the same name documents it."""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase, VariableLayer
from ansible_collections.ops.runbook.plugins.action.restore_drill_plan import PLAN
from ansible_collections.ops.runbook.plugins.module_utils.finding import Finding
from ansible_collections.ops.runbook.plugins.module_utils.ledger_entry import LedgerError
from ansible_collections.ops.runbook.plugins.plugin_utils import recovery_drills
from ansible_collections.ops.runbook.plugins.plugin_utils.state import state_dir


class ActionModule(ActionBase):  # type: ignore[misc]
    """Judges the drill, signs what it found, and makes findings and tables of it."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Set the variables that the report is made of, and write the signed result."""
        super().run(tmp, task_vars)
        _unused, arguments = self.validate_argument_spec(argument_spec={"signing_key": {"type": "str", "default": ""}})
        variables = task_vars or {}
        plan = variables[PLAN]
        if self._task.check_mode:
            title = f"{plan['estimate']['backup']} would be restored and compared with {plan['source']}."
            self._register([Finding("restore drill", plan["scratch"], "ok", title).to_dict()], [], [])
            return {"changed": False}
        hostvars = variables["hostvars"]
        live = hostvars[plan["source"]]["__restore_drill_live"]["content"]
        restored = hostvars[plan["scratch"]]["__restore_drill_restored"]
        seen = recovery_drills.Seen(plan, live, restored["content"], restored["seconds"], restored["failure"])
        run = os.environ.get("RUNBOOK_RUN_ID") or uuid.uuid4().hex
        earlier = recovery_drills.drills(state_dir())
        found = recovery_drills.result(seen, run, time.time())
        key = arguments["signing_key"]
        try:
            files = recovery_drills.keep(state_dir(), found, str(Path(key).expanduser()) if key else "")
        except LedgerError as error:
            return {"failed": True, "changed": False, "msg": str(error)}
        made = [finding.to_dict() for finding in recovery_drills.findings(found, plan["scratch"], signed=bool(key))]
        self._register(made, recovery_drills.tables(found, earlier), [str(path) for path in files])
        return {"changed": False, "result": found, "files": [str(path) for path in files]}

    def _register(self, findings: list[dict[str, Any]], tables: list[dict[str, Any]], files: list[str]) -> None:
        self.register_host_variables(
            {
                "__restore_drill_findings": findings,
                "__restore_drill_sections": {"tables": tables},
                "__restore_drill_files": files,
            },
            VariableLayer.REGISTER_VARS,
        )
