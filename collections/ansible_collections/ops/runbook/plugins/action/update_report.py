# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of ops.runbook.update_report; the module of the same name documents it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase, VariableLayer
from ansible_collections.ops.runbook.plugins.plugin_utils import role_options, updates_inspection, updates_report
from ansible_collections.ops.runbook.plugins.plugin_utils.updates_report import Outcome


class ActionModule(ActionBase):  # type: ignore[misc]
    """Gathers what became of every host of the plan."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Look again at the hosts that were changed, and register findings and tables."""
        super().run(tmp, task_vars)
        variables: Mapping[str, Any] = task_vars or {}
        self.validate_argument_spec(argument_spec={})
        plan = variables["security_updates_plan"]
        hostvars = variables["hostvars"]
        results = {host: _results(hostvars[host]) for host in plan}
        changed = [host for host in plan if results[host]] if not self._task.check_mode else []
        options = role_options.read(self, role_options.specification(self, "report"), changed)
        now = updates_inspection.inspected(self, variables, {host.host: host.values for host in options})
        outcomes = [
            _outcome(host, plan[host], results[host], now.get(host), check=bool(self._task.check_mode)) for host in plan
        ]
        self.register_host_variables(
            {
                "security_updates_findings": [updates_report.finding(outcome).to_dict() for outcome in outcomes],
                "security_updates_sections": updates_report.sections(outcomes),
            },
            VariableLayer.REGISTER_VARS,
        )
        return {"changed": False}


#: What the tasks of the procedure registered on a host.
_REGISTERED = (
    "__security_updates_applied",
    "__security_updates_rolled_back",
    "__security_updates_reason",
    "service_restart_result",
    "host_reboot_result",
)


def _results(variables: Mapping[str, Any]) -> dict[str, Any]:
    """The results that a host has, as plain data."""
    found = {name: variables[name] for name in _REGISTERED if name in variables}
    plain: dict[str, Any] = json.loads(json.dumps(found, default=str))
    return plain


def _outcome(
    host: str, planned: Mapping[str, Any], results: Mapping[str, Any], now: Mapping[str, Any] | None, *, check: bool
) -> Outcome:
    applied = results.get("__security_updates_applied", {})
    back = results.get("__security_updates_rolled_back")
    restart = results.get("service_restart_result", {})
    seen = now if now is not None else {"kept": planned["kept"], "reboot": planned["reboot"]}
    left = [*seen.get("kept", ()), *({**update, "reason": "not installed"} for update in seen.get("updates", ()))]
    return Outcome(
        host=host,
        planned=planned["updates"],
        installed=applied.get("packages", []) if back is None else [],
        rolled_back=back.get("packages", []) if back is not None else None,
        reason=results.get("__security_updates_reason", ""),
        in_doubt=str(back.get("msg", "")) if back is not None and back.get("failed") else "",
        restarted=restart.get("restarted", []),
        rebooted=bool(results.get("host_reboot_result", {}).get("rebooted")),
        waiting=restart.get("waiting", []),
        reboot_required=bool(seen.get("reboot")),
        pending=left,
        lost=str(seen.get("error", "")),
        interrupted=planned["interrupted"],
        entered=bool(results),
        check=check,
    )
