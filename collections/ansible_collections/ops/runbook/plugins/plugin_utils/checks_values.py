# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The values of check options: each type of option checks what the operator wrote and makes it what the probe needs."""

from __future__ import annotations

import datetime
import re
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.ops.runbook.plugins.plugin_utils.checks import Option
from ansible_collections.ops.runbook.plugins.plugin_utils.checks_units import SAMPLES, AmountError, parse_kind

EXPECTED = {
    "flag": "true",
    "str": "a text",
    "text": "a text",
    "path": "an absolute path",
    "int": "a whole number",
    "bool": "true or false",
    "duration": SAMPLES["duration"],
    "bytes": SAMPLES["bytes"],
    "time": "an ISO 8601 time",
    "regex": "a regular expression",
    "regexes": "a list of regular expressions",
    "endpoint": "host:port",
    "url": "an http:// or https:// URL",
    "strings": "a list of texts",
    "integers": "a list of whole numbers",
    "map": "a mapping of texts",
}


class OptionValueError(ValueError):
    """The value does not suit the option; the text says what would."""


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise OptionValueError
    return str(value)


def _str(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise OptionValueError
    return str(value)


def _path(value: Any) -> str:
    if not _text(value).startswith("/"):
        raise OptionValueError
    return str(value)


def _int(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise OptionValueError
    if not re.fullmatch(r"\s*-?\d+\s*", str(value)):
        raise OptionValueError
    return int(value)


def _bool(value: Any) -> bool:
    known = {"true": True, "yes": True, "false": False, "no": False}
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in known:
        return known[value.lower()]
    raise OptionValueError


def _duration(value: Any) -> float:
    seconds = parse_kind(value, "duration")
    if seconds <= 0:
        raise OptionValueError
    return seconds


def _bytes(value: Any) -> int:
    number = parse_kind(value, "bytes")
    if number < 0:
        raise OptionValueError
    return int(number)


def _time(value: Any) -> float:
    """Seconds back from now to the time."""
    try:
        moment = value if isinstance(value, datetime.datetime) else datetime.datetime.fromisoformat(_text(value))
    except ValueError as error:
        raise OptionValueError from error
    if moment.tzinfo is None:
        moment = moment.astimezone()
    back = (datetime.datetime.now(datetime.UTC) - moment).total_seconds()
    if back <= 0:
        raise OptionValueError("lies in the future")
    return back


def _regex(value: Any) -> str:
    try:
        re.compile(_text(value))
    except re.error as error:
        raise OptionValueError(f"is no regular expression: {error}") from error
    return str(value)


def _endpoint(value: Any) -> str:
    if not re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+):\d{1,5}", _text(value)):
        raise OptionValueError
    return str(value)


def _url(value: Any) -> str:
    try:
        parts = urllib.parse.urlsplit(_text(value))
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        raise OptionValueError from error
    if not usable:
        raise OptionValueError
    return str(value)


def _list_of(member: Callable[[Any], Any]) -> Callable[[Any], list[Any]]:
    def convert(value: Any) -> list[Any]:
        if isinstance(value, Mapping):
            raise OptionValueError
        items = list(value) if isinstance(value, (list, tuple)) else [value]
        return [member(item) for item in items]

    return convert


def _map(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise OptionValueError
    return {str(key): _str(item) for key, item in value.items()}


_CONVERTERS: Mapping[str, Callable[[Any], Any]] = {
    "str": _str,
    "text": _text,
    "path": _path,
    "int": _int,
    "bool": _bool,
    "duration": _duration,
    "bytes": _bytes,
    "time": _time,
    "regex": _regex,
    "regexes": _list_of(_regex),
    "endpoint": _endpoint,
    "url": _url,
    "strings": _list_of(_text),
    "integers": _list_of(_int),
    "map": _map,
}


def convert(option: Option, value: Any) -> Any:
    """The value as the probe needs it.

    Raises OptionValueError for a value that does not suit the option.
    """
    kinds = option.type.split("|")
    if value is True and "flag" in kinds:
        return True if option.default in (True, None) else convert(option, option.default)
    reason = ""
    for kind in kinds:
        if kind == "flag":
            continue
        try:
            converted = _CONVERTERS[kind](value)
        except (OptionValueError, AmountError) as error:
            reason = str(error) if isinstance(error, OptionValueError) else reason
            continue
        _check_choices(option, converted)
        return converted
    expected = " or ".join(EXPECTED[kind] for kind in kinds)
    raise OptionValueError(f"is {value!r}, which {reason}" if reason else f"is {value!r}, not {expected}")


def _check_choices(option: Option, value: Any) -> None:
    for item in value if isinstance(value, list) else [value]:
        if option.choices and item not in option.choices:
            known = ", ".join(str(choice) for choice in option.choices)
            raise OptionValueError(f"is {item!r}, not one of {known}")
