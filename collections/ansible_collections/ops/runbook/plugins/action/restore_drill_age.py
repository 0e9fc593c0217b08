# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of ops.runbook.restore_drill_age; the module of the same name documents it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase, VariableLayer
from ansible_collections.ops.runbook.plugins.module_utils.finding import Finding
from ansible_collections.ops.runbook.plugins.plugin_utils import recovery_overdue
from ansible_collections.ops.runbook.plugins.plugin_utils.checks_units import AmountError, parse_amount
from ansible_collections.ops.runbook.plugins.plugin_utils.evidence_keys import Keys
from ansible_collections.ops.runbook.plugins.plugin_utils.fan_out import FanOut, Reply
from ansible_collections.ops.runbook.plugins.plugin_utils.recovery_report import CONTROLS, PAGE
from ansible_collections.ops.runbook.plugins.plugin_utils.state import state_dir

TIMEOUT = 60.0


class ActionModule(ActionBase):  # type: ignore[misc]
    """Reads the results that the store or the controller keeps, and says how old the last good one is."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Set the variable that reports take in."""
        super().run(tmp, task_vars)
        _unused, arguments = self.validate_argument_spec(
            argument_spec={
                "store": {"type": "str", "default": ""},
                "kept_by": {"type": "str", "choices": ["store", "controller"], "default": "store"},
                "folder": {"type": "path"},
                "host": {"type": "str", "default": ""},
                "every": {"type": "str", "required": True},
                "allowed_signers": {"type": "str", "default": ""},
            },
            required_if=[("kept_by", "store", ["folder"])],
        )
        variables = task_vars or {}
        store = arguments["store"]
        if store not in variables["ansible_play_hosts_all"]:
            return self._told([], [])
        kept_here = recovery_overdue.kept_here(state_dir()) if arguments["kept_by"] == "controller" else None
        if kept_here is not None and not (arguments["every"] and (kept_here or arguments["host"])):
            return self._told([], [])
        try:
            every = parse_amount(arguments["every"]).number
        except AmountError as error:
            text = f"restore_drill_every is {arguments['every']!r}: {error}; write a length of time such as 7d"
            return {"failed": True, "refused": True, "changed": False, "msg": text}
        signers = arguments["allowed_signers"]
        keys = Keys(allowed_signers=str(Path(signers).expanduser()) if signers else "")
        if kept_here is not None:
            none = "No restore drill was run from this controller."
            return self._told(recovery_overdue.judged(store, kept_here, every, time.time(), keys, none=none), [])
        program = recovery_overdue.program(arguments["folder"])
        reply = FanOut(self, variables).run_python({store: program}, TIMEOUT)[store]
        return self._told(_findings(store, reply, every, keys), [store])

    def _told(self, findings: list[Finding], examined: list[str]) -> dict[str, Any]:
        made = [finding.to_dict() for finding in findings]
        self.register_host_variables({"__restore_drill_age": made}, VariableLayer.REGISTER_VARS)
        return {"changed": False, "examined": examined}


def _findings(store: str, reply: Reply, every: float, keys: Keys) -> list[Finding]:
    try:
        results = recovery_overdue.kept(reply.stdout)
    except ValueError:
        reason = reply.error or reply.stderr.strip()[-300:] or "no answer"
        title = f"The results of restore drills cannot be read: {reason}"
        remedy = f"{PAGE}#drill-overdue"
        return [Finding(recovery_overdue.CHECK, store, "unknown", title, remedy=remedy, controls=CONTROLS)]
    return recovery_overdue.judged(store, results, every, time.time(), keys)
