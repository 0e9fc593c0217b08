# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From what the inventory says to the entries of one host: contributions are merged, then every value is checked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.ops.runbook.plugins.plugin_utils.checks_resolve import merge, suggest

FILES, SYSCTL, SERVICES = "managed_files", "managed_sysctl", "managed_services"
VARIABLES = (FILES, SYSCTL, SERVICES)
#: Where kernel settings are kept for the next boot. Its name comes after those of packages.
SYSCTL_FILE = "/etc/sysctl.d/99-zz-managed.conf"
HEADER = "# Managed: changes made here are drift. The inventory says what stands here.\n"

VALIDATORS = ("nginx", "postgresql", "sshd", "sudoers")
_CONTENT = ("template", "content", "source", "absent")
_FILE_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "path": str,
    "template": str,
    "content": str,
    "source": str,
    "absent": bool,
    "owner": str,
    "group": str,
    "mode": str,
    "validate": (str, list, Mapping),
    "reload": (str, list),
    "restart": (str, list),
    "restart_if_pending": bool,
    "secret": bool,
}
_SERVICE_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "enabled": bool,
    "running": bool,
    "drop_ins": Mapping,
    "on_change": str,
}
_COMMAND_TYPES: Mapping[str, type | tuple[type, ...]] = {"command": list, "user": str, "timeout": int}
ON_CHANGE = ("nothing", "reload", "restart")
_UNIT = re.compile(r"[\w@:.\\-]+\.(service|socket|timer|path|mount|target|slice)$")
_NAMES = {str: "text", bool: "true or false", int: "a whole number", list: "a list", Mapping: "a mapping"}


class WrongEntryError(Exception):
    """What is wrong with an entry; the text continues its name."""


@dataclass
class Merged:
    """One entry as its contributions make it."""

    spec: dict[str, Any] = field(default_factory=dict)
    enabled: bool = True
    origins: list[str] = field(default_factory=list)

    def describe(self, variable: str, name: str) -> str:
        """The entry and where it comes from, for messages."""
        return f"{variable}[{name!r}] (set by {', '.join(dict.fromkeys(self.origins))})"


def merge_entries(variable: str, layers: Iterable[tuple[str, Any]]) -> tuple[dict[str, Merged], list[str]]:
    """The entries that the layers give together, lowest layer first, and what is wrong with the layers' form."""
    entries: dict[str, Merged] = {}
    errors = []
    for origin, layer in layers:
        if not isinstance(layer, Mapping):
            if layer is not None:
                errors.append(f"{variable} of {origin} is {layer!r}, not a mapping of names")
            continue
        for name, value in layer.items():
            entry = entries.setdefault(str(name), Merged())
            entry.origins.append(origin)
            entry.enabled = value is not False and value is not None
            if not entry.enabled:
                continue
            if isinstance(value, Mapping):
                entry.spec = merge(entry.spec, value)
            elif variable == SYSCTL:
                entry.spec = {"value": value}
            else:
                errors.append(
                    f"{entry.describe(variable, str(name))} is {value!r}, neither a mapping of options nor false"
                )
                entry.enabled = False
    return entries, errors


def _kind(expected: type | tuple[type, ...]) -> str:
    kinds = expected if isinstance(expected, tuple) else (expected,)
    return " or ".join(_NAMES[kind] for kind in kinds)


def _check_types(spec: Mapping[str, Any], types: Mapping[str, type | tuple[type, ...]], where: str = "") -> None:
    for key, value in spec.items():
        if key not in types:
            hint = suggest(key, types)
            raise WrongEntryError(f"has the unknown option {where}{key!r}{hint}; options are {', '.join(types)}")
        if not isinstance(value, types[key]) or (types[key] is int and isinstance(value, bool)):
            hint = "; write it in quotes" if types[key] is str and isinstance(value, (int, float)) else ""
            raise WrongEntryError(f"has {where}{key}: {value!r}, which is not {_kind(types[key])}{hint}")


