# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of ops.runbook.change_approval; the module of the same name documents it."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible import context
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.ops.runbook.plugins.module_utils.ledger import Ledger
from ansible_collections.ops.runbook.plugins.module_utils.ledger_entry import NotAnEntryError
from ansible_collections.ops.runbook.plugins.plugin_utils import change_plan, change_plan_compare, change_plan_policy
from ansible_collections.ops.runbook.plugins.plugin_utils.change_plan import Plan, PlanError
from ansible_collections.ops.runbook.plugins.plugin_utils.change_plan_policy import Policy
from ansible_collections.ops.runbook.plugins.plugin_utils.change_plan_repeat import PARENT, predict, prompts
from ansible_collections.ops.runbook.plugins.plugin_utils.change_plan_save import APPLY, OPTION, unclear_version
from ansible_collections.ops.runbook.plugins.plugin_utils.change_plan_signatures import (
    AllowedSigners,
    Approvals,
    Requester,
    alike,
    approvals,
)
from ansible_collections.ops.runbook.plugins.plugin_utils.run_record import Run
from ansible_collections.ops.runbook.plugins.plugin_utils.state import state_dir

display = Display()

PAGE = "reference/change-approval"
_MOST_HOSTS = 5


class _NotApprovedError(Exception):
    """The run is not what was approved, in these points."""

    def __init__(self, points: list[str]) -> None:
        super().__init__("; ".join(points))
        self.points = points


class ActionModule(ActionBase):  # type: ignore[misc]
    """Verify the approved plan of this run, where there has to be one."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Refuse the run unless it needs no approval or does what was approved."""
        super().run(tmp, task_vars)
        _unused, arguments = self.validate_argument_spec(argument_spec={"plan": {"type": "str", "default": ""}})
        path = arguments["plan"]
        try:
            policy = change_plan_policy.read(
                self._task, self._templar, list((task_vars or {})["ansible_play_hosts_all"])
            )
        except PlanError as error:
            return _refusal([str(error)])
        result: dict[str, Any] = {"changed": False, "plan_demand": policy.demand()}
        predicting = self._task.check_mode and bool(os.environ.get(PARENT))
        if predicting or not (path or policy.approvals):
            return result
        try:
            return {**result, **self._verified(path, policy)}
        except _NotApprovedError as error:
            if self._task.check_mode:
                return {**result, **_warned(error.points)}
            return _refusal(error.points)

    def _verified(self, path: str, policy: Policy) -> dict[str, Any]:
        """The approval, for the record. Raises _NotApprovedError."""
        if not path:
            raise _NotApprovedError([_nothing_given(policy)])
        if Run.current is None:
            raise _NotApprovedError(
                ["plans are verified against the run record: enable the callback ops.runbook.run_record"]
            )
        verification = _Verification(Path(path).expanduser(), policy, Run.current)
        if self._task.check_mode:
            # This run makes the prediction itself.
            return {}
        display.display(f"plan {path} is approved; making its prediction again in check mode")
        return {"approval": verification.predicted()}


