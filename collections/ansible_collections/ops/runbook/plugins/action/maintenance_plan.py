# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of ops.runbook.maintenance_plan; the module of the same name documents it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase, VariableLayer
from ansible_collections.ops.runbook.plugins.plugin_utils.change_lock import PATH as LOCK
from ansible_collections.ops.runbook.plugins.plugin_utils.fan_out import FanOut
from ansible_collections.ops.runbook.plugins.plugin_utils.maintenance_findings import server
from ansible_collections.ops.runbook.plugins.plugin_utils.maintenance_options import Options
from ansible_collections.ops.runbook.plugins.plugin_utils.maintenance_program import answer, program

PLAN = "__routine_maintenance_plan"
PROCEDURE = "maintenance/routine_maintenance"
#: How many errors one message lists.
MOST_ERRORS = 10
#: Seconds that the inspection of a host may take.
TIMEOUT = 120.0


class _Host:
    """One host: its options, and what it answered."""

    def __init__(self, name: str, variables: dict[str, Any], templar: Any) -> None:
        self.name = name
        self.errors: list[str] = []
        self.job: dict[str, Any] = {}
        self.thresholds: dict[str, float] = {}
        self.rank = 0
        self.seen: dict[str, Any] = {}
        self._variables = variables
        self._templar = templar.copy_with_new_env(available_variables=variables)

    def value(self, name: str, absent: Any) -> Any:
        """A variable of the host that belongs to another role."""
        return self._templar.template(self._variables[name]) if name in self._variables else absent

    def read(self, specification: Mapping[str, Any], restart_baseline: Mapping[str, str]) -> None:
        """Read and judge the host's variables."""
        given = {}
        for name in specification:
            if name in self._variables:
                try:
                    given[name] = self._templar.template(self._variables[name])
                except AnsibleError as error:
                    self.errors.append(f"{name}: {getattr(error, 'message', None) or error}")
        result = ArgumentSpecValidator(dict(specification)).validate(given, validate_role_argument_spec=True)
        self.errors = self.errors or list(result.error_messages)
        if self.errors:
            return
        options = Options(result.validated_parameters)
        self.job = options.job({**restart_baseline, **self.value("service_restart_methods", {})})
        self.job["lock"] = LOCK
        self.thresholds = options.thresholds()
        self.errors = options.errors
        self.rank = result.validated_parameters["routine_maintenance_rank"]

    @property
    def cleans(self) -> bool:
        """Whether there is something to clean."""
        return any(told["items"] for told in self.seen["areas"].values())

    @property
    def reboots(self) -> bool:
        """Whether it reboots."""
        return bool(self.seen.get("reboot")) and bool(self.value("host_reboot_allowed", True))

    @property
    def unfinished(self) -> bool:
        """Whether an earlier run of this procedure died while it held the host: it may have taken traffic from it."""
        lock, own = self.seen["lock"], (os.environ.get("RUNBOOK_RUN_ID"), os.environ.get("RUNBOOK_PARENT_RUN_ID"))
        return lock.get("procedure") == PROCEDURE and lock.get("run_id") not in own

    @property
    def renews(self) -> bool:
        """Whether services are restarted, or the host is, or traffic may have to be given back."""
        return self.reboots or bool(self.seen.get("stale")) or (self.unfinished and bool(self.proxies))

    @property
    def proxies(self) -> list[str]:
        """The proxies that send requests to the host."""
        return [str(proxy) for proxy in self.value("traffic_proxies", [])]

    def refusal(self) -> str:
        """Why the host must not be changed now."""
        if "error" in self.seen:
            return f"it cannot be inspected: {self.seen['error']}"
        postgresql = server(self.seen)
        if postgresql.get("busy") and (self.renews or self.seen["areas"]["postgresql"]["items"]):
            return f"its PostgreSQL is to be left alone now, because {postgresql['busy']}; wait for that"
        return ""

    def planned(self) -> dict[str, Any]:
        """What the tasks and the report need."""
        return {
            "job": self.job,
            "thresholds": self.thresholds,
            "seen": self.seen,
            "cleans": self.cleans,
            "reboots": self.reboots,
            "interrupts": self.reboots or bool(self.seen.get("stale")),
            # A reboot renews every service.
            "restarts": sorted(self.seen.get("stale", {})) if not self.reboots else [],
            "orphans": [item["subject"].split()[0] for item in self.seen["areas"].get("orphans", {}).get("items", ())],
        }


