# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Looks at the packages, databases and services of many hosts at once, and changes nothing there."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.ops.runbook.plugins.module_utils import packages
from ansible_collections.ops.runbook.plugins.plugin_utils.fan_out import FanOut
from ansible_collections.ops.runbook.plugins.plugin_utils.updates_plan import Host

#: Prefix of the answer, among whatever else a log-in prints.
MARK = "@ops.runbook.updates "
_SOURCES = ("packages", "database_state", "stale")
_MAIN = f"""
def main(request):
    answer = {{"databases": databases(), "stale": stale_units(), "reboot": os.path.exists("/run/reboot-required")}}
    try:
        answer["interrupted"] = os.path.exists(STORE + "/transaction.json")
        answer.update(packages_of(request, answer["interrupted"]))
    except PackageError as error:
        answer["error"] = str(error)
    print({MARK!r} + json.dumps(answer))
"""


def program(request: Mapping[str, Any]) -> bytes:
    """The program for one host's request: scope, origins, only, exclude, timeout."""
    folder = Path(packages.__file__).parent
    sources = [(folder / f"{name}.py").read_text(encoding="utf-8") for name in _SOURCES]
    joined = [re.sub(r"^from __future__ .*\n", "", source, flags=re.MULTILINE) for source in sources]
    call = f"main(json.loads({json.dumps(dict(request))!r}))"
    return "\n".join(["from __future__ import annotations", *joined, _MAIN, call, ""]).encode()


def answer(text: str) -> dict[str, Any] | None:
    """The program's answer in what a host printed; None where there is none."""
    for line in text.splitlines():
        if line.startswith(MARK):
            found: dict[str, Any] = json.loads(line[len(MARK) :])
            return found
    return None


def inspected(
    action: Any, variables: Mapping[str, Any], options: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """What each host answers; the key `error` says why it does not."""
    requests = {
        name: {
            **{key: values[f"security_updates_{key}"] for key in ("scope", "origins", "only", "exclude")},
            "timeout": values["security_updates_refresh_timeout"],
        }
        for name, values in options.items()
    }
    timeout = max((request["timeout"] for request in requests.values()), default=0) + 60.0
    programs = {name: program(request) for name, request in requests.items()}
    replies = FanOut(action, variables).run_python(programs, timeout)
    found = {}
    for name, reply in replies.items():
        said = (reply.stderr.strip() or reply.stdout.strip())[-600:]
        found[name] = answer(reply.stdout) or {
            "error": f"the host cannot be reached: {reply.error}"
            if reply.error
            else f"the inspection ended with {reply.rc}: {said}"
        }
    return found


def host_of(name: str, found: Mapping[str, Any], options: Mapping[str, Any]) -> Host:
    """A host from its answer."""
    keys = ("updates", "kept", "databases", "interrupted", "stale", "reboot")
    return Host(name, options["security_updates_tier"], **{key: found[key] for key in keys if key in found})
