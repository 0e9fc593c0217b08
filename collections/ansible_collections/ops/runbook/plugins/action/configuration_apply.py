# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of ops.runbook.configuration_apply; the module of the same name documents it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.constants import config
from ansible.plugins.action import ActionBase
from ansible_collections.ops.runbook.plugins.plugin_utils.configuration_program import answer, program
from ansible_collections.ops.runbook.plugins.plugin_utils.lost_host import lost_is_failed

PLAN = "__configuration_changes_plan"
OPERATIONS = ("apply", "confirm", "rollback")


class ActionModule(ActionBase):  # type: ignore[misc]
    """Sends the program with the host's whole job."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    @lost_is_failed
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Do one operation on this host."""
        super().run(tmp, task_vars)
        _unused, arguments = self.validate_argument_spec(
            argument_spec={
                "operation": {"type": "str", "choices": list(OPERATIONS), "required": True},
                "reason": {"type": "str", "default": ""},
            }
        )
        variables = task_vars or {}
        plan = variables.get(PLAN, {}).get(variables["inventory_hostname"])
        if plan is None:
            return {"failed": True, "msg": "This host has no plan: the role's preflight has not run for it."}
        operation = arguments["operation"]
        job = {**plan["job"], "operation": operation, "check": bool(self._task.check_mode)}
        python = self._interpreter(variables)
        done = self._low_level_execute_command(f"{python} -IBX utf8 -", in_data=program(job))
        said = answer(done["stdout"])
        if said is None:
            text = (done["stderr"] or done["stdout"]).strip()[-2000:]
            return {"failed": True, "msg": f"{operation} ended without an answer (exit status {done['rc']}): {text}"}
        result = _result(operation, said)
        if operation == "rollback":
            result["reason"] = arguments["reason"]
        return result

    def _interpreter(self, variables: Mapping[str, Any]) -> str:
        chosen = variables.get("ansible_python_interpreter") or config.get_config_value(
            "INTERPRETER_PYTHON", variables=variables
        )
        chosen = str(self._templar.template(chosen))
        return "/usr/bin/python3" if chosen.startswith("auto") else chosen


def _result(operation: str, said: dict[str, Any]) -> dict[str, Any]:
    """The program's answer as a task's result."""
    errors = [f"{error['variable']} {error['text']}" for error in said.pop("errors", [])]
    failures = said.get("failures") or []
    result = {"changed": False, **said}
    if errors:
        after = ""
        if said.get("put_back"):
            after = "; everything was put back" if not failures else "; not everything could be put back"
        result.update(failed=True, msg="\n".join(errors) + after)
    if operation == "rollback" and failures:
        result.update(failed=True, msg="\n".join(failures))
    return result
