"""The tables of the runbook's site, as Markdown, from what the project already says elsewhere."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.ops.runbook.plugins.plugin_utils.catalogue import Catalogue, Duration, Procedure
from ansible_collections.ops.runbook.plugins.plugin_utils.checks import (
    CHECK_TYPES,
    COMMON_OPTIONS,
    Aspect,
    Option,
    Quantity,
)

OBJECTIVES = "inventories/example/group_vars/all/objectives.yml"


@dataclass(frozen=True)
class Source:
    """What a table may be made from."""

    root: Path
    catalogue: Catalogue
    #: Name of the page that the table stands on.
    page: str

    def procedure(self) -> Procedure | None:
        """The procedure of the page; None for a page that explains rather than acts."""
        return next((item for item in self.catalogue.procedures if item.name == self.page), None)

    def objective(self, name: str) -> Any:
        """One of the production template's objectives."""
        data = yaml.safe_load((self.root / OBJECTIVES).read_text(encoding="utf-8"))
        return data[f"objectives_{name}"]

    def link(self, name: str) -> str:
        """A link from this page to another, or the name of a planned one."""
        plans = {plan.name: plan.title for plan in self.catalogue.planned}
        if name in plans:
            return f"{plans[name]} (planned)"
        titles = {page.name: page.title for page in self.catalogue.procedures}
        return f"[{titles[name]}]({os.path.relpath(name, Path(self.page).parent)}.md)"


def table(source: Source, name: str, argument: str) -> str:
    """The table that the marker names. LookupError where there is none."""
    try:
        make = TABLES[name]
    except KeyError:
        raise LookupError(f"no table {name!r}; there are {', '.join(TABLES)}") from None
    return make(source, argument)


def rows(head: Sequence[str], body: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(_cell(value) for value in line) + " |" for line in lines)


def facts(source: Source) -> str:
    """The fact box of the page's procedure; empty on other pages."""
    procedure = source.procedure()
    if procedure is None:
        return ""
    names = source.catalogue.controls
    entries = {
        "Kind": procedure.kind,
        "Takes about": procedure.expected_duration,
        "Impact": procedure.impact,
        "Approval": "a second person" if procedure.approval == "four-eyes" else "none needed",
        "Owner": procedure.owner_role,
        "Playbook": f"`{procedure.playbook}`",
        "Proved by": ", ".join(f"`molecule test -s {scenario}`" for scenario in procedure.scenarios),
        "Alerts that lead here": ", ".join(f"`{alert}`" for alert in procedure.alerts),
        "Practised every": procedure.drill_interval or "",
        "Controls": ", ".join(f'<abbr title="{names[control]}">{control}</abbr>' for control in procedure.controls),
    }
    lines = rows(("", ""), ((f"**{key}**", value) for key, value in entries.items() if value))
    return f'<div class="facts" markdown>\n\n{lines}\n\n</div>\n'


def _cell(value: object) -> str:
    return " ".join(str(value).split()).replace("|", "\\|")


def _built(source: Source, _argument: str) -> str:
    """Every procedure that has a page."""
    return rows(
        ("Procedure", "What it does", "Kind", "Takes", "Proved by"),
        (
            (
                source.link(item.name),
                item.summary,
                item.kind,
                item.expected_duration,
                ", ".join(f"`molecule/{scenario}`" for scenario in item.scenarios),
            )
            for item in source.catalogue.procedures
        ),
    )


def _planned(source: Source, _argument: str) -> str:
    """Every procedure that has none yet, by chapter."""
    body: list[tuple[str, str, str]] = []
    for folder, title in source.catalogue.chapters.items():
        plans = [plan for plan in source.catalogue.planned if plan.name.rpartition("/")[0] == folder]
        body += [("" if number else title, plan.title, plan.summary) for number, plan in enumerate(plans)]
    return rows(("Chapter", "Procedure", "What it will do"), body)


def _controls(source: Source, _argument: str) -> str:
    body = []
    for control, name in source.catalogue.controls.items():
        evidence = [source.link(item.name) for item in source.catalogue.procedures if control in item.controls]
        if evidence:
            body.append((control, name, ", ".join(evidence)))
    return rows(("Control", "Its wording", "Evidence comes from"), body)


def _escalation(source: Source, _argument: str) -> str:
    return rows(
        ("Severity", "Who is told, counted from the start"),
        (
            (name, " → ".join(f"{step['tell']} ({_after(step['after'])})" for step in steps))
            for name, steps in source.objective("escalation").items()
        ),
    )


def _schedule(source: Source, _argument: str) -> str:
    return rows(
        ("Every", "At", "Task", "Procedure", "Answers for it"),
        (
            (_readable(task["every"]), task.get("at", ""), task["task"], source.link(task["procedure"]), task["by"])
            for task in source.objective("schedule")
        ),
    )


def _objective(source: Source, name: str) -> str:
    """A table of the objectives that are one row a name."""
    columns = OBJECTIVE_COLUMNS[name]
    return rows(
        tuple(columns.values()),
        (
            (f"**{key}**", *(_readable(entry[column]) for column in list(columns)[1:]))
            for key, entry in source.objective(name).items()
        ),
    )


def _list(source: Source, name: str) -> str:
    """A table of the objectives that are a list: one row an entry, one column a key."""
    entries = source.objective(name)
    if not entries:
        return "None."
    return rows(
        [key.capitalize() for key in entries[0]], ([_readable(item) for item in entry.values()] for entry in entries)
    )


