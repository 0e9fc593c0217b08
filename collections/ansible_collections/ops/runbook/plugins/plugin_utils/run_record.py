# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One run of one playbook, from the entry that says that it started to the entry that says how it ended."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from ansible import context
from ansible.utils.vars import load_extra_vars
from ansible_collections.ops.runbook.plugins.module_utils.ledger import Ledger
from ansible_collections.ops.runbook.plugins.module_utils.ledger_entry import Head, utc_now
from ansible_collections.ops.runbook.plugins.module_utils.ledger_signature import signer
from ansible_collections.ops.runbook.plugins.module_utils.run_record import Process, RunRecord, orphans
from ansible_collections.ops.runbook.plugins.plugin_utils import run_record_context as found
from ansible_collections.ops.runbook.plugins.plugin_utils.change_guard_kept import left_out
from ansible_collections.ops.runbook.plugins.plugin_utils.change_plan import PlanError
from ansible_collections.ops.runbook.plugins.plugin_utils.change_plan_compare import deviations
from ansible_collections.ops.runbook.plugins.plugin_utils.change_plan_save import OPTION, PlanRequest, Saved
from ansible_collections.ops.runbook.plugins.plugin_utils.redact import Redactor
from ansible_collections.ops.runbook.plugins.plugin_utils.run_record_collect import (
    Collector,
    cut,
    may_hold_secrets,
    outcome,
)
from ansible_collections.ops.runbook.plugins.plugin_utils.run_record_secrets import SecretFinder

#: Exit code of a run that was refused because no host matched: that of a failed task.
EXIT_REFUSED = 2
_EXITS = {0: "done", 2: "a task failed, or the run was refused", 4: "a host was unreachable"}


def open_ledger(state_dir: str, signing_key: str | None) -> Ledger:
    """The ledger below the state directory, signed if there is a key."""
    directory = Path(state_dir).expanduser() / "ledger"
    return Ledger(directory, signer(Path(signing_key).expanduser()) if signing_key else None)


def new_record(playbook: str, inventory: Any, extra_vars: Mapping[str, Any]) -> RunRecord:
    """The record of a run that begins now: what is known before its first task."""
    return RunRecord(
        run_id=uuid.uuid4().hex,
        procedure=found.procedure(playbook),
        started=utc_now(),
        who=found.who(extra_vars, os.environ),
        what=found.what(playbook, os.environ),
        where=found.where(context.CLIARGS, inventory),
        why=found.why(extra_vars),
        origin=found.origin(extra_vars, os.environ),
        extra_vars=dict(extra_vars),
        process=vars(Process.current()),
    )


def record_refusal(ledger: Ledger, playbook: str, inventory: Any, loader: Any, reason: str) -> None:
    """Append the start and the end of a run that was refused before Ansible loaded its playbook.

    Raises LedgerError when the ledger cannot be written.
    """
    extra_vars = load_extra_vars(loader)
    redactor = Redactor()
    SecretFinder(redactor, loader).variables(extra_vars)
    record = new_record(playbook, inventory, extra_vars)
    with ledger.writer() as writer:
        writer.append("started", record.run_id, redactor.data(record.start()))
        record.finished = utc_now()
        record.outcome, record.refusal = "refused", reason
        record.exit = {"code": EXIT_REFUSED, "meaning": _EXITS[EXIT_REFUSED]}
        writer.append("finished", record.run_id, redactor.data(record.to_dict()))


