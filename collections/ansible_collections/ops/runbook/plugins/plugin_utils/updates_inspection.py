# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Looks at the packages, databases and services of many hosts at once, and changes nothing there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.ops.runbook.plugins.module_utils import packages
from ansible_collections.ops.runbook.plugins.plugin_utils.fan_out import FanOut, Reply
from ansible_collections.ops.runbook.plugins.plugin_utils.marked import answer_behind
from ansible_collections.ops.runbook.plugins.plugin_utils.updates_plan import Host

#: Prefix of the answer, among whatever else a log-in prints.
MARK = "@ops.runbook.updates "
_SOURCES = ("packages", "database_state", "stale")
_MAIN = f"""
def main(request):
    answer = {{"databases": databases(), "stale": stale_units(), "reboot": os.path.exists("/run/reboot-required")}}
    try:
        answer["interrupted"] = os.path.exists(STORE + "/transaction.json")
        answer.update(packages_of(request, answer["interrupted"]) if request["refresh"] else idle_of(request))
    except PackageError as error:
        answer["error"] = str(error)
    print({MARK!r} + json.dumps(answer))
"""


def program(request: Mapping[str, Any]) -> bytes:
    """The program for one host's request: scope, origins, only, exclude, timeout, refresh."""
    folder = Path(packages.__file__).parent
    sources = [(folder / f"{name}.py").read_text(encoding="utf-8") for name in _SOURCES]
    joined = [re.sub(r"^from __future__ .*\n", "", source, flags=re.MULTILINE) for source in sources]
    call = f"main(json.loads({json.dumps(dict(request))!r}))"
    return "\n".join(["from __future__ import annotations", *joined, _MAIN, call, ""]).encode()


def answer(text: str) -> dict[str, Any] | None:
    """The program's answer in what a host printed; None where there is none."""
    found: dict[str, Any] | None = answer_behind(MARK, text)
    return found


def inspected(
    action: Any, variables: Mapping[str, Any], options: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """What each host answers; the key `error` says why it does not.

    Where a host's own lists have nothing for it, another host that gets the same lists from the same archives can tell
    whether they are the newest: of such hosts only one asks the archives.
    """
    look = _Look(action, variables, options)
    quick = look.at(options, refresh=False)
    idle = {name: found["sources"] for name, found in quick.items() if found.get("idle") and not found["interrupted"]}
    asking = {sources: name for name, sources in idle.items()}
    full = look.at([name for name in options if asking.get(idle.get(name, "")) in (None, name)], refresh=True)
    behind = [name for name, sources in idle.items() if name not in full and full[asking[sources]].get("news", True)]
    return {**quick, **full, **look.at(behind, refresh=True)}


class _Look:
    """The hosts of an action's play, each with its options."""

    def __init__(self, action: Any, variables: Mapping[str, Any], options: Mapping[str, Mapping[str, Any]]) -> None:
        self._fan_out = FanOut(action, variables)
        self._requests = {
            name: {
                **{key: values[f"security_updates_{key}"] for key in ("scope", "origins", "only", "exclude")},
                "timeout": values["security_updates_refresh_timeout"],
            }
            for name, values in options.items()
        }

    def at(self, names: Iterable[str], *, refresh: bool) -> dict[str, dict[str, Any]]:
        """The answers of some of them."""
        requests = {name: {**self._requests[name], "refresh": refresh} for name in names}
        timeout = max((request["timeout"] for request in requests.values()), default=0) + 60.0
        replies = self._fan_out.run_python({name: program(request) for name, request in requests.items()}, timeout)
        return {name: answer(reply.stdout) or {"error": _failure(reply)} for name, reply in replies.items()}


def _failure(reply: Reply) -> str:
    if reply.error:
        return f"the host cannot be reached: {reply.error}"
    return f"the inspection ended with {reply.rc}: {(reply.stderr.strip() or reply.stdout.strip())[-600:]}"


def host_of(name: str, found: Mapping[str, Any], options: Mapping[str, Any]) -> Host:
    """A host from its answer."""
    keys = ("updates", "kept", "databases", "interrupted", "stale", "reboot")
    return Host(name, options["security_updates_tier"], **{key: found[key] for key in keys if key in found})
