# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of ops.runbook.platform_report; the module of the same name documents it."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase, VariableLayer
from ansible_collections.ops.runbook.plugins.plugin_utils import platform_report
from ansible_collections.ops.runbook.plugins.plugin_utils.platform_report import Seen

PLAN = "__platform_rebuild_plan"
#: What the steps of a host have registered, in their order: the last one knows most.
STATES = (
    "__host_rebuild_release",
    "__platform_rebuild_started",
    "__platform_rebuild_opened",
    "__platform_rebuild_finished",
    "__platform_rebuild_closed",
)
RESTORES = (
    "__database_restore_restored",
    "__database_restore_verified",
    "__database_restore_opened",
    "__database_restore_concluded",
)


class ActionModule(ActionBase):  # type: ignore[misc]
    """Makes findings and tables of a rebuild."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Set the variables that the report is made of."""
        super().run(tmp, task_vars)
        self.validate_argument_spec(argument_spec={})
        known = (task_vars or {})["hostvars"]
        plan = (task_vars or {})[PLAN]
        seen = Seen(
            plan=plan,
            states={host: _latest(known[host], STATES, plan["states"][host]) for host in plan["order"]},
            restore=_restore(known, plan),
            followed={
                host: round(known[host]["__platform_rebuild_followed"]["took"], 1)
                for host in plan["database"].get("follow", ())
                if known[host].get("__platform_rebuild_followed", {}).get("took")
            },
            accepted=max((_accepted(known[host]) for host in plan["order"]), default=0.0),
        )
        check = bool(self._task.check_mode)
        found = platform_report.findings(seen, check=check)
        made = {
            "__platform_rebuild_findings": [finding.to_dict() for finding in found],
            "__platform_rebuild_sections": {"tables": platform_report.tables(seen, found)},
        }
        self.register_host_variables(made, VariableLayer.REGISTER_VARS)
        # What was measured against a promise goes to the record, kept or not.
        measured = [finding.to_dict() for finding in found if finding.type == platform_report.OBJECTIVE]
        return {"changed": False, "findings": measured}


def _latest(known: Any, names: tuple[str, ...], before: dict[str, Any]) -> dict[str, Any]:
    """What the last of the registered results says of the state; that of before this run where none does."""
    found = before
    for name in names:
        result = known.get(name, {})
        found = result.get("state") or found
    return dict(found)


def _restore(known: Any, plan: dict[str, Any]) -> dict[str, Any]:
    primary = plan["database"].get("primary")
    return _latest(known[primary], RESTORES, plan["database"]["state"]) if primary else {}


def _accepted(known: Any) -> float:
    result = known.get("__platform_rebuild_probe", {})
    return float(result.get("accepted_at", 0.0))
