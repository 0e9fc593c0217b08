# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ends the controller like a power cut, at a point that a test has chosen."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase
from ansible_collections.ops.runbook.plugins.plugin_utils.run_record_collect import _event

DOCUMENTATION = r"""
name: power_cut
type: notification
short_description: Ends the controller like a power cut, at a point that a test has chosen
description:
  - Writes every change as a line of JSON into the file that C(POWER_CUT_LOG) names, and kills every process of the run
    (workers, ssh masters and at last itself) right after change number C(POWER_CUT_AFTER), or right after the first
    result of a task whose name contains C(POWER_CUT_AT).
  - The processes are known by C(POWER_CUT_MARK) in their environment - workers and ssh masters leave their parent's
    session, and some their parent.
requirements:
  - enable in configuration
"""


def marked(mark: str) -> set[int]:
    """The living processes with that mark in their environment."""
    found = set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if f"POWER_CUT_MARK={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                    found.add(int(folder.name))
            except OSError:
                continue
    return found


def kill(pids: set[int]) -> None:
    """Kill them; one that has ended meanwhile is none the worse."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Counts changes as the run record does: each item of a loop is one."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "power_cut"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._mark = os.environ["POWER_CUT_MARK"]
        self._after = int(os.environ.get("POWER_CUT_AFTER", "0"))
        self._at = os.environ.get("POWER_CUT_AT", "")
        self._log = os.open(os.environ["POWER_CUT_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._changes = 0
        # A run may repeat its prediction in a run of its own, which changes nothing.
        self._prediction = "RUNBOOK_PARENT_RUN_ID" in os.environ

    def v2_runner_on_ok(self, result: Any) -> None:
        """The end of a task on a host."""
        if result.task.loop is None:
            self._count(result)
        self._named(result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """A task that failed may have changed something all the same."""
        self.v2_runner_on_ok(result)

    def v2_runner_item_on_ok(self, result: Any) -> None:
        """The end of one item of a loop."""
        self._count(result)

    def v2_runner_item_on_failed(self, result: Any) -> None:
        """An item that failed may have changed something all the same."""
        self._count(result)

    def _count(self, result: Any) -> None:
        if self._prediction or not result.result.get("changed"):
            return
        self._changes += 1
        event = _event(result, result.result)
        row = [event.host, event.task, event.subject, event.item]
        os.write(self._log, json.dumps(row).encode() + b"\n")
        if self._changes == self._after:
            self._cut()

    def _named(self, result: Any) -> None:
        if self._at and self._at in result.task.get_name() and not self._prediction:
            self._cut()

    def _cut(self) -> None:
        deadline = time.monotonic() + 5
        # A worker may start a process while it is being looked for.
        while (others := marked(self._mark) - {os.getpid()}) and time.monotonic() < deadline:
            kill(others)
        os.kill(os.getpid(), signal.SIGKILL)
