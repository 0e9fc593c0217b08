# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of ops.runbook.change_guard; the module of the same name documents it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from ansible.plugins.action import ActionBase, VariableLayer
from ansible.utils.display import Display
from ansible_collections.ops.runbook.plugins.module_utils.finding import Finding
from ansible_collections.ops.runbook.plugins.plugin_utils import change_lock, change_plan_policy, role_options
from ansible_collections.ops.runbook.plugins.plugin_utils.change_lock import Locks
from ansible_collections.ops.runbook.plugins.plugin_utils.change_lock_hosts import exchange
from ansible_collections.ops.runbook.plugins.plugin_utils.change_plan import PlanError
from ansible_collections.ops.runbook.plugins.plugin_utils.change_rules import Ruling, rule
from ansible_collections.ops.runbook.plugins.plugin_utils.change_run import Holder, UnrecordedRunError, this_run
from ansible_collections.ops.runbook.plugins.plugin_utils.checks_resolve import suggest
from ansible_collections.ops.runbook.plugins.plugin_utils.state import state_dir

display = Display()

ENTRY_POINTS = ("preflight", "acquire", "batch", "release")
#: The hosts that `acquire` has locked, for the plays that follow.
LOCKED = "__change_guard_locked"
#: A check run that predicts what another run is about to do; that one's lock is no obstacle.
PARENT = "RUNBOOK_PARENT_RUN_ID"
PAGE = "reference/change-guard"


class _RefusalError(Exception):
    """Why the run, or its next batch, may not go on."""


