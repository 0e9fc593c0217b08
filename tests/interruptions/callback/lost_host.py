# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Takes a host away from the controller, at a point that a test has chosen."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = r"""
name: lost_host
type: notification
short_description: Takes a host away from the controller, at a point that a test has chosen
description:
  - Runs the command that C(LOST_HOST_COMMAND) holds as a list of words in JSON, once, when a task begins whose name
    contains C(LOST_HOST_AT).
requirements:
  - enable in configuration
"""


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Waits for the task."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "lost_host"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._at = os.environ["LOST_HOST_AT"]
        self._command: list[str] = json.loads(os.environ["LOST_HOST_COMMAND"])

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        """A task begins: no host was asked yet."""
        if self._command and self._at in task.get_name():
            subprocess.run(self._command, check=True, stdin=subprocess.DEVNULL)
            self._command = []
