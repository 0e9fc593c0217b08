# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of ops.runbook.configuration_plan; the module of the same name documents it."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase, VariableLayer
from ansible_collections.ops.runbook.plugins.plugin_utils.change_lock import PATH as LOCK
from ansible_collections.ops.runbook.plugins.plugin_utils.change_run import Holder
from ansible_collections.ops.runbook.plugins.plugin_utils.checks_layers import Layers
from ansible_collections.ops.runbook.plugins.plugin_utils.checks_resolve import suggest
from ansible_collections.ops.runbook.plugins.plugin_utils.configuration_batches import batches
from ansible_collections.ops.runbook.plugins.plugin_utils.configuration_program import STORE, answer, program
from ansible_collections.ops.runbook.plugins.plugin_utils.configuration_render import HostConfiguration
from ansible_collections.ops.runbook.plugins.plugin_utils.configuration_resolve import VARIABLES
from ansible_collections.ops.runbook.plugins.plugin_utils.fan_out import FanOut, Reply

PLAN = "__configuration_changes_plan"
#: What the names of these procedures begin with.
PROCEDURE = "maintenance/configuration_changes"
MODES = ("apply", "restore", "drift")
#: How many errors one message lists, and how many hosts one error names.
MOST_ERRORS = 10
#: Validators of all candidates of a host run within this time, in seconds.
TIMEOUT = 300.0


@dataclass
class Inspected:
    """One host: what it has to be like, and what it said."""

    job: dict[str, Any] = field(default_factory=dict)
    said: dict[str, Any] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    unreachable: str = ""