def unit_name(variable: str, name: Any) -> str:
    """The unit's whole name."""
    text = str(name)
    full = text if re.search(r"\.(service|socket|timer|path|mount|target|slice)$", text) else f"{text}.service"
    if not isinstance(name, str) or not _UNIT.match(full):
        raise WrongEntryError(f"has {variable} {name!r}, which is no name of a unit")
    return full


def _units(spec: Mapping[str, Any], key: str) -> list[str]:
    given = spec.get(key, [])
    return [unit_name(key, name) for name in ([given] if isinstance(given, str) else given)]


def _validators(given: Any) -> Iterator[dict[str, Any]]:
    for item in given if isinstance(given, list) else [given]:
        if isinstance(item, str):
            if item not in VALIDATORS:
                known = f"known are {', '.join(VALIDATORS)}, or a mapping with command"
                raise WrongEntryError(f"has validate {item!r}{suggest(item, VALIDATORS)}; {known}")
            yield {"type": item}
        elif isinstance(item, Mapping):
            _check_types(item, _COMMAND_TYPES, "validate.")
            words = item.get("command") or []
            if not words or not all(isinstance(word, str) for word in words):
                raise WrongEntryError("has validate without command, a list of words; {candidate} in it is the file")
            yield {"type": "command", **item}
        else:
            raise WrongEntryError(f"has validate {item!r}, neither a name nor a mapping with command")


