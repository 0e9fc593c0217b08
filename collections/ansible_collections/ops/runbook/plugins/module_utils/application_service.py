# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The service of an application: start it with another release, and ask it whether it works."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any, Dict, List, Tuple

#: Pause between two attempts, in seconds: short, because it is part of every measured time.
PAUSE = 0.02
#: How often systemd is asked whether the service has died, in seconds: asking takes CPU away from its start.
LOOK = 0.25
#: How much of an answer is read, and how much of it is shown.
MOST = 1024 * 1024
SHOWN = 300
_METHODS = ("get", "post", "put", "delete")
_KEYS = {*_METHODS, "send", "status", "json", "token", "keep"}


class ServiceError(Exception):
    """The service does not start, or does not answer as it should."""


def wrong(requests: List[Any], where: str) -> List[str]:
    """What is wrong about a list of requests, one line each."""
    errors = []
    for number, request in enumerate(requests):
        place = "{0}[{1}]".format(where, number)
        if not isinstance(request, Mapping):
            errors.append("{0} is no mapping".format(place))
            continue
        unknown = sorted(set(request) - _KEYS)
        methods = [method for method in _METHODS if method in request]
        if unknown:
            errors.append("{0} has {1}; it may have {2}".format(place, ", ".join(unknown), ", ".join(sorted(_KEYS))))
        if len(methods) != 1:
            errors.append("{0} has to have one of {1}, with the address".format(place, ", ".join(_METHODS)))
        shapeless = [key for key in ("json", "keep") if not isinstance(request.get(key, {}), Mapping)]
        errors += ["{0}: {1} is no mapping".format(place, key) for key in shapeless]
    return errors


def systemctl(*arguments: str) -> "subprocess.CompletedProcess[bytes]":
    """Ask systemd."""
    # pylint: disable-next=ansible-bad-function
    return subprocess.run(["systemctl", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)


def activate(unit: str, how: str) -> None:
    """Let the service run what C(current) names now."""
    # A release that dies at once uses up the starts that systemd allows: they would be missing for the way back.
    systemctl("reset-failed", unit)
    done = systemctl("reload-or-restart" if how == "reload" else "restart", unit)
    if done.returncode != 0:
        raise ServiceError("{0} does not start:\n{1}".format(unit, last_words(unit)))


def last_words(unit: str) -> str:
    """The end of the unit's journal: why it died."""
    # pylint: disable-next=ansible-bad-function
    done = subprocess.run(
        ["journalctl", "--unit", unit, "--lines=20", "--no-pager", "--output=cat"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    return done.stdout.decode(errors="replace").strip()


def has_died(unit: str) -> bool:
    """Whether the service gave up, or is being started again because it did."""
    done = systemctl("show", unit, "--property=SubState", "--value")
    return done.stdout.decode().strip() in ("failed", "dead", "auto-restart")


def ask(request: Mapping[str, Any], names: Mapping[str, str], token: str, timeout: float) -> Dict[str, str]:
    """Send one request and judge its answer; the values that later requests need."""
    method = next(method for method in _METHODS if method in request)
    address = _filled(request[method], names)
    body = json.dumps(_filled(request["send"], names)).encode() if "send" in request else None
    headers = {"Content-Type": "application/json"} if body is not None else {}
    if request.get("token"):
        headers["Authorization"] = "Bearer {0}".format(token)
    what = "{0} {1}".format(method.upper(), address)
    if not address.startswith(("http://", "https://")):
        raise ServiceError("{0}: the address has to begin with http:// or https://".format(what))
    prepared = urllib.request.Request(address, body, headers, method=method.upper())  # noqa: S310 - checked above
    status, text = _send(prepared, what, timeout)
    expected = int(request.get("status", 200))
    if status != expected:
        raise ServiceError("{0}: {1} instead of {2}: {3}".format(what, status, expected, text[:SHOWN]))
    if "json" not in request and "keep" not in request:
        return {}
    try:
        answer = json.loads(text)
    except ValueError as error:
        raise ServiceError("{0}: the answer is no JSON: {1}".format(what, text[:SHOWN])) from error
    for key, value in _filled(request.get("json", {}), names).items():
        if not isinstance(answer, dict) or answer.get(key) != value:
            raise ServiceError("{0}: {1} is not {2!r} in {3}".format(what, key, value, text[:SHOWN]))
    return {name: str(answer.get(key, "")) for name, key in request.get("keep", {}).items()}


def _send(request: urllib.request.Request, what: str, timeout: float) -> Tuple[int, str]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=timeout) as answer:
            return answer.status, answer.read(MOST).decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read(MOST).decode(errors="replace")
    except (OSError, ValueError) as error:
        raise ServiceError("{0}: {1}".format(what, getattr(error, "reason", error))) from error


def _filled(value: Any, names: Mapping[str, str]) -> Any:
    """The value with C({name}) replaced, at any depth."""
    if isinstance(value, str):
        for name, text in names.items():
            value = value.replace("{" + name + "}", text)
        return value
    if isinstance(value, Mapping):
        return {key: _filled(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, names) for item in value]
    return value


def await_answer(
    unit: str, requests: Sequence[Mapping[str, Any]], names: Mapping[str, str], token: str, timeout: float
) -> Dict[str, str]:
    """Wait until every request is answered as it should be; ServiceError with the last answer where it is not."""
    deadline = time.monotonic() + timeout
    look = time.monotonic() + LOOK
    known = dict(names)
    for request in requests:
        while True:
            left = deadline - time.monotonic()
            try:
                known.update(ask(request, known, token, max(left, 0.1)))
                break
            except ServiceError as error:
                if time.monotonic() > look:
                    look = time.monotonic() + LOOK
                    if has_died(unit):
                        raise ServiceError("{0} has died:\n{1}".format(unit, last_words(unit))) from error
                # What changes something is sent once: the service answers by now, so its answer counts.
                if left <= 0 or "get" not in request:
                    raise
            time.sleep(PAUSE)
    return known
