# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A host that is lost in the middle of a change, as the failure of the task that lost it.

Ansible takes an unreachable host out of the play, past every ``rescue`` and ``always``: nobody would report, free the
locks of the other hosts, and say what is in doubt. Actions that change hosts answer for a lost connection with a
failure instead, and the way back begins.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

Run = Callable[[Any, str | None, dict[str, Any] | None], dict[str, Any]]


def lost_is_failed(run: Run) -> Run:
    """Make the failure of an action out of a connection that breaks or does not come about.

    The result names the host in ``lost``: what the task has done there by then, nobody knows.
    """

    @functools.wraps(run)
    def answered(action: Any, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        try:
            result = run(action, tmp, task_vars)
            # Ansible does this after the action, when nobody can answer for a lost connection any more.
            action.cleanup()
        except AnsibleConnectionFailure as error:
            host = str(action._task.delegate_to or (task_vars or {}).get("inventory_hostname", "the host"))
            text = f"{host} is lost: {' '.join(str(error).split())}"
            result = {"failed": True, "changed": False, "lost": host, "msg": text}
        action._cleanup_remote_tmp = False
        return result

    return answered


class ActionModule(ActionBase):  # type: ignore[misc]
    """Runs the module that has the action's name on the host."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_diff = True

    @lost_is_failed
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run it."""
        super().run(tmp, task_vars)
        result: dict[str, Any] = self._execute_module(task_vars=task_vars)
        return result