def resolve_file(name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """The entry of a file; its content is still to be rendered.

    Raises WrongEntryError for anything that does not make sense.
    """
    _check_types(spec, _FILE_TYPES)
    path = spec.get("path", "")
    if not path:
        raise WrongEntryError("lacks path")
    if not path.startswith("/") or "/../" in f"{path}/" or path.endswith("/"):
        raise WrongEntryError(f"has the path {path!r}; it has to be the absolute path of a file")
    given = [key for key in _CONTENT if spec.get(key) not in (None, False)]
    if len(given) != 1:
        found = f"has {' and '.join(given)}" if given else "has none"
        raise WrongEntryError(f"{found} of template, content, source and absent; a file has exactly one")
    mode = spec.get("mode", "0644")
    if not re.fullmatch(r"0?[0-7]{3}|[0-7]{4}", mode):
        raise WrongEntryError(
            f"has the mode {mode!r}; it has to be three or four octal digits in quotes, such as '0640'"
        )
    return {
        "kind": "file",
        "name": name,
        "path": path,
        **{key: spec[key] for key in given},
        "mode": f"{int(mode, 8):04o}",
        "owner": spec.get("owner", "root"),
        "group": spec.get("group", "root"),
        "validate": list(_validators(spec["validate"])) if "validate" in spec else [],
        "reload": _units(spec, "reload"),
        "restart": _units(spec, "restart"),
        "restart_pending": spec.get("restart_if_pending", False),
        "secret": spec.get("secret", False),
        "daemon_reload": path.startswith("/etc/systemd/system/"),
    }


def resolve_sysctl(name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """The entry of a kernel setting."""
    _check_types(spec, {"value": (str, int)})
    value = spec.get("value", "")
    if isinstance(value, bool):
        raise WrongEntryError(f"is {value!r}; kernel settings are numbers: write 1 or 0")
    text = " ".join(str(value).split())
    if not text:
        raise WrongEntryError("is empty; it has to be the setting's value")
    if not re.fullmatch(r"[\w-]+([./][\w.:@*-]+)+", name) or ".." in name:
        raise WrongEntryError("is no name of a kernel setting, such as net.core.somaxconn")
    return {"kind": "sysctl", "name": name, "value": text}


def resolve_service(name: str, spec: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The entries of a service: its drop-ins, which are files, and its state."""
    _check_types(spec, _SERVICE_TYPES)
    unit = unit_name("the name", name)
    on_change = spec.get("on_change", "nothing")
    if on_change not in ON_CHANGE:
        raise WrongEntryError(
            f"has on_change {on_change!r}{suggest(on_change, ON_CHANGE)}; it is one of {', '.join(ON_CHANGE)}"
        )
    if not any(key in spec for key in ("enabled", "running", "drop_ins")):
        raise WrongEntryError("says nothing: it has none of enabled, running and drop_ins")
    entries = [_drop_in(unit, key, value, on_change) for key, value in (spec.get("drop_ins") or {}).items()]
    if "enabled" in spec or "running" in spec:
        entries.append(
            {"kind": "service", "name": unit, "enabled": spec.get("enabled"), "running": spec.get("running")}
        )
    return entries


def _drop_in(unit: str, name: Any, sections: Any, on_change: str) -> dict[str, Any]:
    if not re.fullmatch(r"[\w-]+", str(name)):
        raise WrongEntryError(f"has the drop-in {name!r}; its name has letters, digits, - and _ alone")
    entry: dict[str, Any] = {
        "kind": "file",
        "name": f"{unit} {name}",
        "suffix": f".drop_ins[{name!r}]",
        "path": f"/etc/systemd/system/{unit}.d/{name}.conf",
        "mode": "0644",
        "owner": "root",
        "group": "root",
        "validate": [{"type": "systemd", "unit": unit}],
        "reload": [unit] if on_change == "reload" else [],
        "restart": [unit] if on_change == "restart" else [],
        "restart_pending": False,
        "secret": False,
        "daemon_reload": True,
    }
    if sections is False:
        return {**entry, "absent": True}
    if not isinstance(sections, Mapping) or not sections:
        raise WrongEntryError(f"has drop_ins.{name}: {sections!r}, which is not a mapping of sections such as Service")
    lines = []
    for section, settings in sections.items():
        if not isinstance(settings, Mapping) or not settings:
            raise WrongEntryError(f"has drop_ins.{name}.{section}: {settings!r}, which is not a mapping of settings")
        lines.append(f"[{section}]")
        lines += [line for key, value in settings.items() for line in _settings(name, key, value)]
    return {**entry, "content": HEADER + "\n".join(lines) + "\n"}


def _settings(name: Any, key: Any, value: Any) -> Iterator[str]:
    for item in value if isinstance(value, list) else [value]:
        text = {True: "yes", False: "no"}[item] if isinstance(item, bool) else "" if item is None else str(item)
        if "\n" in text or isinstance(item, Mapping):
            raise WrongEntryError(f"has drop_ins.{name}: {key} is {item!r}; a setting is one line")
        yield f"{key}={text}"


def sysctl_file(entries: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The file that sets the kernel settings at the next boot."""
    lines = [f"{entry['name']} = {entry['value']}\n" for entry in sorted(entries, key=lambda entry: str(entry["name"]))]
    spec = {"path": SYSCTL_FILE, "content": HEADER + "".join(lines)}
    return {**resolve_file("kernel settings at boot", spec), "variable": SYSCTL}


def resolve_all(merged: Mapping[str, Mapping[str, Merged]]) -> tuple[list[dict[str, Any]], list[str]]:
    """The entries of all three variables, and what is wrong with the others."""
    entries: list[dict[str, Any]] = []
    errors: list[str] = []
    for variable in VARIABLES:
        for name, item in merged.get(variable, {}).items():
            if not item.enabled:
                continue
            where = item.describe(variable, name)
            try:
                found = _resolve(variable, name, item.spec)
            except WrongEntryError as error:
                errors.append(f"{where} {error}")
                continue
            entries += [{**entry, "variable": where.replace("]", "]" + entry.pop("suffix", ""), 1)} for entry in found]
    settings = [entry for entry in entries if entry["kind"] == "sysctl"]
    if settings:
        entries.append(sysctl_file(settings))
    return entries, [*errors, *_twice(entries)]


def _resolve(variable: str, name: str, spec: Mapping[str, Any]) -> list[dict[str, Any]]:
    if variable == FILES:
        return [resolve_file(name, spec)]
    return [resolve_sysctl(name, spec)] if variable == SYSCTL else resolve_service(name, spec)


def _twice(entries: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Two entries for one file would overwrite each other in every run."""
    seen: dict[str, str] = {}
    for entry in entries:
        path = entry.get("path")
        if path and path in seen:
            yield f"{entry['variable']} has the path {path}, which {seen[path]} has too"
        elif path:
            seen[path] = str(entry["variable"])
