# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of ops.runbook.disaster_fence; the module of the same name documents it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from typing import Any

from ansible.plugins.action import ActionBase

PAUSE = 0.5


class ActionModule(ActionBase):  # type: ignore[misc]
    """Cuts the power of hosts that cannot be reached, and has it proven."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the command for each host, then the proof until it succeeds."""
        super().run(tmp, task_vars)
        _unused, options = self.validate_argument_spec(
            argument_spec={
                "hosts": {"type": "list", "elements": "str", "required": True},
                "command": {"type": "list", "elements": "str", "required": True},
                "proof": {"type": "list", "elements": "str", "required": True},
                "timeout": {"type": "float", "default": 60},
            }
        )
        began = time.time()
        for host in () if self._task.check_mode else options["hosts"]:
            problem = fence(host, options["command"], options["proof"], options["timeout"])
            if problem:
                return {"failed": True, "changed": True, "msg": problem}
        return {"changed": bool(options["hosts"]), "began": began, "subject": " ".join(options["hosts"])}


def fence(host: str, command: Sequence[str], proof: Sequence[str], timeout: float) -> str:
    """Cut the power; what went wrong, if anything."""
    cut, prove = ([word.replace("{host}", host) for word in words] for words in (command, proof))
    code, said = _run(cut, timeout)
    if code != 0:
        return f"{host} is not fenced: {' '.join(cut)} ended with {code}: {said}"
    deadline = time.monotonic() + timeout
    while True:
        code, said = _run(prove, timeout)
        if code == 0:
            return ""
        if time.monotonic() > deadline:
            return f"nothing proves that {host} is off: {' '.join(prove)} ended with {code}: {said}"
        time.sleep(PAUSE)


def _run(words: Sequence[str], timeout: float) -> tuple[int, str]:
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
            check=False,
            text=True,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return 1, str(error)
    return done.returncode, done.stdout.strip()[-500:]