class ActionModule(ActionBase):  # type: ignore[misc]
    """Renders every host's configuration, and asks all hosts at once what differs and what is wrong."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Inspect the hosts, and refuse the run if anything is wrong with any of them."""
        super().run(tmp, task_vars)
        _unused, arguments = self.validate_argument_spec(
            argument_spec={
                "mode": {"type": "str", "choices": list(MODES), "default": "apply"},
                "version": {"type": "str", "default": ""},
                "canaries": {"type": "list", "elements": "str", "default": []},
                "batches": {"type": "list", "elements": "str", "default": ["1", "50%"]},
                "keep_versions": {"type": "int", "default": 50},
                "start_unhealthy": {"type": "bool", "default": False},
            }
        )
        variables = task_vars or {}
        names = list(variables["ansible_play_hosts_all"])
        known = list(self._task.get_variable_manager()._inventory.hosts)
        errors = [*_wrong_options(arguments), *wrong_canaries(arguments["canaries"], names, known, arguments["mode"])]
        hosts = {name: Inspected() for name in names}
        self._jobs(hosts, arguments, variables)
        errors += _by_hosts(hosts)
        if errors:
            return _refusal(errors, "no host was touched")
        self._inspect(hosts, variables)
        if arguments["mode"] != "drift":
            errors = _restore_errors(hosts, arguments["version"]) if arguments["mode"] == "restore" else []
            errors = errors or _by_hosts(hosts)
            if errors:
                return _refusal(errors, "no host was changed")
        return self._publish(hosts, arguments, variables["hostvars"])

    def _jobs(self, hosts: Mapping[str, Inspected], arguments: Mapping[str, Any], variables: Mapping[str, Any]) -> None:
        run = os.environ.get("RUNBOOK_RUN_ID") or uuid.uuid4().hex
        now = datetime.now(UTC)
        common = {
            "store": STORE,
            "lock": LOCK,
            "run": run,
            "id": f"{now:%Y%m%dT%H%M%SZ}-{run[:8]}",
            "time": now.isoformat(timespec="seconds"),
            "ticket": str(self._templar.template(variables.get("runbook_ticket", ""))),
            "keep": arguments["keep_versions"],
        }
        layers = Layers(self._task, VARIABLES)
        folders = list(_inventory_folders(layers))
        for name, host in hosts.items():
            host.job = dict(common)
            if arguments["mode"] == "restore":
                host.job["restore"] = arguments["version"] or "previous"
                continue
            configuration = HostConfiguration(
                name, layers, list(hosts), templar=self._templar, loader=self._loader, folders=folders
            )
            configuration.resolve()
            host.job["entries"] = configuration.entries
            host.errors += configuration.errors

    def _inspect(self, hosts: Mapping[str, Inspected], variables: Mapping[str, Any]) -> None:
        """One round trip for all hosts at once."""
        work = {name: program({**host.job, "operation": "inspect"}) for name, host in hosts.items()}
        for name, reply in FanOut(self, variables).run_python(work, TIMEOUT).items():
            host = hosts[name]
            said = answer(reply.stdout) if not reply.error else None
            if said is None:
                host.unreachable = _no_answer(reply)
                host.errors.append(f"the host cannot be inspected: {host.unreachable}")
            else:
                host.said = said
                host.errors += [f"{error['variable']} {error['text']}" for error in said.get("errors", [])]

    def _publish(self, hosts: Mapping[str, Inspected], arguments: Mapping[str, Any], hostvars: Any) -> dict[str, Any]:
        queue = [name for name, host in hosts.items() if host.said.get("changed") or host.said.get("unfinished")]
        queue.sort(key=lambda name: name not in arguments["canaries"])
        drained = {name: hostvars[name] for name in queue if hosts[name].said["restart"]}
        proxies = [proxy for own in drained.values() for proxy in _proxies(own)]
        upstreams = {
            name: [f"{p} {own.get('traffic_upstream', '')}" for p in _proxies(own)] for name, own in drained.items()
        }
        order = batches(queue, arguments["batches"], upstreams)
        # Not part of the result: candidates may hold secrets, and results are shown and recorded.
        plan: dict[str, dict[str, Any]] = {
            name: {"job": host.job, "said": host.said, "errors": host.errors, "unreachable": host.unreachable}
            for name, host in hosts.items()
        }
        for name, host in hosts.items():
            # What an interrupted change or a bad version has made sick is healed by going on, or back.
            healing = arguments["start_unhealthy"] or arguments["mode"] == "restore" or host.said.get("unfinished")
            plan[name]["gated"] = not healing
            plan[name]["restarts"] = bool(host.said.get("restart"))
            plan[name]["drained"] = bool(host.said.get("restart") or host.said.get("unfinished"))
        made = {
            PLAN: plan,
            "configuration_changes_queue": [name for batch in order for name in batch],
            "configuration_changes_serial": [len(batch) for batch in order],
            "configuration_changes_touched": list(dict.fromkeys([*queue, *proxies, *_abandoned(hosts)])),
        }
        self.register_host_variables(made, VariableLayer.REGISTER_VARS)
        count = sum(len(_changing(host)) for host in hosts.values())
        return {"changed": False, "msg": f"{count} changes on {len(queue)} of {len(hosts)} hosts", "hosts": queue}


def _abandoned(hosts: Mapping[str, Inspected]) -> list[str]:
    """Hosts that a run of these procedures held when it died: whoever comes next frees them, changed or not."""
    locks = {name: host.said["lock"] for name, host in hosts.items() if host.said.get("lock", {}).get("run_id")}
    holders = {name: Holder.from_lock(lock) for name, lock in locks.items()}
    return [name for name, held in holders.items() if held.procedure.startswith(PROCEDURE) and held.is_gone]


def _proxies(variables: Any) -> list[str]:
    """Hosts that are changed too, where this one is taken out of service for a restart."""
    return list(variables["traffic_proxies"]) if "traffic_proxies" in variables else []


def _changing(host: Inspected) -> list[dict[str, Any]]:
    return [row for row in host.said.get("rows", []) if row["differs"]]


def _wrong_options(arguments: Mapping[str, Any]) -> list[str]:
    errors = []
    if arguments["keep_versions"] < 1:
        errors.append(f"configuration_changes_keep_versions is {arguments['keep_versions']}; it has to be 1 or more")
    for size in arguments["batches"]:
        if not re.fullmatch(r"[1-9]\d*|[1-9]\d?%|100%", size):
            form = "it has to be a number of hosts from 1 on, or a percentage such as 50%"
            errors.append(f"configuration_changes_batches has {size!r}; {form}")
    if not arguments["batches"]:
        errors.append("configuration_changes_batches is empty; give the sizes of the batches, such as [1, 50%]")
    return errors