class ActionModule(ActionBase):  # type: ignore[misc]
    """Inspects all hosts at once, and says what is to be done on each and in which order."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Validate, inspect, plan."""
        super().run(tmp, task_vars)
        _unused, arguments = self.validate_argument_spec(
            argument_spec={"entry_point": {"type": "str", "required": True}}
        )
        variables = task_vars or {}
        fan_out = FanOut(self, variables)
        hosts = [_Host(name, fan_out.variables(name), self._templar) for name in variables["ansible_play_hosts_all"]]
        roles = Path(self._task._role._role_path).parent
        specification = _yaml(roles / "routine_maintenance/meta/argument_specs.yml")["argument_specs"]
        # How a service is restarted, and which never is, says the role that does it.
        baseline = _yaml(roles / "service_restart/defaults/main.yml")["service_restart_baseline"]
        for host in hosts:
            host.read(specification[arguments["entry_point"]]["options"], baseline)
        if any(host.errors for host in hosts):
            return _refused(_by_error(hosts), "Correct the inventory or the command line")
        replies = fan_out.run_python({host.name: program(host.job) for host in hosts}, TIMEOUT)
        for host in hosts:
            host.seen = answer(replies[host.name])
        refusals = [f"{host.name}: {reason}" for host in hosts if (reason := host.refusal())]
        if refusals:
            return _refused(refusals, "Nothing was changed")
        return self._register(hosts)

    def _register(self, hosts: list[_Host]) -> dict[str, Any]:
        cleaned = [host.name for host in hosts if host.cleans]
        renewed = [host for host in hosts if host.renews]
        # Sorting keeps the inventory's order among equals: its first host is the canary.
        renewed.sort(key=lambda host: (host.rank, not server(host.seen).get("standby", False)))
        order = [host.name for host in renewed]
        locked = [proxy for host in renewed for proxy in host.proxies]
        locked += [host.name for host in hosts if host.unfinished]
        touched = list(dict.fromkeys([*cleaned, *order]))
        self.register_host_variables(
            {
                PLAN: {host.name: host.planned() for host in hosts},
                "__routine_maintenance_cleaned_hosts": cleaned,
                "__routine_maintenance_renewed_hosts": order,
                "__routine_maintenance_touched_hosts": touched,
                "__routine_maintenance_locked_hosts": list(dict.fromkeys([*touched, *locked])),
            },
            VariableLayer.REGISTER_VARS,
        )
        idle = len(hosts) - len(touched)
        return {
            "changed": False,
            "examined": [host.name for host in hosts],
            "msg": f"to clean: {', '.join(cleaned) or 'none'}; to restart or reboot, in this order: "
            f"{', '.join(order) or 'none'}; {idle} hosts need nothing",
        }


def _yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _by_error(hosts: list[_Host]) -> list[str]:
    """The errors, each once, with the hosts that have it."""
    found: dict[str, list[str]] = {}
    for host in hosts:
        for error in host.errors:
            found.setdefault(error, []).append(host.name)
    return [error if len(names) == len(hosts) else f"{error} (on {', '.join(names)})" for error, names in found.items()]


def _refused(reasons: list[str], remedy: str) -> dict[str, Any]:
    lines = reasons[:MOST_ERRORS]
    if len(reasons) > MOST_ERRORS:
        lines.append(f"and {len(reasons) - MOST_ERRORS} more")
    message = f"Routine maintenance is refused. {remedy}:\n" + "\n".join(f"- {line}" for line in lines)
    return {"failed": True, "refused": True, "changed": False, "msg": message}
