# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of ops.runbook.disaster_plan; the module of the same name documents it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase, VariableLayer
from ansible.utils.display import Display
from ansible_collections.ops.runbook.plugins.module_utils import database_cluster
from ansible_collections.ops.runbook.plugins.plugin_utils import disaster_inspection, disaster_plan
from ansible_collections.ops.runbook.plugins.plugin_utils.catalogue import no_durations
from ansible_collections.ops.runbook.plugins.plugin_utils.change_run import Holder
from ansible_collections.ops.runbook.plugins.plugin_utils.disaster_plan import Plan, RefusalError, Wishes

display = Display()

PLAN = "__disaster_recovery_plan"
PROCEDURE = "backup_recovery/disaster_recovery"
OVERRIDE = "disaster_recovery_override"
ARGUMENTS = {
    "mode": {"type": "str", "choices": [*disaster_plan.MODES, "way_back"], "required": True},
    "databases": {"type": "list", "elements": "str", "required": True},
    "applications": {"type": "list", "elements": "str", "default": []},
    "mode_file": {"type": "str", "default": ""},
    "probe_from": {"type": "str", "default": ""},
    "version": {"type": "str", "required": True},
    "cluster": {"type": "str", "default": "main"},
    "primary": {"type": "str", "default": ""},
    "standby": {"type": "str", "default": ""},
    "override": {"type": "str", "default": ""},
    "fence_command": {"type": "list", "elements": "str", "default": []},
    "fence_proof": {"type": "list", "elements": "str", "default": []},
    "lag": {"type": "float", "default": 10},
    "transaction_age": {"type": "float", "default": 15},
    "objectives": {"type": "dict", "default": {}},
}


class ActionModule(ActionBase):  # type: ignore[misc]
    """Asks all database hosts at once, and plans or refuses."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Register the plan for all hosts, or refuse the run."""
        super().run(tmp, task_vars)
        _unused, options = self.validate_argument_spec(argument_spec=ARGUMENTS)
        variables = task_vars or {}
        states, applications = disaster_inspection.inspected(
            self,
            variables,
            options["databases"],
            options["applications"],
            version=options["version"],
            cluster=options["cluster"],
            mode_file=options["mode_file"],
        )
        examined = [*states, *applications]
        abandoned = _abandoned({**states, **applications})
        if options["mode"] == "way_back":
            return {"changed": False, "examined": examined, **self._way_back(states, variables)}
        try:
            _check_options(options, set(variables["hostvars"]))
            if options["override"] and OVERRIDE not in self._task.get_variable_manager().extra_vars:
                raise RefusalError(
                    f"{OVERRIDE} stands in the inventory; only who is there can vouch for it: give it with -e"
                )
            plan = disaster_plan.plan(options["mode"], states, _wishes(options, self._guard()))
        except RefusalError as refusal:
            message = f"The {options['mode']} is refused; nothing was changed. {refusal}"
            return {"failed": True, "refused": True, "changed": False, "msg": message}
        self._publish(plan, states, applications, options, abandoned)
        said = f"{disaster_plan.told(states)}; {_intent(plan)}"
        display.display(f"\n{said}\n")
        return {"changed": False, "msg": said, "examined": examined}

    def _publish(
        self,
        plan: Plan,
        states: Mapping[str, Mapping[str, Any]],
        applications: Mapping[str, Mapping[str, Any]],
        options: Mapping[str, Any],
        abandoned: list[str],
    ) -> None:
        reachable = [host for host, state in applications.items() if state["role"] != "unreachable"]
        plan.read_only = [host for host in reachable if applications[host]["read_only"]]
        touched: list[str] = []
        if plan.has_work:
            databases = [*([plan.primary] if plan.primary else []), *plan.fence, *plan.follow, *plan.guard]
            answering = [host for host in dict.fromkeys(databases) if disaster_plan.role(states[host]) != "unreachable"]
            touched = plan.guard if plan.mode == "prepare" else [*answering, *reachable]
        probe = (
            [options["probe_from"]]
            if touched and plan.mode != "prepare" and options["probe_from"] not in ("", *touched)
            else []
        )
        self.register_host_variables(
            {
                PLAN: {
                    **plan.to_dict(),
                    "began": time.time(),
                    "applications": reachable if plan.has_work else [],
                    "unreachable": [host for host in applications if host not in reachable],
                    "states": {host: dict(state) for host, state in states.items()},
                },
                "disaster_recovery_touched": list(dict.fromkeys([*touched, *abandoned])),
                "disaster_recovery_queue": [*touched, *probe],
            },
            VariableLayer.REGISTER_VARS,
        )

    def _guard(self) -> str:
        """The digest of the files that the role database_role installs."""
        folder = Path(self._task._role._role_path).parent / "database_role" / "files"
        names = [Path(path).name for path in database_cluster.GUARD]
        return hashlib.sha256(b"".join((folder / name).read_bytes() for name in names)).hexdigest()

    def _way_back(self, states: Mapping[str, Mapping[str, Any]], variables: Mapping[str, Any]) -> dict[str, Any]:
        # What was lost before a failover stays fenced: why it was lost is not known.
        planned = variables[PLAN]["mode"] == "switchover"
        fenced = [host for host, how in variables[PLAN]["fence"].items() if how == "host" and planned]
        free = [host for host in fenced if disaster_plan.may_go_back(states, host)]
        made = {"__disaster_recovery_way_back": free, "__disaster_recovery_now": disaster_plan.told(states)}
        self.register_host_variables(made, VariableLayer.REGISTER_VARS)
        return {"msg": disaster_plan.told(states)}