class _Verification:
    """A plan against this run. Raises _NotApprovedError where it is not what was approved."""

    def __init__(self, path: Path, policy: Policy, run: Run) -> None:
        self._run = run
        self._ledger = Ledger(state_dir().expanduser() / "ledger")
        try:
            self._plan = Plan.read(path)
            self._path = path
            self._approvals = self._judge(policy)
        except PlanError as error:
            raise _NotApprovedError([f"{APPLY}: {error}"]) from error
        points = self._signatures(policy) + self._inputs()
        if points:
            raise _NotApprovedError(points)

    def predicted(self) -> dict[str, Any]:
        """Make the prediction again; what the record says about the approval if it is the same."""
        try:
            now, run_id = predict(self._run.record.run_id, self._ledger)
        except PlanError as error:
            raise _NotApprovedError([str(error)]) from error
        points = change_plan_compare.inputs(self._plan.data, now.data)
        points += [f"changes: {line}" for line in change_plan_compare.changes(self._plan.changes, now.changes)]
        if points:
            raise _NotApprovedError(points)
        return {
            "plan": str(self._path),
            "sha256": self._plan.digest,
            "run_id": self._plan.data["run_id"],
            "requester": self._plan.data["requester"],
            "approved_by": [{"principal": signer.name, "key": signer.key} for signer in self._approvals.signers],
            "prediction": run_id,
        }

    def _judge(self, policy: Policy) -> Approvals:
        """The signatures, and that the plan was really made as it says."""
        self._check_made()
        if policy.allowed_signers is None:
            if policy.approvals:
                raise PlanError("change_guard_allowed_signers is empty: it names the file of those who may approve")
            return Approvals((), ())
        allowed = AllowedSigners(policy.allowed_signers)
        requester = Requester.of(self._plan.data["requester"], policy.accounts or {})
        if policy.approvals and not any(alike(name, known) for name in requester.names for known in allowed.principals):
            raise PlanError(
                f"its requester ({', '.join(sorted(requester.names))}) is nobody in {allowed.path}, so nobody could "
                "tell whether they approved their own change; map the account to a principal in change_guard_accounts"
            )
        return approvals(self._path, self._plan.content, allowed, requester)

    def _check_made(self) -> None:
        """The requester and the time in a plan are true if a run recorded this very plan."""
        try:
            for entry in self._ledger.entries():
                if entry.run_id == self._plan.data["run_id"] and entry.kind == "finished" and entry.intact:
                    if entry.body.get("plan", {}).get("sha256") == self._plan.digest:
                        return
                    raise PlanError(f"{self._path} was edited: run {entry.run_id} has recorded another digest")
        except NotAnEntryError as error:
            raise PlanError(f"the ledger is damaged: {error}") from error
        raise PlanError(
            f"run {self._plan.data['run_id']}, which made {self._path}, is not in {self._ledger.path}; "
            "a plan is applied with the state directory that it was made with"
        )

    def _signatures(self, policy: Policy) -> list[str]:
        points = []
        if self._plan.has_expired(datetime.now(UTC)):
            points.append(f"expired: the plan was valid until {self._plan.data['expires_at']}; make it again")
        names = [signer.name for signer in self._approvals.signers]
        rejected = [f"signature {line}" for line in self._approvals.rejected]
        if len(names) < policy.approvals:
            who = f"{', '.join(names)} approved" if names else "nobody approved"
            points.append(f"approvals: {_demand(policy)}, {who}")
            points += rejected
        else:
            for line in rejected:
                display.warning(f"Not counted: {line}")
        return points

    def _inputs(self) -> list[str]:
        start = self._run.record.start()
        # As JSON gives it back: the plan has been through it.
        now = change_plan.plain(change_plan.inputs(start, self._run.targets))
        points = change_plan_compare.inputs(self._plan.data, now)
        points += [f"commit: {reason}" for reason in unclear_version(start["what"])]
        return points + list(prompts(context.CLIARGS, sys.orig_argv))


def _nothing_given(policy: Policy) -> str:
    return (
        f"approvals: {_demand(policy)}, and no plan is given. Make one with --check --diff -e {OPTION}=FILE, "
        f"have it signed, and apply it with -e {APPLY}=FILE"
    )


def _demand(policy: Policy) -> str:
    hosts = ", ".join(policy.demanding[:_MOST_HOSTS])
    more = f" and {len(policy.demanding) - _MOST_HOSTS} more" if len(policy.demanding) > _MOST_HOSTS else ""
    return f"{hosts}{more} demand{'' if len(policy.demanding) > 1 else 's'} {policy.approvals}"


def _warned(points: list[str]) -> dict[str, Any]:
    run = Run.current
    if run and run.request and not run.record.extra_vars.get(APPLY):
        return {}
    return {"warnings": [f"This run would be refused outside check mode: {point}" for point in points]}


def _refusal(points: list[str]) -> dict[str, Any]:
    lines = [f"- {point}" for point in points]
    text = f"This change is not approved as it is; nothing was done. See {PAGE} in the runbook.\n"
    return {"failed": True, "refused": True, "changed": False, "msg": text + "\n".join(lines)}
