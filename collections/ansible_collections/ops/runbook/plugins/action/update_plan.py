# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of ops.runbook.update_plan; the module of the same name documents it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from ansible.plugins.action import ActionBase, VariableLayer
from ansible.utils.display import Display
from ansible_collections.ops.runbook.plugins.plugin_utils import role_options, updates_inspection, updates_plan
from ansible_collections.ops.runbook.plugins.plugin_utils.updates_plan import Host

display = Display()

#: The roles of the steps, with an entry point that has all their options.
STEPS = {"traffic": "drain", "service_restart": "restart", "host_reboot": "reboot"}


class _RefusalError(Exception):
    """Why the run does not begin."""


class ActionModule(ActionBase):  # type: ignore[misc]
    """Looks at all hosts at once, and plans."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Register the plan for all hosts, or refuse the run."""
        super().run(tmp, task_vars)
        self._variables: Mapping[str, Any] = task_vars or {}
        self.validate_argument_spec(argument_spec={})
        names = list(self._variables["ansible_play_hosts_all"])
        try:
            options = self._options(names)
            hosts = self._hosts(options)
            self._admit(hosts, options)
        except _RefusalError as refusal:
            return {"failed": True, "refused": True, "changed": False, "msg": str(refusal)}
        any_options = next(iter(options.values()))
        batches = updates_plan.batches(
            hosts, any_options["security_updates_canary"], any_options["security_updates_batch"]
        )
        self.register_host_variables(
            {
                "security_updates_plan": {host.name: host.to_dict() for host in hosts},
                "security_updates_order": [name for batch in batches for name in batch],
                "security_updates_serial": [len(batch) for batch in batches],
                "security_updates_locked": updates_plan.to_lock(hosts),
            },
            VariableLayer.REGISTER_VARS,
        )
        count = sum(len(host.updates) for host in hosts)
        said = " → ".join(" + ".join(batch) for batch in batches) or "nothing to do"
        message = f"{count} packages on {sum(map(len, batches))} of {len(hosts)} hosts: {said}"
        display.display(f"\n{message}\n")
        return {"changed": False, "msg": message}

    def _options(self, names: list[str]) -> dict[str, Mapping[str, Any]]:
        """Each host's options; refuses what is wrong about them."""
        specification = {**_of_steps(self._task), **role_options.specification(self, "preflight")}
        found = role_options.read(self, specification, names)
        errors = [(host.host, error) for host in found for error in host.errors]
        errors += [
            (host.host, error)
            for host in found
            if not host.errors
            for error in updates_plan.wrong_options(host.values, names)
        ]
        for variable in ("security_updates_batch", "security_updates_canary"):
            if not errors and any(host.values[variable] != found[0].values[variable] for host in found):
                errors.append((found[0].host, f"{variable} is not the same on all hosts; it belongs to the run"))
        _refuse("Correct the inventory or the command line", role_options.by_hosts(errors, len(names)))
        return {host.host: host.values for host in found}

    def _hosts(self, options: Mapping[str, Mapping[str, Any]]) -> list[Host]:
        """Look at every host; refuses if one cannot be looked at."""
        self._answers = answers = updates_inspection.inspected(self, self._variables, options)
        _refuse("Correct the inventory or the command line", updates_plan.unknown_packages(answers, options))
        errors = [(name, answers[name]["error"]) for name in options if "error" in answers[name]]
        _refuse("Repair that first, or leave the host out with --limit", role_options.by_hosts(errors, 0))
        return [updates_inspection.host_of(name, answers[name], options[name]) for name in options]

    def _admit(self, hosts: list[Host], options: Mapping[str, Mapping[str, Any]]) -> None:
        against = [
            (host.name, reason)
            for host in hosts
            if host.has_work
            for reason in self._answers[host.name].get("against", ())
        ]
        _refuse("Make room, or get the files", role_options.by_hosts(against, 0))
        busy = [(host.name, reason) for host in hosts for reason in updates_plan.busy(host, options[host.name])]
        lines = role_options.by_hosts(busy, 0)
        if self._task.check_mode:
            for line in lines:
                display.warning(f"This would be refused now: {line}")
        else:
            _refuse("Wait until the databases are ready", lines)


def _of_steps(task: Any) -> dict[str, Any]:
    """The options of the steps' roles: wrong ones are refused here, not in the middle of the first batch."""
    roles = Path(task._role._role_path).parent
    options: dict[str, Any] = {}
    for role, entry in STEPS.items():
        text = (roles / role / "meta" / "argument_specs.yml").read_text(encoding="utf-8")
        options |= yaml.safe_load(text)["argument_specs"][entry]["options"]
    return {name: {**option, "required": False} for name, option in options.items()}


def _refuse(remedy: str, reasons: list[str]) -> None:
    if reasons:
        shown = [f"- {reason}" for reason in reasons[: role_options.MOST]]
        if len(reasons) > len(shown):
            shown.append(f"- and {len(reasons) - len(shown)} more")
        raise _RefusalError("\n".join([f"The update is refused; nothing was changed. {remedy}:", *shown]))
