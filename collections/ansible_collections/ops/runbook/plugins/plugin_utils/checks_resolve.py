# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From what the inventory says to the checks of one host: contributions are merged, then every value is checked."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.ops.runbook.plugins.plugin_utils.checks import (
    CHECK_TYPES,
    COMMON_OPTIONS,
    REMEDY_PAGE,
    Aspect,
    CheckType,
    Option,
    Quantity,
)
from ansible_collections.ops.runbook.plugins.plugin_utils.checks_units import (
    SAMPLES,
    Amount,
    AmountError,
    format_amount,
    parse_amount,
)
from ansible_collections.ops.runbook.plugins.plugin_utils.checks_values import OptionValueError, convert

LEVELS = ("warning", "critical")


@dataclass
class Merged:
    """One check as its contributions make it."""

    spec: dict[str, Any] = field(default_factory=dict)
    enabled: bool = True
    #: Where it was given or changed: "baseline", "group app", "host db1".
    origins: list[str] = field(default_factory=list)


def suggest(word: object, known: Iterable[str]) -> str:
    """' (did you mean x?)', or nothing."""
    near = difflib.get_close_matches(str(word), list(known), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def merge(lower: Mapping[str, Any], higher: Mapping[str, Any]) -> dict[str, Any]:
    """The lower mapping changed by the higher one; mappings within are merged, everything else is replaced."""
    result = dict(lower)
    for key, value in higher.items():
        old = result.get(key)
        result[key] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result


def merge_layers(layers: Iterable[tuple[str, Mapping[str, Any]]]) -> tuple[dict[str, Merged], list[str]]:
    """The checks that the layers give together, lowest layer first, and what is wrong with the layers' form."""
    checks: dict[str, Merged] = {}
    errors = []
    for origin, layer in layers:
        for name, value in layer.items():
            check = checks.setdefault(str(name), Merged())
            check.origins.append(origin)
            if value is False or value is None:
                check.enabled = False
            elif value is True:
                check.enabled = True
            elif isinstance(value, (str, Mapping)):
                check.enabled = True
                check.spec = merge(check.spec, {value: True} if isinstance(value, str) else value)
            else:
                check.enabled = False
                errors.append(f"{describe(name, check)} is {value!r}, neither a mapping of options nor false")
    return checks, errors


def describe(name: object, check: Merged) -> str:
    """The check and where it comes from, for messages."""
    return f"health_checks[{str(name)!r}] (set by {', '.join(dict.fromkeys(check.origins))})"


def _find_type(spec: Mapping[str, Any]) -> str:
    """The name of the check's type.

    Raises OptionValueError unless there is exactly one.
    """
    found = [key for key in spec if key in CHECK_TYPES]
    if len(found) == 1:
        return str(found[0])
    if found:
        raise OptionValueError(f"has the types {' and '.join(sorted(found))}; a check has one type")
    aspects = {name for kind in CHECK_TYPES.values() for name in (*kind.options, *kind.aspects)}
    strange = [key for key in spec if key not in aspects and key not in COMMON_OPTIONS and key not in LEVELS]
    hint = f"unknown check type {strange[0]!r}{suggest(strange[0], CHECK_TYPES)}" if strange else "no check type"
    raise OptionValueError(f"has {hint}; known types are {', '.join(sorted(CHECK_TYPES))}")


def _quantity(aspect: Aspect, amount: Amount, text: object) -> tuple[Quantity, float]:
    """What the threshold is about, and the threshold in that quantity's own measure."""
    if not amount.kind:
        first = aspect.quantities[0]
        return first, amount.number * first.scale
    for quantity in aspect.quantities:
        if quantity.kind == amount.kind:
            return quantity, amount.number
    raise AmountError(f"{text!r} is of another unit")


def _limits(name: str, aspect: Aspect, given: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The thresholds of one aspect."""
    found: dict[str, tuple[Quantity, float]] = {}
    prefix = f"{name}." if name else ""
    for level in LEVELS:
        value = given.get(level, getattr(aspect, level))
        if value is None or value is False:
            continue
        try:
            quantity, number = _quantity(aspect, parse_amount(value), value)
        except AmountError as error:
            allowed = " or ".join(SAMPLES[quantity.kind] for quantity in aspect.quantities)
            raise OptionValueError(f"has a wrong threshold {prefix}{level}: {error}; it has to be {allowed}") from error
        if number < 0:
            raise OptionValueError(f"has a wrong threshold {prefix}{level}: {value!r} is negative")
        found[level] = (quantity, number)
    _check_order(prefix, found, [level for level in found if level not in given])
    for level, (quantity, number) in found.items():
        yield {
            "level": level,
            "number": number,
            "aspect": name,
            "value": quantity.value,
            "kind": quantity.kind,
            "label": quantity.label,
            "falling": quantity.falling,
        }


def _check_order(prefix: str, found: Mapping[str, tuple[Quantity, float]], defaults: list[str]) -> None:
    if len(found) < len(LEVELS):
        return
    (quantity, warning), (other, critical) = found["warning"], found["critical"]
    if quantity is not other:
        return
    if (warning < critical) if quantity.falling else (warning > critical):
        order = "above" if quantity.falling else "below"
        amounts = [
            format_amount(number, quantity.kind) + (" (the default)" if level in defaults else "")
            for level, number in (("warning", warning), ("critical", critical))
        ]
        raise OptionValueError(
            f"has {prefix}warning {amounts[0]} beyond {prefix}critical {amounts[1]}: "
            f"for {quantity.label}, the warning has to lie {order} the critical threshold"
        )


def _thresholds(kind: CheckType, spec: Mapping[str, Any]) -> list[dict[str, Any]]:
    limits: list[dict[str, Any]] = []
    for name, aspect in kind.aspects.items():
        given = spec if not name else spec.get(name, {})
        if given is False or given is None:
            continue
        if not isinstance(given, Mapping):
            raise OptionValueError(f"has {name}: {given!r}, which is not a mapping of warning and critical")
        if name and (strange := [key for key in given if key not in LEVELS]):
            raise OptionValueError(f"has the unknown option {name}.{strange[0]}; known are warning and critical")
        limits.extend(_limits(name, aspect, given))
    return limits


def _known_options(type_name: str, kind: CheckType) -> list[str]:
    levels = LEVELS if "" in kind.aspects else ()
    return [type_name, *levels, *(name for name in kind.aspects if name), *kind.options, *COMMON_OPTIONS]


def _values(options: Mapping[str, Option], spec: Mapping[str, Any]) -> dict[str, Any]:
    values = {}
    for name, option in options.items():
        given = spec.get(name)
        if given is None:
            given = option.default
        try:
            values[name] = given if given is None else convert(option, given)
        except OptionValueError as error:
            raise OptionValueError(f"has a wrong option: {name} {error}") from error
    return values


def resolve(name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """The check ready to be run and judged, as plain data.

    Raises OptionValueError for anything that does not make sense.
    """
    type_name = _find_type(spec)
    kind = CHECK_TYPES[type_name]
    known = _known_options(type_name, kind)
    for key in spec:
        if key not in known:
            hint = suggest(key, known)
            raise OptionValueError(
                f"has the unknown option {key!r}{hint}; options of {type_name} are {', '.join(known)}"
            )
    try:
        subject = convert(kind.subject, spec[type_name])
    except OptionValueError as error:
        raise OptionValueError(f"has a wrong option: {type_name} {error}") from error
    common = _values(COMMON_OPTIONS, spec)
    return {
        "name": name,
        "type": type_name,
        "options": {"subject": subject, **_values(kind.options, spec)},
        "timeout": common["timeout"],
        "limits": _thresholds(kind, spec),
        "remedy": common["remedy"] or f"{REMEDY_PAGE}#{type_name}",
        "controls": common["controls"],
    }


def resolve_all(checks: Mapping[str, Merged]) -> tuple[list[dict[str, Any]], list[str]]:
    """The checks that are switched on, and what is wrong with the others."""
    resolved, errors = [], []
    for name, check in checks.items():
        if not check.enabled:
            continue
        try:
            resolved.append(resolve(name, check.spec))
        except OptionValueError as error:
            errors.append(f"{describe(name, check)} {error}")
    return resolved, errors
