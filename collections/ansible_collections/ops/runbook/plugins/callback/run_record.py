# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Records every run of a playbook in the ledger."""

from __future__ import annotations

DOCUMENTATION = r"""
name: run_record
type: notification
short_description: Records every run of a playbook in the ledger
description:
  - Before the first task it appends a C(started) entry to the ledger, and at the end one with the whole run record -
    who, what, where, why, per-host result, every changed task, findings and outcome.
  - A run that cannot be recorded does not start. A run that was killed is shown as interrupted.
  - Vaulted values, results with C(no_log) and the values of variables whose names say password, token, secret or
    private_key are not recorded. Neither is the environment.
  - A run in which no play matches any host ends with exit code 2, where Ansible itself would report success.
version_added: 0.1.0
author: The ops.runbook authors (@ops-runbook)
requirements:
  - enable in configuration (C(callbacks_enabled = ops.runbook.run_record))
extends_documentation_fragment:
  - ops.runbook.signing_key
  - ops.runbook.state_dir
notes:
  - The run's id is exported to the controller process and its workers as C(RUNBOOK_RUN_ID).
  - Extra variables that begin with C(runbook_), such as C(runbook_ticket) and C(runbook_reason), are recorded as the
    reasons of the run.
  - A run whose C(--start-at-task), C(--tags) or C(--skip-tags) would leave out tasks of the role C(change_guard) is
    refused before its first task, unless it is in check mode.
  - With C(-e runbook_plan_out=FILE) it saves the plan of a check-mode run at its end. A run that cannot have a plan,
    because C(--check), C(--diff) or a clean checkout is missing, is refused before its first task.
"""

import atexit
import gc
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from ansible.plugins.callback import CallbackBase
from ansible_collections.ops.runbook.plugins.module_utils.ledger import Ledger
from ansible_collections.ops.runbook.plugins.module_utils.ledger_entry import LedgerError
from ansible_collections.ops.runbook.plugins.plugin_utils.change_plan import PlanError
from ansible_collections.ops.runbook.plugins.plugin_utils.change_plan_save import OPTION, Saved
from ansible_collections.ops.runbook.plugins.plugin_utils.run_record import EXIT_REFUSED, Run, open_ledger