class ActionModule(ActionBase):  # type: ignore[misc]
    """Admits a change, and holds the lock of its hosts."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run one entry point of the role."""
        super().run(tmp, task_vars)
        _unused, arguments = self.validate_argument_spec(
            argument_spec={"entry_point": {"type": "str", "choices": list(ENTRY_POINTS), "required": True}}
        )
        self._variables: Mapping[str, Any] = task_vars or {}
        self._check = bool(self._task.check_mode)
        self._findings: list[Finding] = []
        try:
            getattr(self, f"_{arguments['entry_point']}")()
        except _RefusalError as refusal:
            return {"failed": True, "refused": True, "changed": False, "msg": str(refusal), **self._found()}
        return {"changed": False, **self._found()}

    def _found(self) -> dict[str, Any]:
        return {"findings": [finding.to_dict() for finding in self._findings]} if self._findings else {}

    # Entry points

    def _preflight(self) -> None:
        self._admit(self._options("preflight", self._variables["ansible_play_hosts_all"]), "The change")

    def _acquire(self) -> None:
        options = self._options("acquire", self._variables["ansible_play_hosts_all"])
        self._refuse("The change", self._rule(options).errors)
        hosts = self._hosts_to_lock(options)
        self._admit_besides(hosts, "The change")
        self._approved_besides(hosts)
        if self._check:
            self._predict(hosts)
        else:
            self._lock(hosts, options[0].values)
        self.register_host_variables({LOCKED: hosts}, VariableLayer.REGISTER_VARS)

    def _batch(self) -> None:
        options = self._options("batch", self._variables["ansible_play_batch"])
        try:
            self._admit(options, "This batch")
            self._admit_besides(self._variables.get(LOCKED, ()), "This batch")
            if not self._check:
                self._renew(options)
        except _RefusalError:
            if not self._check:
                self._release()
            raise

    def _release(self) -> None:
        hosts = self._variables.get(LOCKED, self._variables["ansible_play_hosts_all"])
        if self._check or not hosts:
            return
        try:
            own = self._own("")
        except UnrecordedRunError:
            return  # it cannot have locked anything
        for host, error in Locks(self._exchange, own).release(hosts).items():
            self._note("change lock", host, f"the lock of this run could not be freed: {error}; it expires by itself")

    # Rules

    def _options(self, entry_point: str, hosts: Iterable[str]) -> list[role_options.HostOptions]:
        return role_options.read(self, role_options.specification(self, entry_point), list(hosts))

    def _rule(self, options: list[role_options.HostOptions], total: int = 0) -> Ruling:
        return rule(options, self._task.get_variable_manager().extra_vars, datetime.now(UTC), total)

    def _besides(self, locked: Iterable[str]) -> list[str]:
        """Hosts that are touched without being those of the play: proxies at which a host is drained."""
        return [host for host in locked if host not in self._variables["ansible_play_hosts_all"]]

    def _admit_besides(self, locked: Iterable[str], what: str) -> None:
        """Ask the rules of those hosts too."""
        hosts = self._besides(locked)
        if hosts:
            total = len(hosts) + len(self._variables["ansible_play_hosts_all"])
            self._admit(self._options("preflight", hosts), what, total)

    def _approved_besides(self, locked: Iterable[str]) -> None:
        """Refuse a run whose plan needs fewer approvals than those hosts demand."""
        hosts = self._besides(locked)
        if not hosts:
            return
        try:
            demanded, given = (
                change_plan_policy.read(self._task, self._templar, list(names))
                for names in (hosts, self._variables["ansible_play_hosts_all"])
            )
        except PlanError as error:
            raise _RefusalError(f"The change is refused; none of its hosts was changed:\n- {error}") from error
        if demanded.approvals > given.approvals:
            names = role_options.few(list(demanded.demanding))
            reason = f"{names} will be touched too, with {demanded.approvals} approvals: add them to --limit"
            self._refuse("The change", [reason])

    def _admit(self, options: list[role_options.HostOptions], what: str, total: int = 0) -> None:
        ruling = self._rule(options, total)
        self._refuse(what, ruling.errors)
        for reason in ruling.overridden:
            self._note("change window", options[0].host, f"BREAK-GLASS ({ruling.break_glass}) overrides: {reason}")
        if self._check:
            for reason in ruling.refusals:
                self._note("change window", options[0].host, f"this would be refused now: {reason}")
        else:
            self._refuse(what, ruling.refusals)

    @staticmethod
    def _refuse(what: str, reasons: list[str]) -> None:
        if reasons:
            shown = [f"- {reason}" for reason in reasons[: role_options.MOST]]
            if len(reasons) > len(shown):
                shown.append(f"- and {len(reasons) - len(shown)} more")
            raise _RefusalError("\n".join([f"{what} is refused; none of its hosts was changed:", *shown]))

    def _note(self, check: str, host: str, title: str) -> None:
        """Say it to the operator and to the run record."""
        display.warning(f"{host}: {title}")
        anchor = "the-lock" if check == "change lock" else "change-windows"
        self._findings.append(Finding(check, host, "warning", title, remedy=f"{PAGE}#{anchor}"))

    # Locks

    def _hosts_to_lock(self, options: list[role_options.HostOptions]) -> list[str]:
        """What each host says is locked: one may be drained from a proxy, another from none."""
        known = self._task.get_variable_manager()._inventory.hosts
        hosts = sorted({name for option in options for name in option.values["change_guard_hosts"] or ()})
        self._refuse(
            "The change",
            [
                f"change_guard_hosts names {host!r}, which is no host of the inventory{suggest(host, known)}"
                for host in hosts
                if host not in known
            ],
        )
        return hosts

    def _lock(self, hosts: list[str], options: Mapping[str, Any]) -> None:
        if not hosts:
            return
        acquired = Locks(self._exchange, self._run(options), options["change_guard_lock_minutes"]).acquire(hosts)
        for host, error in acquired.stuck.items():
            self._note(
                "change lock", host, f"the lock of this run could not be given back: {error}; it expires by itself"
            )
        self._refuse("The change", acquired.problems)
        for host, how in acquired.taken_over.items():
            self._note("change lock", host, how)

    def _predict(self, hosts: list[str]) -> None:
        """Say which hosts could not be locked now. One that does not answer would be refused at any time."""
        answers = sorted(self._exchange(dict.fromkeys(hosts, change_lock.SHOW)).items())
        errors = {host: answer["error"] for host, answer in answers if answer["result"] == "error"}
        self._refuse("The change", [f"{host}: it cannot be locked: {error}" for host, error in errors.items()])
        for host, answer in answers:
            if answer["result"] == "held":
                holder = Holder.from_lock(answer["lock"])
                if holder.run_id != os.environ.get(PARENT) and not holder.is_gone:
                    self._note("change lock", host, f"it could not be locked now: {holder}")

    def _renew(self, options: list[role_options.HostOptions]) -> None:
        if LOCKED not in self._variables:
            raise _RefusalError(
                "No host is locked: the playbook calls `batch` of change_guard without `acquire` before."
            )
        hosts = self._variables[LOCKED]
        values = options[0].values
        if hosts:
            problems = Locks(self._exchange, self._run(values), values["change_guard_lock_minutes"]).renew(hosts)
            self._refuse("This batch", problems)

    def _run(self, options: Mapping[str, Any]) -> Holder:
        try:
            return self._own(options["change_guard_procedure"])
        except UnrecordedRunError as error:
            raise _RefusalError(
                f"The change is refused; none of its hosts was changed:\n- this run is not recorded ({error}). Only "
                "recorded runs change hosts: put callbacks_enabled = ops.runbook.run_record into ansible.cfg"
            ) from error

    def _own(self, procedure: str) -> Holder:
        extra_vars = self._task.get_variable_manager().extra_vars
        return this_run(state_dir(), procedure, extra_vars, os.environ)

    def _exchange(self, jobs: Mapping[str, change_lock.Job]) -> Mapping[str, Mapping[str, Any]]:
        return exchange(self, self._variables, jobs)
