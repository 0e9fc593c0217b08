# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The health checks of every host of a play, merged and validated, or everything that is wrong about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.ops.runbook.plugins.plugin_utils import role_options
from ansible_collections.ops.runbook.plugins.plugin_utils.checks_layers import Layers
from ansible_collections.ops.runbook.plugins.plugin_utils.checks_resolve import merge_layers, resolve_all, suggest
from ansible_collections.ops.runbook.plugins.plugin_utils.limit import unknown

#: How many errors one message lists.
MOST_ERRORS = 10
#: How many hosts one error names.
MOST_HOSTS = 10


class _Host:
    """One host's variables and what its checks make of them."""

    def __init__(self, name: str, layers: Layers, hosts: list[str], templar: Any) -> None:
        self.name = name
        self.errors: list[str] = []
        self.checks: list[dict[str, Any]] = []
        self.options: Mapping[str, Any] = {}
        self._layers = layers
        self.variables = layers.variables(name, hosts)
        self.templar = templar.copy_with_new_env(available_variables=self.variables)

    def template(self, value: Any, where: str, absent: Any = None) -> Any:
        """The value with its templates filled in; a failure is one of the host's errors."""
        try:
            return self.templar.template(value)
        except AnsibleError as error:
            self.errors.append(f"{where}: {getattr(error, 'message', None) or error}".strip())
            return absent

    def read_options(self, specification: Mapping[str, Any], validate: _Validator) -> None:
        """Read the role's variables as its argument specification describes them."""
        given = {name: self.template(self.variables[name], name) for name in specification if name in self.variables}
        if not self.errors:
            result = validate(given)
            self.errors += result.error_messages
            self.options = result.validated_parameters

    def resolve(self) -> None:
        """Merge every contribution and check the result."""
        layers = [("the baseline", self.options["health_check_baseline"])]
        layers += self._class_layers()
        layers.append(("the procedure", self.options["health_check_additional_checks"]))
        for origin, value in self._layers.of(self.name, "health_checks"):
            where = f"health_checks of {origin}"
            layers.append(
                (origin, self._mapping(where, self.template(value, where) if isinstance(value, str) else value))
            )
        merged, errors = merge_layers(layers)
        for name, check in merged.items():
            if check.enabled:
                where = f"health_checks[{name!r}] (set by {', '.join(dict.fromkeys(check.origins))})"
                filled = self.template(check.spec, where)
                check.enabled, check.spec = filled is not None, filled or {}
        self.checks, wrong = resolve_all(merged)
        self.errors += errors + wrong

    def _mapping(self, where: str, value: Any) -> Mapping[str, Any]:
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            self.errors.append(f"{where} is {value!r}, not a mapping of check names")
            return {}
        return value

    def _class_layers(self) -> list[tuple[str, Mapping[str, Any]]]:
        """The checks of the classes that the host's groups and the host itself name."""
        known = self.options["health_check_classes"]
        names: list[str] = []
        for origin, value in self._layers.of(self.name, "health_check_class"):
            filled = self.template(value, f"health_check_class of {origin}", [])
            names += filled if isinstance(filled, list) else [filled]
        layers = []
        for name in dict.fromkeys(names):
            if name in known:
                layers.append((f"class {name}", self._mapping(f"health_check_classes[{name!r}]", known[name])))
            else:
                self.errors.append(
                    f"health_check_class is {name!r}{suggest(name, known)}; classes are {', '.join(sorted(known))}"
                )
        return layers


class _Validator:
    """Validates the options of one host after the other; most hosts have those of the host before."""

    def __init__(self, specification: Mapping[str, Any]) -> None:
        self._validator = ArgumentSpecValidator(dict(specification))
        self._given: Mapping[str, Any] | None = None
        self._result: Any = None

    def __call__(self, given: Mapping[str, Any]) -> Any:
        # The validator copies all values in depth, which takes longer than to compare them.
        if given != self._given:
            self._given, self._result = given, self._validator.validate(given, validate_role_argument_spec=True)
        return self._result


class Plan:
    """The checks of all hosts of an action's play, and what is wrong about them."""

    def __init__(self, action: Any, task_vars: Mapping[str, Any], entry_point: str, also: Sequence[str] = ()) -> None:
        """Read the options as the entry point of the task's role specifies them.

        ``also`` are entry points of other roles, as role/entry_point, whose options the first host has to meet.
        """
        names = list(task_vars["ansible_play_hosts_all"])
        layers = Layers(action._task, ("health_checks", "health_check_class"))
        specification = role_options.specification(action, entry_point)
        hosts = [_Host(name, layers, names, action._templar) for name in names]
        validate = _Validator(specification)
        for host in hosts:
            host.read_options(specification, validate)
            if not host.errors:
                host.resolve()
        self.errors = _unknown_limit(task_vars) + (_by_hosts(hosts) or _select(hosts))
        self.errors += [error for place in also for error in role_options.wrong(action, place, hosts[0].variables)]
        self.checks = {host.name: host.checks for host in hosts}
        self.options = {host.name: host.options for host in hosts}
        self.variables = {host.name: host.variables for host in hosts}

    def refusal(self) -> dict[str, Any]:
        """The result of a task that refuses the run."""
        lines = self.errors[:MOST_ERRORS]
        if len(self.errors) > MOST_ERRORS:
            lines.append(f"and {len(self.errors) - MOST_ERRORS} more")
        message = "The health checks cannot be run; no host was touched. Correct the inventory or the command line:\n"
        return {
            "failed": True,
            "refused": True,
            "changed": False,
            "msg": message + "\n".join(f"- {line}" for line in lines),
        }


def _unknown_limit(variables: Mapping[str, Any]) -> list[str]:
    """Elements of --limit that name nothing: ansible-core would go on with the others."""
    limit, groups = variables.get("ansible_limit"), variables["groups"]
    missing = unknown(limit, groups["all"], groups) if limit else []
    hosts = f"hosts are {_few(sorted(groups['all']))}, groups are {_few(sorted(groups))}"
    return [f"--limit names {name!r}, which is no host and no group; {hosts}" for name in missing]


def _select(hosts: list[_Host]) -> list[str]:
    """Keep only the checks that were asked for."""
    known = {check["name"] for host in hosts for check in host.checks}
    asked = dict.fromkeys(name for host in hosts for name in host.options["health_check_only"])
    missing = [name for name in asked if name not in known]
    if missing:
        return [
            f"health_check_only names {name!r}, which is a check of no host{suggest(name, known)}; "
            f"checks of these hosts are {', '.join(sorted(known))}"
            for name in missing
        ]
    for host in hosts:
        only = host.options["health_check_only"]
        host.checks = [check for check in host.checks if not only or check["name"] in only]
    return []


def _by_hosts(hosts: list[_Host]) -> list[str]:
    """The errors, each once, with the hosts that have it."""
    found: dict[str, list[str]] = {}
    for host in hosts:
        for error in host.errors:
            found.setdefault(error, []).append(host.name)
    return [f"on {_few(names)}: {error}" for error, names in found.items()]


def _few(names: list[str]) -> str:
    more = f" and {len(names) - MOST_HOSTS} more" if len(names) > MOST_HOSTS else ""
    return ", ".join(names[:MOST_HOSTS]) + more