#: Ansible's code for errors that are not a task's.
_EXIT_NOT_RECORDED = 1
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Turns the events of a playbook's run into two entries of the ledger."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "ops.runbook.run_record"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._pid = os.getpid()
        self._run: Run | None = None
        self._previous: dict[int, Any] = {}
        self._writing = False
        self._deferred: int | None = None
        atexit.register(self._at_exit)

    # Events

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """Record the start; without a record there is no run."""
        gc.freeze()  # what was loaded stays until the end: looking for garbage in it takes a tenth of a second
        self._watch_signals()
        try:
            run = self._write(lambda: self._begin(playbook))
            reason = run.refusal()
            if reason:
                self._run = None
                self._write(lambda: run.refuse(self._ledger(), reason))
        except LedgerError as error:
            self._unwatch_signals()
            self._stop(f"The run does not start, because it cannot be recorded: {error}", _EXIT_NOT_RECORDED)
        if reason:
            self._unwatch_signals()
            self._stop(reason, EXIT_REFUSED)

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Remember the play; whether it has hosts shows next."""
        if self._run:
            self._run.play(play)

    def v2_playbook_on_no_hosts_matched(self) -> None:
        """A play without hosts."""
        if self._run:
            self._run.no_hosts()

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:  # noqa: ARG002
        """Remember the task: its variables may hold secrets."""
        if self._run:
            self._run.tasks[task._uuid] = task

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        """Remember the handler."""
        if self._run:
            self._run.tasks[task._uuid] = task

    def v2_runner_on_ok(self, result: Any) -> None:
        """A task that succeeded on a host."""
        if self._run:
            self._run.collector.result(result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """A task that failed on a host."""
        if self._run:
            self._run.collector.result(result, failed=True, ignored=bool(ignore_errors))

    def v2_runner_on_skipped(self, result: Any) -> None:
        """A task that was left out on a host."""
        if self._run:
            self._run.collector.skipped(result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """A host that could not be reached."""
        if self._run:
            self._run.collector.result(result, failed=True)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Record the end."""
        run = self._run
        if run is None:
            return
        run.stats = stats
        self._finish(run)
        record = run.record
        if isinstance(run.saved, PlanError):
            self._stop(f"{OPTION}: no plan is saved: {run.saved}.", record.exit.get("code") or EXIT_REFUSED)
        if run.collector.nothing_matched:
            patterns = ", ".join(repr(pattern) for pattern in record.unmatched)
            groups = ", ".join(sorted(run.inventory.groups)) or "none"
            self._stop(
                f"No host matches {patterns}, so nothing was done. Groups in this inventory: {groups}. "
                "Correct the pattern, --limit or the inventory (-i).",
                EXIT_REFUSED,
            )

    # Writing

    def _ledger(self) -> Ledger:
        return open_ledger(self.get_option("state_dir"), self.get_option("signing_key"))

    def _begin(self, playbook: Any) -> Run:
        run = Run(playbook, self.get_option("signing_key"))
        run.begin(self._ledger())
        self._run = run
        os.environ["RUNBOOK_RUN_ID"] = run.record.run_id
        return run

    def _finish(self, run: Run) -> None:
        self._run = None
        try:
            entries = self._write(lambda: run.end(self._ledger(), "finished"))
        except LedgerError as error:
            self._stop(f"The end of run {run.record.run_id} is not recorded: {error}", _EXIT_NOT_RECORDED)
        self._unwatch_signals()
        gc.freeze()
        if isinstance(run.saved, Saved):
            self._display.display(run.saved.message(sys.argv))
        for line in run.record.approval.get("deviations", ()):
            self._display.warning(f"Not as approved: {line}")
        self._display.display(
            f"run record {run.record.run_id} {run.record.outcome} · ledger: {entries} entries, this run's verified"
        )

    def _write[T](self, action: Callable[[], T]) -> T:
        """Write without being interrupted: a signal that comes meanwhile is acted upon afterwards.

        Whatever goes wrong is a LedgerError, because Ansible would make a warning of anything else and go on.
        """
        self._writing = True
        try:
            return action()
        except LedgerError:
            raise
        except Exception as error:
            raise LedgerError(f"unexpected {type(error).__name__}: {error}") from error
        finally:
            self._writing = False
            if self._deferred is not None:
                number, self._deferred = self._deferred, None
                self._on_signal(number, None)

    def _stop(self, message: str, code: int) -> None:
        # Ansible turns every Exception of a callback into a warning and goes on.
        self._display.error(message)
        raise SystemExit(code)

    # Interruption

    def _watch_signals(self) -> None:
        for number in _SIGNALS:
            previous = signal.getsignal(number)
            # An ignored signal stays ignored (nohup), and one whose handler was not set by Python cannot be chained.
            if previous not in (signal.SIG_IGN, None):
                self._previous[number] = previous
                signal.signal(number, self._on_signal)

    def _unwatch_signals(self) -> None:
        for number, previous in self._previous.items():
            if signal.getsignal(number) == self._on_signal:
                signal.signal(number, previous)
        self._previous.clear()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """Record the interruption, then let Ansible do what it does."""
        if os.getpid() == self._pid:
            if self._writing:
                self._deferred = number
                return
            self._interrupt(signal.Signals(number).name)
        previous = self._previous.get(number, signal.SIG_DFL)
        if callable(previous):
            signal.signal(number, previous)
            previous(number, frame)
        else:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def _interrupt(self, reason: str) -> None:
        run, self._run = self._run, None
        if run is None:
            return
        try:
            self._write(lambda: run.end(self._ledger(), "interrupted", reason))
        except LedgerError as error:
            self._display.error(f"The interruption of run {run.record.run_id} is not recorded: {error}")

    def _at_exit(self) -> None:
        """An error of Ansible's own ended the run before its statistics."""
        run, self._run = self._run, None
        if run is None or os.getpid() != self._pid:
            return
        try:
            reason = "Ansible stopped with an error before the playbook's end"
            self._write(lambda: run.end(self._ledger(), "finished", reason))
        except LedgerError as error:
            self._display.error(f"The end of run {run.record.run_id} is not recorded: {error}")
