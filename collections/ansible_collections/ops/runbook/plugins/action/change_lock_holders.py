# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of ops.runbook.change_lock_holders; the module of the same name documents it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase, VariableLayer
from ansible.utils.display import Display
from ansible_collections.ops.runbook.plugins.plugin_utils.change_lock import SHOW, by_run
from ansible_collections.ops.runbook.plugins.plugin_utils.change_lock_hosts import exchange
from ansible_collections.ops.runbook.plugins.plugin_utils.change_rules import REASON_WORDS
from ansible_collections.ops.runbook.plugins.plugin_utils.change_run import Holder, leftovers

display = Display()

HOLDERS = "__change_guard_holders"
REASON = "runbook_reason"


class ActionModule(ActionBase):  # type: ignore[misc]
    """Looks at the locks of all hosts."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Show who holds them, and refuse to break those of runs that go on."""
        super().run(tmp, task_vars)
        _unused, arguments = self.validate_argument_spec(
            argument_spec={"reason": {"type": "str", "default": ""}, "force": {"type": "bool", "default": False}}
        )
        variables = task_vars or {}
        problems = self._wrong_reason(arguments["reason"])
        hosts = list(variables["ansible_play_hosts_all"])
        answers = (
            {} if problems and not self._task.check_mode else exchange(self, variables, dict.fromkeys(hosts, SHOW))
        )
        held = {host: Holder.from_lock(answer["lock"]) for host, answer in answers.items() if answer.get("lock")}
        problems += _unanswered(answers) + ([] if arguments["force"] else _alive(held))
        if problems and not self._task.check_mode:
            lines = "\n".join(f"- {problem}" for problem in problems)
            return {"failed": True, "refused": True, "changed": False, "msg": f"No lock is broken:\n{lines}"}
        for problem in problems:
            display.warning(f"this would be refused: {problem}")
        for host in hosts:
            display.display(f"{host}: {_shown(held.get(host), answers[host])}")
        self.register_host_variables(
            {HOLDERS: {host: held[host].run_id if host in held else "" for host in hosts}}, VariableLayer.REGISTER_VARS
        )
        return {"changed": False, "holders": {host: holder.to_lock() for host, holder in held.items()}}

    def _wrong_reason(self, reason: str) -> list[str]:
        given = str(self._task.get_variable_manager().extra_vars.get(REASON) or "").strip()
        if len(given.split()) >= REASON_WORDS and reason.strip() == given:
            return []
        said = f"is {reason!r}" if reason.strip() else "is missing"
        return [
            f"{REASON} {said}: say in at least {REASON_WORDS} words how you know that the run is over, "
            f"-e \"{REASON}='its controller was switched off'\"; it is recorded"
        ]


def _unanswered(answers: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return [
        f"{host}: {answer['error']}; leave it out with --limit" for host, answer in answers.items() if "error" in answer
    ]


def _alive(held: Mapping[str, Holder]) -> list[str]:
    """The runs that certainly go on, with their hosts."""
    problems = []
    for hosts, holder in by_run(held):
        processes = [int((holder.process or {})["pid"])] if holder.is_alive else []
        if holder.is_gone:
            processes = leftovers(holder.run_id)
        if processes:
            named = ", ".join(map(str, processes))
            problems.append(
                f"{', '.join(hosts)}: the run still works on this controller, process {named}: {holder}. "
                "Stop it first, or break its lock all the same: -e runbook_force=true"
            )
    return problems


def _shown(holder: Holder | None, answer: Mapping[str, Any]) -> str:
    if holder is None:
        return "free" if answer["result"] == "free" else "unknown"
    state = "expired" if answer["result"] == "expired" else "locked"
    return f"{state}: {holder}{', whose process is gone' if holder.is_gone else ''}"
