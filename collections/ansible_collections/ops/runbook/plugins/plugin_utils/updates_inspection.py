# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Looks at the packages, databases and services of many hosts at once, and changes nothing there."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.ops.runbook.plugins.plugin_utils.change_lock import PATH
from ansible_collections.ops.runbook.plugins.plugin_utils.fan_out import FanOut, Reply
from ansible_collections.ops.runbook.plugins.plugin_utils.joined import part
from ansible_collections.ops.runbook.plugins.plugin_utils.marked import answer_behind
from ansible_collections.ops.runbook.plugins.plugin_utils.updates_plan import Host

#: Prefix of the answer, among whatever else a log-in prints.
MARK = "@ops.runbook.updates "
_SOURCES = ("apt_archives", "packages", "database_state")
_MAIN = f"""
def main(request):
    answer = {{"databases": databases(), "reboot": os.path.exists("/run/reboot-required")}}
    answer["locked"] = os.path.exists({PATH!r})
    try:
        answer["interrupted"] = os.path.exists(STORE + "/transaction.json")
        answer.update(packages_of(request, answer["interrupted"]) if request["refresh"] else listing_of(request))
    except PackageError as error:
        answer["error"] = str(error)
    print({MARK!r} + json.dumps(answer))
"""


def program(request: Mapping[str, Any]) -> bytes:
    """The program for one host's request: scope, origins, only, exclude, timeout, refresh, versions."""
    joined = [part(name) for name in _SOURCES]
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

    All say what they have and which lists. Of the hosts that get the same lists from the same archives only one asks
    these, and looks whether the lists name something newer for any of them: that is most of the work. Where they do, or
    are not the newest any more, apt on the host itself has to say.
    """
    look = _Look(action, variables, options)
    quick = look.at(dict.fromkeys(options), refresh=False)
    alike: dict[str, list[str]] = {}
    for name, found in quick.items():
        if found.get("plain") and not found["interrupted"]:
            alike.setdefault(found["sources"], []).append(name)
    others = {names[0]: names[1:] for names in alike.values()}
    versions = {name: _versions(quick[one] for one in (name, *names)) for name, names in others.items()}
    behind = {name for names in others.values() for name in names}
    first = [name for name in options if name not in behind and "error" not in quick[name]]
    full = look.at({name: versions.get(name) for name in first}, refresh=True)
    again = [name for asked, names in others.items() for name in names if _has_older(quick[name], full[asked])]
    full.update(look.at(dict.fromkeys(again), refresh=True))
    return {**quick, **full}


def _versions(found: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Package → every version that one of the hosts has."""
    every: dict[str, set[str]] = {}
    for host in found:
        for package, version in host["versions"].items():
            every.setdefault(package, set()).add(version)
    return {package: sorted(versions) for package, versions in every.items()}


def _has_older(host: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    """Whether the host that asked the archives knows something newer for this one, or does not know."""
    older = asked.get("older")
    return older is None or any([package, version] in older for package, version in host["versions"].items())


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

    def at(
        self, versions: Mapping[str, Mapping[str, Sequence[str]] | None], *, refresh: bool
    ) -> dict[str, dict[str, Any]]:
        """The answers of some of them, each asked about these versions of packages too."""
        requests = {name: {**self._requests[name], "refresh": refresh, "versions": of} for name, of in versions.items()}
        timeout = max((request["timeout"] for request in requests.values()), default=0) + 60.0
        replies = self._fan_out.run_python({name: program(request) for name, request in requests.items()}, timeout)
        return {name: answer(reply.stdout) or {"error": _failure(reply)} for name, reply in replies.items()}


def _failure(reply: Reply) -> str:
    if reply.error:
        return f"the host cannot be reached: {reply.error}"
    return f"the inspection ended with {reply.rc}: {(reply.stderr.strip() or reply.stdout.strip())[-600:]}"


def host_of(name: str, found: Mapping[str, Any], options: Mapping[str, Any]) -> Host:
    """A host from its answer."""
    keys = ("updates", "kept", "databases", "interrupted", "locked", "reboot")
    told = {key: found[key] for key in keys if key in found}
    return Host(name, options["security_updates_tier"], proxies=options.get("traffic_proxies") or (), **told)
