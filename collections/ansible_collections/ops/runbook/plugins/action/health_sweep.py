# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs all checks of a host in one round trip and turns every outcome, an unreachable host too, into findings."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ansible.constants import config
from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase, VariableLayer
from ansible_collections.ops.runbook.plugins.module_utils.finding import STATUSES, Finding, at_least, worst_first
from ansible_collections.ops.runbook.plugins.plugin_utils import checks_judge
from ansible_collections.ops.runbook.plugins.plugin_utils.checks_program import program

FINDINGS = "health_check_findings"
#: What the controller grants beyond the probe's own time limit, for logging in and for the way back.
MARGIN = 20.0
#: What stderr says, and what that means.
_REASONS = (
    (
        re.compile(r"sudo: .*password|not in the sudoers|may not run sudo|sudo: ", re.IGNORECASE),
        "root rights were refused",
    ),
    (re.compile(r"python\S*: (command )?not found|No such file or directory", re.IGNORECASE), "Python is missing"),
    (re.compile(r"SyntaxError|'dict\[|unsupported"), "Python is older than 3.9"),
)


class _Overdue(BaseException):
    """The connection did not come back. Not an Exception, so that no layer below takes it for a failure of its own."""


class ActionModule(ActionBase):  # type: ignore[misc]
    """Sends the probe and judges its answers."""

    _supports_check_mode = True
    TRANSFERS_FILES = False

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Sweep the host."""
        super().run(tmp, task_vars)
        _unused, arguments = self.validate_argument_spec(
            argument_spec={
                "checks": {"type": "list", "elements": "dict", "required": True},
                "timeout": {"type": "float", "default": 30.0},
                "fail_on": {"type": "str", "choices": [*STATUSES[1:], "never"], "default": "never"},
            }
        )
        variables = task_vars or {}
        host = str(variables["inventory_hostname"])
        findings = self._sweep(host, arguments["checks"], arguments["timeout"], variables)
        data = [finding.to_dict() for finding in findings]
        self.register_host_variables({FINDINGS: data}, VariableLayer.REGISTER_VARS)
        return {"changed": False, "findings": data, **_verdict(findings, arguments["fail_on"])}

    def _sweep(
        self, host: str, checks: list[dict[str, Any]], timeout: float, variables: dict[str, Any]
    ) -> list[Finding]:
        begin = time.monotonic()
        python = self._interpreter(variables)
        try:
            with _deadline(timeout + MARGIN):
                # Isolated, no bytecode written; the program comes through the pipe, so that no file lands on the host.
                done = self._low_level_execute_command(
                    f"{python} -IBX utf8 -", in_data=program(checks, timeout).encode()
                )
        except _Overdue:
            title = f"the host did not answer within {timeout + MARGIN:g} s"
            return [checks_judge.unreachable(host, title, "", time.monotonic() - begin)]
        except AnsibleError as error:
            refused = "root rights were refused" if "sudo" in str(error) else "the host cannot be reached"
            return [checks_judge.unreachable(host, refused, str(error), time.monotonic() - begin)]
        return _findings(host, checks, done, time.monotonic() - begin)

    def _interpreter(self, variables: dict[str, Any]) -> str:
        chosen = variables.get("ansible_python_interpreter") or config.get_config_value(
            "INTERPRETER_PYTHON", variables=variables
        )
        chosen = str(self._templar.template(chosen))
        return "/usr/bin/python3" if chosen.startswith("auto") else chosen


@contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    """Leave the block after this time, and end the programs that this process started in it."""

    def leave(_number: int, _frame: Any) -> None:
        _end_children()
        raise _Overdue

    before = signal.signal(signal.SIGALRM, leave)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _end_children() -> None:
    for path in Path("/proc/self/task").glob("*/children"):
        for pid in path.read_text(encoding="ascii").split():
            os.kill(int(pid), signal.SIGKILL)


def _findings(host: str, checks: list[dict[str, Any]], done: dict[str, Any], duration: float) -> list[Finding]:
    answers, complete = checks_judge.parse_answers(done["stdout"])
    if not answers and not complete:
        return [_no_answer(host, done, duration)]
    missing = "" if complete else f"the probe ended early (exit status {done['rc']})"
    findings = [checks_judge.judge(check, answers.get(check["name"]), host, missing) for check in checks]
    return [checks_judge.reachable(host, duration), *findings]


def _no_answer(host: str, done: dict[str, Any], duration: float) -> Finding:
    """The finding for a host that let us in and gave nothing that can be read."""
    said = "\n".join(part.strip() for part in (done["stderr"], done["stdout"]) if part.strip())
    reason = next((text for pattern, text in _REASONS if pattern.search(said)), "its answer makes no sense")
    title = f"the probe cannot run: {reason} (exit status {done['rc']})"
    return checks_judge.unreachable(host, title, said, duration)


def _verdict(findings: list[Finding], fail_on: str) -> dict[str, Any]:
    """Whether the task fails, and why."""
    bad = [] if fail_on == "never" else worst_first(at_least(findings, fail_on))
    if not bad:
        return {}
    lines = [f"- {finding.status}: {finding.check}: {finding.title}" for finding in bad]
    message = f"{bad[0].host} is not healthy ({len(bad)} of {len(findings)} checks are {fail_on} or worse):\n"
    return {"failed": True, "msg": message + "\n".join(lines)}
