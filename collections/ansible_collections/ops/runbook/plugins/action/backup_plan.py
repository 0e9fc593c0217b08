# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of ops.runbook.backup_plan; the module of the same name documents it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.yaml import yaml_load
from ansible.plugins.action import ActionBase, VariableLayer
from ansible_collections.ops.runbook.plugins.plugin_utils import backup_setup
from ansible_collections.ops.runbook.plugins.plugin_utils.backup_options import database_problems, file_problems
from ansible_collections.ops.runbook.plugins.plugin_utils.fan_out import FanOut
from ansible_collections.ops.runbook.plugins.plugin_utils.role_options import by_hosts

#: Role → what else has to be right about its options.
ROLES = {"database_backup": database_problems, "file_backup": file_problems}
#: Seconds in which a host says what it lacks.
TIMEOUT = 60.0
#: The variable with which a shorter retention is confirmed.
SHORTER = "backup_procedures_shorter_retention"
#: What each host said it lacks; None where it did not come to that.
Answers = dict[str, dict[str, dict[str, list[str]]] | None]


class ActionModule(ActionBase):  # type: ignore[misc]
    """Validates what the roles of the backups are given, and asks all hosts at once what they lack of it."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Refuse the run where something is wrong."""
        super().run(tmp, task_vars)
        spec = {name: {"type": "bool", "default": False} for name in ("inspect", "shorter")}
        _unused, arguments = self.validate_argument_spec(argument_spec=spec)
        hosts: list[str] = list((task_vars or {})["ansible_play_hosts_all"])
        roles = Path(self._task._role._role_path).parent
        errors: list[tuple[str, str]] = []
        looking = FanOut(self, task_vars or {})
        known = {host: looking.variables(host) for host in hosts}
        for role, problems in ROLES.items():
            options = _yaml(roles / role / "meta/argument_specs.yml")["argument_specs"]["configure"]["options"]
            defaults = self._loader.load_from_file(str(roles / role / "defaults/main.yml"), trusted_as_template=True)
            for host in hosts:
                values, found = self._values(options, {**defaults, **known[host]})
                errors += [(host, error) for error in found or problems(host, values)]
        what = "Correct the inventory or the command line"
        if not errors:
            said = self._inspect(roles, known, FanOut(self, task_vars or {}, known)) if arguments["inspect"] else {}
            errors = [] if arguments["shorter"] else backup_setup.shortened(said)
            if not errors:
                lacking = {host: backup_setup.names(answer) for host, answer in said.items()}
                return {"changed": False, "examined": hosts, "lacking": lacking}
            what = f"Backups would go earlier than they do. If that is decided: -e {SHORTER}=true"
        lines = "".join(f"\n- {line}" for line in by_hosts(errors, len(hosts)))
        message = f"The backups are refused; no host was touched. {what}:{lines}"
        return {"failed": True, "refused": True, "changed": False, "msg": message}

    def _inspect(self, roles: Path, known: Mapping[str, dict[str, Any]], fan_out: FanOut) -> Answers:
        """Register on which hosts something is to be set up, and which have all packages; what each of them lacks."""
        setups: dict[str, dict[str, Any]] = {host: {} for host in known}
        for role in ROLES:
            layers = [
                self._loader.load_from_file(str(roles / role / f"{folder}/main.yml"), trusted_as_template=True)
                for folder in ("defaults", "vars")
            ]
            for host, own in known.items():
                variables = {**layers[0], **own, **layers[1], "ansible_search_path": [str(roles / role)]}
                templar = self._templar.copy_with_new_env(available_variables=variables)
                setups[host][role] = templar.template(variables[f"__{role}_setup"])
        replies = fan_out.run_python({host: backup_setup.program(setups[host]) for host in setups}, TIMEOUT)
        said = {host: backup_setup.answer(reply.stdout) for host, reply in replies.items()}
        self.register_host_variables(
            {
                "backup_procedures_unfinished": backup_setup.unfinished(setups, said),
                "backup_procedures_packaged": backup_setup.packaged(said),
            },
            VariableLayer.REGISTER_VARS,
        )
        return said

    def _values(self, options: Mapping[str, Any], variables: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """The options of a role as a host gives them, and what is wrong with their types."""
        templar = self._templar.copy_with_new_env(available_variables=variables)
        given, errors = {}, []
        for name in (each for each in options if each in variables):
            try:
                given[name] = templar.template(variables[name])
            except AnsibleError as error:
                errors.append(f"{name}: {getattr(error, 'message', None) or error}")
        if errors:
            return {}, errors
        result = ArgumentSpecValidator(dict(options)).validate(given, validate_role_argument_spec=True)
        return result.validated_parameters, list(result.error_messages)


def _yaml(path: Path) -> Any:
    return yaml_load(path.read_text(encoding="utf-8"))
