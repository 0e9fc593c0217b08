# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of ops.runbook.upstream_server: a proxy that is lost fails the task, so that the way back begins."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.ops.runbook.plugins.plugin_utils.lost_host import lost_is_failed


class ActionModule(ActionBase):  # type: ignore[misc]
    """Runs the module on the proxy."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_diff = True

    @lost_is_failed
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run it."""
        super().run(tmp, task_vars)
        result: dict[str, Any] = self._execute_module("ops.runbook.upstream_server", task_vars=task_vars)
        return result
