# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Amounts as operators write them: ``80%``, ``250ms``, ``10MiB``, ``30d``, ``5``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ansible_collections.ops.runbook.plugins.module_utils.probe import size, span

UNITS: dict[str, dict[str, float]] = {
    "percent": {"%": 1},
    "duration": {"ms": 0.001, "s": 1, "min": 60, "m": 60, "h": 3600, "d": 86400, "w": 604800},
    "bytes": {
        "B": 1,
        "kB": 10**3,
        "MB": 10**6,
        "GB": 10**9,
        "TB": 10**12,
        "KiB": 2**10,
        "MiB": 2**20,
        "GiB": 2**30,
        "TiB": 2**40,
    },
    "count": {},
}
SAMPLES = {
    "percent": "a percentage such as 80%",
    "duration": "a duration such as 250ms, 10s, 5min, 24h or 30d",
    "bytes": "a size such as 512MiB or 10GB",
    "count": "a number such as 5",
}
_AMOUNT = re.compile(r"\s*(-?\d+(?:\.\d+)?)\s*([A-Za-z%]*)\s*")


class AmountError(ValueError):
    """The text is not an amount of the kinds that are possible here."""


@dataclass(frozen=True)
class Amount:
    """A number of a kind; ``kind`` is empty for a plain number."""

    number: float
    kind: str = ""


def parse_amount(value: object) -> Amount:
    """The amount that the value denotes, in seconds, bytes or percent.

    Raises AmountError for anything else.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise AmountError(f"{value!r} is not an amount")
    if not isinstance(value, str):
        return Amount(float(value))
    match = _AMOUNT.fullmatch(value)
    if not match:
        raise AmountError(f"{value!r} is not an amount")
    number, unit = float(match[1]), match[2]
    if not unit:
        return Amount(number)
    for kind, units in UNITS.items():
        if unit in units:
            return Amount(number * units[unit], kind)
    known = ", ".join(name for units in UNITS.values() for name in units)
    raise AmountError(f"{value!r} has the unknown unit {unit!r} (known are {known})")


def parse_kind(value: object, kind: str, plain: float = 1.0) -> float:
    """The value as a number of this kind; ``plain`` is what 1 without a unit means.

    Raises AmountError for another kind.
    """
    amount = parse_amount(value)
    if not amount.kind:
        return amount.number * plain
    if amount.kind != kind:
        raise AmountError(f"{value!r} is not {SAMPLES[kind]}")
    return amount.number


def format_amount(number: float, kind: str) -> str:
    """The number for people, in the largest unit that suits it."""
    if kind == "percent":
        return f"{number:g} %"
    if kind == "bytes":
        return size(number)
    return span(number) if kind == "duration" else f"{number:g}"
