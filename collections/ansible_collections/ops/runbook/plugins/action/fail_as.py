# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ends a procedure with a failure that says to the run record how it ended."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

OUTCOMES = ("failed", "refused", "rolled_back")


class ActionModule(ActionBase):  # type: ignore[misc]
    """Fails, always."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Fail with the message and, for the run record, the outcome."""
        super().run(tmp, task_vars)
        _unused, arguments = self.validate_argument_spec(
            argument_spec={
                "msg": {"type": "str", "required": True},
                "outcome": {"type": "str", "choices": list(OUTCOMES), "default": OUTCOMES[0]},
            }
        )
        outcome = arguments["outcome"]
        result: dict[str, Any] = {"failed": True, "changed": False, "msg": arguments["msg"]}
        if outcome != OUTCOMES[0]:
            result[outcome] = True
        return result
