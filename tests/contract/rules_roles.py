"""Rules about roles: every entry point has a spec that tells the truth about its variables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.contract.project import IMPORTS, Project, Rule, walk

#: Variables with a role's name that its plugins read from the inventory, host by host, or set as facts.
OF_PLUGINS = {
    "health_check_class",
    "health_check_findings",
    "health_check_findings_json",
    "host_reboot_result",
    "security_updates_findings",
    "security_updates_order",
    "security_updates_plan",
    "security_updates_sections",
    "security_updates_serial",
    "service_restart_result",
}


def _calls(project: Project) -> dict[tuple[str, str], Path]:
    """Every (role, entry point) that something calls, with one caller."""
    callers = [path for path in project.below("playbooks", "roles", "molecule", "tests") if path.name != "molecule.yml"]
    return {call: path for path in callers for call in project.calls(path)}


def role_is_used(project: Project) -> Iterator[str]:
    """A playbook or another role calls the role."""
    called = {
        role
        for path in project.below("playbooks", "roles")
        for role, _entry in project.calls(path)
        if path.parts[:2] != ("roles", role)
    }
    yield from (f"roles/{role} is called by no playbook, no other role" for role in project.roles if role not in called)


def called_entry_point_exists(project: Project) -> Iterator[str]:
    """What is called has a task file and a spec; every spec has its task file."""
    for (role, entry), path in _calls(project).items():
        if role not in project.roles:
            continue  # a role of the reference platform
        if Path("roles", role, "tasks", f"{entry}.yml") not in project.tracked:
            yield f"{path}: calls {role} from {entry}, but there is no roles/{role}/tasks/{entry}.yml"
        if entry not in project.specs(role):
            yield f"roles/{role}/meta/argument_specs.yml lacks entry point {entry}, which {path} calls"
    for role in project.roles:
        for entry in project.specs(role):
            if Path("roles", role, "tasks", f"{entry}.yml") not in project.tracked:
                yield f"roles/{role}/meta/argument_specs.yml: {entry} has no task file"


def _options(project: Project, role: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Entry point, name and spec of each of a role's options."""
    for entry, spec in project.specs(role).items():
        for name, option in spec.get("options", {}).items():
            yield entry, name, option


def option_is_described(project: Project) -> Iterator[str]:
    """Every entry point says what it does; every option has a type and a description."""
    for role in project.roles:
        for entry, spec in project.specs(role).items():
            if not spec.get("short_description"):
                yield f"roles/{role}: {entry} lacks short_description"
        for entry, name, option in _options(project, role):
            missing = [key for key in ("type", "description") if not option.get(key)]
            yield from (f"roles/{role}: {entry}: {name} lacks {key}" for key in missing)


def defaults_agree_with_the_spec(project: Project) -> Iterator[str]:
    """Every default is documented with its value, and every documented default is one."""
    for role in project.roles:
        defaults = project.defaults(role)
        documented = {name for _entry, name, _option in _options(project, role)}
        yield from (
            f"roles/{role}: default {name} is in no argument spec" for name in defaults if name not in documented
        )
        for entry, name, option in _options(project, role):
            yield from (f"roles/{role}: {entry}: {problem}" for problem in _disagreement(name, option, defaults))


def _disagreement(name: str, option: dict[str, Any], defaults: dict[str, Any]) -> Iterator[str]:
    if "default" in option and name not in defaults:
        yield f"{name} has a default in the spec, none in defaults/main.yml"
    elif "default" in option and option["default"] != defaults[name]:
        yield f"{name} is {option['default']!r} in the spec, {defaults[name]!r} in defaults/main.yml"
    elif "default" not in option and _belongs_into_the_spec(defaults.get(name)):
        yield f"{name} lacks its default {defaults[name]!r} in the spec"


def _belongs_into_the_spec(value: Any) -> bool:
    """Whether a spec states the value: not a template, and not a structure that is documented where it stands."""
    return value is not None and "{{" not in str(value) and not (isinstance(value, dict) and value)


def variable_is_public_or_internal(project: Project) -> Iterator[str]:
    """A role's variables are documented (``role_x``) or internal (``__role_x``); it sets no others."""
    for role in project.roles:
        documented = {name for _entry, name, _option in _options(project, role)} | OF_PLUGINS
        for path in project.tracked:
            if path.parts[:2] != ("roles", role) or path.parts[2] in ("meta", "files"):
                continue
            yield from (
                f"{path}: {name} is in no argument spec"
                for name in sorted(set(re.findall(rf"(?<![\w.]){role}_\w+\b(?!\.py|:)", project.text(path))))
                if name not in documented and path.suffix in (".yml", ".j2")
            )
            if path.suffix == ".yml":
                for name in _set(project.yaml(path), defaults=path.parts[2] == "defaults"):
                    if not name.startswith((f"{role}_", f"__{role}_")):
                        yield f"{path}: sets {name}, which bears another name than the role's"


def _set(data: Any, *, defaults: bool) -> Iterator[str]:
    """Variables that a file sets: registered, set as facts, or defaults."""
    if defaults:
        yield from data or ()
        return
    for mapping in walk(data):
        if isinstance(mapping.get("register"), str):
            yield mapping["register"]
        yield from (name for name in mapping.get("ansible.builtin.set_fact") or () if name != "cacheable")


def role_knows_no_group(project: Project) -> Iterator[str]:
    """Only inventories and playbooks know groups."""
    for path in project.below("roles"):
        for word in re.findall(r"\b(?:groups\[|groups\.|group_names)", project.text(path)):
            yield f"{path}: uses {word!r}; pass what it needs as a variable"


def role_is_called_by_a_plain_name(project: Project) -> Iterator[str]:
    """Which role runs is decided in the playbook, never by data."""
    for path in project.below("roles", "playbooks"):
        for mapping in walk(project.yaml(path)):
            for module in IMPORTS:
                if module in mapping and "{{" in mapping[module]["name"]:
                    yield f"{path}: calls the role {mapping[module]['name']}"


RULES: tuple[Rule, ...] = (
    role_is_used,
    called_entry_point_exists,
    option_is_described,
    defaults_agree_with_the_spec,
    variable_is_public_or_internal,
    role_knows_no_group,
    role_is_called_by_a_plain_name,
)
