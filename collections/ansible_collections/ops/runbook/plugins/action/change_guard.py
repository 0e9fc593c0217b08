# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of ops.runbook.change_guard; the module of the same name documents it."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

ENTRY_POINTS = ("preflight", "acquire", "batch", "release")


class ActionModule(ActionBase):  # type: ignore[misc]
    """Admits a change, and holds the lock of its hosts."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run one entry point of the role."""
        super().run(tmp, task_vars)
        self.validate_argument_spec(
            argument_spec={"entry_point": {"type": "str", "choices": list(ENTRY_POINTS), "required": True}}
        )
        return {"changed": False}