def wrong_canaries(canaries: list[str], names: list[str], known: list[str], mode: str) -> list[str]:
    """Canaries that nobody knows, or that are all elsewhere; some may be: the inventory names those of every tier."""
    unknown = [name for name in canaries if name not in known]
    if unknown:
        return [
            f"configuration_changes_canaries names {name!r}, which is no host of the inventory{suggest(name, known)}"
            for name in unknown
        ]
    if canaries and mode == "apply" and not set(canaries) & set(names):
        of_run = ", ".join(names[:MOST_ERRORS])
        return [
            f"configuration_changes_canaries names {', '.join(canaries)}, none of them a host of this run: {of_run}"
        ]
    return []


def _inventory_folders(layers: Layers) -> Iterator[Path]:
    """Where templates and files are: in each inventory's group_vars, the last one first, because it has the last word.

    Anywhere else in its folder, Ansible would read them as inventories.
    """
    for source in reversed(layers.sources()):
        path = Path(source)
        folder = (path if path.is_dir() else path.parent) / "group_vars"
        if folder.is_dir():
            yield folder.resolve()


def _no_answer(reply: Reply) -> str:
    said = reply.error or reply.stderr.strip() or reply.stdout.strip() or "no message"
    return f"{said[-500:]}" + ("" if reply.error else f" (exit status {reply.rc})")


def _by_hosts(hosts: Mapping[str, Inspected]) -> list[str]:
    """The errors, each once, with the hosts that have it."""
    found: dict[str, list[str]] = {}
    for name, host in hosts.items():
        for error in host.errors:
            found.setdefault(error, []).append(name)
    return [f"on {', '.join(names[:MOST_ERRORS])}: {error}" for error, names in found.items()]


def _restore_errors(hosts: Mapping[str, Inspected], version: str) -> list[str]:
    """A version that nobody has recorded, or none."""
    known = {item["id"] for host in hosts.values() for item in host.said.get("versions", [])}
    lines = [line for name, host in hosts.items() for line in _listed(name, host)]
    listed = "\nRecorded versions:\n" + "\n".join(lines or ["none"])
    if not version:
        return [f"configuration_changes_version is empty; give an id, previous or origin{listed}"]
    if version not in ("previous", "origin") and version not in known:
        return [f"configuration_changes_version is {version!r}, which no host of this run has recorded{listed}"]
    return [f"{error} name the version{listed}" for error in _unclear(hosts)] if version == "previous" else []


def _unclear(hosts: Mapping[str, Inspected]) -> Iterator[str]:
    """Why it is not clear what state `previous` means: each host has its own last change."""
    last: dict[str, list[str]] = {}
    for name, host in hosts.items():
        if host.said.get("last_change"):
            last.setdefault(host.said["last_change"], []).append(name)
    if len(last) > 1:
        said = "; ".join(f"{version} on {', '.join(names[:MOST_ERRORS])}" for version, names in last.items())
        yield (
            "configuration_changes_version is 'previous', the state before the last change, and the last change of"
            f" these hosts is not the same one: {said}. --limit the run to hosts of one change, or"
        )
    for name, host in hosts.items():
        rows = [] if host.said.get("unfinished") else host.said.get("rows", [])
        subjects = [row["subject"] for row in rows if row["altered"]]
        if subjects:
            yield (
                f"configuration_changes_version is 'previous', but {', '.join(subjects[:MOST_ERRORS])} on {name} is"
                " not what the last version left: somebody has changed it since, and would lose that. To do it all the"
                " same,"
            )


def _listed(name: str, host: Inspected) -> Iterator[str]:
    for item in host.said.get("versions", [])[-MOST_ERRORS:]:
        yield f"    {item['id']}  {name}  {item['state']}  {', '.join(item['subjects'])}"


def _refusal(errors: list[str], so_far: str) -> dict[str, Any]:
    lines = errors[:MOST_ERRORS]
    if len(errors) > MOST_ERRORS:
        lines.append(f"and {len(errors) - MOST_ERRORS} more")
    message = f"The configuration cannot be changed; {so_far}. Correct what is named here:\n"
    text = message + "\n".join(f"- {line}" for line in lines)
    return {"failed": True, "refused": True, "changed": False, "msg": text}
