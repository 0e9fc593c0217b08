# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The variables of a role on many hosts, validated in one task: Ansible's own validation is a task for each host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.yaml import yaml_load
from ansible_collections.ops.runbook.plugins.plugin_utils.checks_layers import Layers

#: How many hosts, or errors, one message names.
MOST = 10


@dataclass
class HostOptions:
    """One host's options of a role, and what is wrong with them."""

    host: str
    values: dict[str, Any] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)


def specification(action: Any, entry_point: str, role: str = "") -> Mapping[str, Any]:
    """The options of an entry point of the role that the action's task belongs to, or of one beside it."""
    own = Path(action._task._role._role_path)
    return _specification(own.parent / role if role else own, entry_point)


def _specification(role: Path, entry_point: str) -> Mapping[str, Any]:
    specs = yaml_load((role / "meta/argument_specs.yml").read_text(encoding="utf-8"))["argument_specs"]
    options: Mapping[str, Any] = specs[entry_point]["options"]
    return options


def wrong(action: Any, place: str, variables: dict[str, Any]) -> list[str]:
    """What is wrong with the options of an entry point of a neighbouring role, given as role/entry_point."""
    role, _slash, entry_point = place.partition("/")
    try:
        options = _specification(Path(action._task._role._role_path).parent / role, entry_point)
    except (OSError, KeyError) as error:
        return [f"{place!r} is no role/entry_point beside this role: {error}"]
    return _host(action, options, "", variables).errors


def read(action: Any, options: Mapping[str, Any], hosts: list[str]) -> list[HostOptions]:
    """Each host's values, with templates filled in."""
    layers = Layers(action._task, ())
    return [_host(action, options, host, layers.variables(host, hosts)) for host in hosts]


def _host(action: Any, options: Mapping[str, Any], host: str, variables: dict[str, Any]) -> HostOptions:
    templar = action._templar.copy_with_new_env(available_variables=variables)
    found = HostOptions(host)
    given = {}
    for name in options:
        if name in variables:
            try:
                given[name] = templar.template(variables[name])
            except AnsibleError as error:
                found.errors.append(f"{name}: {getattr(error, 'message', None) or error}".strip())
    if not found.errors:
        result = ArgumentSpecValidator(dict(options)).validate(given, validate_role_argument_spec=True)
        found.errors += result.error_messages
        found.values = result.validated_parameters
    return found


def by_hosts(errors: Iterable[tuple[str, str]], total: int) -> list[str]:
    """(host, error) pairs as lines: each error once, with its hosts unless it is that of all."""
    hosts: dict[str, list[str]] = {}
    for host, error in errors:
        hosts.setdefault(error, []).append(host)
    return [error if len(names) == total else f"on {few(names)}: {error}" for error, names in hosts.items()]


def few(names: list[str]) -> str:
    """The names, or the first of many."""
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    return ", ".join(names[:MOST]) + more