class Run:
    """A run of one playbook, from its start to its end."""

    #: The run of this process. The tasks' processes are forks, so that they see it too.
    current: ClassVar[Run | None] = None

    def __init__(self, playbook: Any, signing_key: str | None = None) -> None:
        first = playbook.get_plays()[0]
        self._variables = first.get_variable_manager()
        self._loader = first.get_loader()
        self.inventory = self._variables._inventory
        self.plays: list[Any] = []
        self.tasks: dict[str, Any] = {}
        self.stats: Any = None
        self._before = Head()
        check = bool(context.CLIARGS.get("check"))
        self.record = new_record(playbook._file_name, self.inventory, self._variables.extra_vars)
        #: The hosts that --limit leaves.
        self.targets = [host.name for host in self.inventory.get_hosts("all", ignore_restrictions=True)]
        self.request = self._plan_request(playbook, signing_key or "")
        self.collector = Collector(check=check, whole=self.request is not None)
        #: The plan that was saved, or why it was not.
        self.saved: Saved | PlanError | None = None
        self._left_out = left_out(playbook, context.CLIARGS)
        Run.current = self

    def _plan_request(self, playbook: Any, signing_key: str) -> PlanRequest | None:
        path = str(self.record.extra_vars.get(OPTION) or "")
        if not path:
            return None
        self._prompts = [prompt["name"] for play in playbook.get_plays() for prompt in play.vars_prompt or ()]
        return PlanRequest(path, self.record.start(), self.targets, signing_key)

    def refusal(self) -> str:
        """Why this run does not begin: it would pass by its guard, or it shall save a plan and cannot."""
        if self._left_out:
            return f"{self._left_out}."
        problems = self.request.problems(context.CLIARGS, self._prompts) if self.request else []
        return f"{OPTION}: no plan can be saved: {'; '.join(problems)}." if problems else ""

    def refuse(self, ledger: Ledger, reason: str) -> None:
        """Append the end of a run that does not begin."""
        self.record.finished = utc_now()
        self.record.outcome, self.record.refusal = "refused", reason
        self.record.exit = {"code": EXIT_REFUSED, "meaning": _EXITS[EXIT_REFUSED]}
        ledger.append("finished", self.record.run_id, self._redactor().data(self.record.to_dict()))

    def play(self, play: Any) -> None:
        """A play begins, or the next batch of one."""
        self.plays.append(play)
        self.collector.matched = True

    def no_hosts(self) -> None:
        """The play that has just begun has no hosts."""
        play = self.plays.pop()
        self.collector.matched = bool(self.plays)
        hosts = play.hosts
        self.collector.no_hosts(",".join(map(str, hosts)) if isinstance(hosts, list) else str(hosts))

    def begin(self, ledger: Ledger) -> None:
        """Append the interruptions of runs that nobody ended, and the start of this one."""
        body = self.record.start()
        if may_hold_secrets(self.record, ledger.directory.parent):
            body = self._redactor().data(body)
        with ledger.writer() as writer:
            for run_id in orphans(writer.head.open):
                lost = {"run_id": run_id, "outcome": "interrupted", "exit": {"meaning": "its process is gone"}}
                writer.append("interrupted", run_id, lost)
            self._before = writer.head
            writer.append("started", self.record.run_id, body)

    def end(self, ledger: Ledger, kind: str, reason: str = "") -> int:
        """Append the end and read it back. Returns the number of entries."""
        record = self.record
        record.finished = utc_now()
        record.duration = round((_time(record.finished) - _time(record.started)).total_seconds(), 3)
        self.collector.fill(record, self.stats)
        if reason:
            record.outcome = "interrupted" if kind == "interrupted" else "failed"
        else:
            record.outcome = outcome(record, self.collector)
        record.exit = self._exit(reason)
        # Finding the secrets takes half a millisecond a host: only where they could show.
        body = (self._redactor() if may_hold_secrets(record, ledger.directory.parent) else Redactor()).data(
            record.to_dict()
        )
        if self.request and not reason:
            self._save_plan(self.request, body)
        if body["approval"] and not self.record.where["check"]:
            record.approval = body["approval"] = {**record.approval, "deviations": deviations(body)}
        body = cut(body)
        with ledger.writer() as writer:
            writer.append(kind, record.run_id, body)
            writer.check_since(self._before)
            return writer.head.entries

    def _save_plan(self, request: PlanRequest, body: dict[str, Any]) -> None:
        """Save the plan and note it in the record; a run that succeeded without one was refused its purpose."""
        try:
            self.saved = request.save(body, self.collector.demand)
        except PlanError as error:
            self.saved = error
            if self.record.outcome == "succeeded":
                self.record.outcome = body["outcome"] = "refused"
                body["refusal"] = f"{OPTION}: no plan is saved: {error}."
                body["exit"] = {"code": EXIT_REFUSED, "meaning": _EXITS[EXIT_REFUSED]}
        else:
            body["plan"] = self.saved.to_dict()

    def _exit(self, reason: str) -> dict[str, Any]:
        if reason:
            return {"meaning": reason}
        hosts = self.record.hosts.values()
        code = 4 if any(host.unreachable for host in hosts) else 2 if any(host.failed for host in hosts) else 0
        if self.collector.nothing_matched:
            code = EXIT_REFUSED
        return {"code": code, "meaning": _EXITS[code]}

    def _redactor(self) -> Redactor:
        """A redactor that knows the secrets of everything that has run so far."""
        redactor = Redactor()
        finder = SecretFinder(redactor, self._loader)
        finder.variables(self._variables.extra_vars)
        # All of them: a task on one host may show the variables of another.
        hosts = self.inventory.get_hosts("all", ignore_limits=True, ignore_restrictions=True)
        if self.inventory.localhost and self.inventory.localhost not in hosts:
            hosts.append(self.inventory.localhost)
        finder.hosts(hosts, self._variables)
        seen = [host for host in hosts if host.name in self.collector.hosts]
        for play in {play._uuid: play for play in self.plays}.values():
            finder.play(play, seen, self._variables)
        # The plays of earlier batches are gone, with the roles that only those included.
        for role in {id(task._role): task._role for task in self.tasks.values() if task._role is not None}.values():
            finder.role(role)
        for task in self.tasks.values():
            finder.task(task)
        return redactor


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