def _settings(source: Source, name: str) -> str:
    """A table of the objectives that are single values."""
    return rows(("Setting", "Value"), ((f"`{key}`", _readable(item)) for key, item in source.objective(name).items()))


def _check(_source: Source, name: str) -> str:
    """Options, thresholds and metrics of a check type."""
    check = CHECK_TYPES[name]
    body: list[tuple[str, str, str]] = [_option(name, check.subject)]
    body += [_threshold(key, aspect) for key, aspect in check.aspects.items()]
    body += [_option(key, option) for key, option in check.options.items()]
    metrics = ", ".join(f"`{metric}` ({meaning})" for metric, meaning in check.metrics.items())
    return rows(("Key", "Meaning", "Default"), body) + f"\n\nMetrics: {metrics}."


def _common_options(_source: Source, _argument: str) -> str:
    return rows(("Key", "Meaning", "Default"), (_option(name, option) for name, option in COMMON_OPTIONS.items()))


def _option(name: str, option: Option) -> tuple[str, str, str]:
    choices = f": {', '.join(f'`{choice}`' for choice in option.choices)}" if option.choices else ""
    default = "" if option.default in (None, [], {}) else f"`{_inline(option.default)}`"
    return f"`{name}`", option.description + choices, default


def _threshold(key: str, aspect: Aspect) -> tuple[str, str, str]:
    """One row for a pair of thresholds."""
    names = [f"`{key}: {{{level}: …}}`" if key else f"`{level}`" for level in ("warning", "critical")]
    values = [f"`{value}`" if value is not None else "none" for value in (aspect.warning, aspect.critical)]
    return ", ".join(names), " or ".join(_quantity(quantity) for quantity in aspect.quantities), ", ".join(values)


def _quantity(quantity: Quantity) -> str:
    return f"{quantity.label} ({quantity.kind}), {'less' if quantity.falling else 'more'} is worse"


def _variables(source: Source, _argument: str) -> str:
    """The variables of the page's roles."""
    procedure = source.procedure()
    if procedure is None:
        raise LookupError("this page has no procedure, and so no roles")
    return "\n\n".join(f"### {role}\n\n" + _role_variables(source.root, role) for role in procedure.roles)


def _role_variables(root: Path, role: str) -> str:
    options: dict[str, Mapping[str, Any]] = {}
    for spec in _load(root / "roles" / role / "meta/argument_specs.yml")["argument_specs"].values():
        options |= spec.get("options", {})
    if not options:
        return "No variables."
    defaults_file = root / "roles" / role / "defaults/main.yml"
    defaults = _load(defaults_file) if defaults_file.exists() else {}
    table = rows(
        ("Variable", "Type", "Default", "Meaning"),
        (
            (f"`{name}`", _type(option), _default(option, defaults.get(name)), _description(option))
            for name, option in options.items()
        ),
    )
    large = {name: defaults[name] for name, option in options.items() if "default" not in option and defaults.get(name)}
    return "\n\n".join([table, *(_example(name, value) for name, value in large.items())])


def _load(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise LookupError(f"there is no {path}")
    data: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    return data


def _example(name: str, value: object) -> str:
    """A default that is too large for a table's cell."""
    lines = [f"{name}:"]
    if isinstance(value, dict):
        lines += [f"  {key}: {_inline(item)}" for key, item in value.items()]
    else:
        lines = [f"{name}: {_inline(value)}"]
    return "```yaml\n" + "\n".join(lines) + "\n```"


def _type(option: Mapping[str, Any]) -> str:
    kind = str(option.get("type", "str"))
    return f"{kind} of {option['elements']}" if "elements" in option else kind


def _default(option: Mapping[str, Any], value: object) -> str:
    if "default" in option:
        return f"`{_inline(option['default'])}`"
    if value:
        return "below"
    return "*required*" if option.get("required") else ""


def _description(option: Mapping[str, Any]) -> str:
    text = option.get("description", "")
    sentences = text if isinstance(text, list) else [text]
    choices = f"One of {', '.join(f'`{choice}`' for choice in option['choices'])}." if "choices" in option else ""
    return re.sub(r"\b[CVO]\(([^)]*)\)", r"`\1`", " ".join([*sentences, choices]).strip())


def _inline(value: object) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False).removesuffix("...\n").strip()


def _readable(value: object) -> str:
    """A length of time in words, a list in one line, anything else as it is."""
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    try:
        return str(Duration.parse(value))
    except ValueError:
        return str(value)


def _after(text: str) -> str:
    return "at once" if Duration.parse(text).number == 0 else _readable(text)


#: Objective → its keys and their headings; the first is the name itself.
OBJECTIVE_COLUMNS: Mapping[str, Mapping[str, str]] = {
    "severities": {
        "": "Severity",
        "meaning": "Means",
        "response": "Answered within",
        "update_every": "Update every",
        "resolve_within": "Resolved within",
    },
    "tiers": {"": "Tier", "holds": "Holds", "rto": "Back within (RTO)", "rpo": "Loses at most (RPO)"},
    "backups": {"": "What", "every": "Every", "keep": "Kept for", "restore_test": "Restore tested every"},
    "retention": {"": "Record", "keep": "Kept for", "because": "Because"},
}

TABLES: Mapping[str, Callable[[Source, str], str]] = {
    "built": _built,
    "check": _check,
    "common-options": _common_options,
    "controls": _controls,
    "escalation": _escalation,
    "list": _list,
    "objective": _objective,
    "planned": _planned,
    "schedule": _schedule,
    "settings": _settings,
    "variables": _variables,
}