def _abandoned(states: Mapping[str, dict[str, Any]]) -> list[str]:
    """Hosts that such a run held when it died, taken out of their states: the next one frees them, idle or not."""
    locks = {host: state.pop("lock", {}) for host, state in states.items()}
    holders = {host: Holder.from_lock(lock) for host, lock in locks.items() if lock.get("run_id")}
    return [host for host, held in holders.items() if held.procedure.startswith(PROCEDURE) and held.is_gone]


def _wishes(options: Mapping[str, Any], guard: str) -> Wishes:
    return Wishes(
        options["primary"],
        options["standby"],
        options["override"].strip(),
        bool(options["fence_command"]),
        guard,
        options["lag"] * 2**20,
        options["transaction_age"],
    )


def _check_options(options: Mapping[str, Any], known: set[str]) -> None:
    named = [("disaster_recovery_databases", host) for host in options["databases"]]
    named += [("disaster_recovery_applications", host) for host in options["applications"]]
    named += [("disaster_recovery_probe_from", options["probe_from"])] if options["probe_from"] else []
    for name, host in named:
        if host not in known:
            raise RefusalError(f"{name} names {host!r}, which is no host of the inventory")
    if len(options["databases"]) == 1:
        raise RefusalError("disaster_recovery_databases names fewer than two hosts")
    objectives = options["objectives"]
    wrong = no_durations({f"disaster_recovery_objectives.{name}": objectives.get(name) for name in ("rto", "rpo")})
    if wrong:
        raise RefusalError("; ".join(wrong))
    if bool(options["fence_command"]) != bool(options["fence_proof"]):
        raise RefusalError(
            "disaster_recovery_fence_command and disaster_recovery_fence_proof belong together: a command that cuts "
            "the power proves nothing by itself"
        )


def _intent(plan: Plan) -> str:
    words = [f"{host} is fenced" + (f" ({how})" if how != "host" else "") for host, how in plan.fence.items()]
    words += [f"{plan.primary} is promoted"] if plan.promote else []
    words += [f"{host} asks before it starts as a primary" for host in plan.guard]
    words += [f"{host} follows {plan.primary}" for host in plan.follow]
    words += [f"{host} takes writes again" for host in plan.read_only if not plan.promote]
    return ", ".join(words) or "nothing to do"
