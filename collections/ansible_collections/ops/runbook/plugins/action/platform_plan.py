# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of ops.runbook.platform_plan; the module of the same name documents it."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase, VariableLayer
from ansible.utils.display import Display
from ansible_collections.ops.runbook.plugins.plugin_utils import (
    platform_plan,
    rebuild_plan,
    recovery_drills,
    role_options,
)
from ansible_collections.ops.runbook.plugins.plugin_utils.catalogue import no_durations
from ansible_collections.ops.runbook.plugins.plugin_utils.fan_out import FanOut, Reply
from ansible_collections.ops.runbook.plugins.plugin_utils.platform_plan import Plan, Wishes
from ansible_collections.ops.runbook.plugins.plugin_utils.rebuild_plan import RefusalError
from ansible_collections.ops.runbook.plugins.plugin_utils.recovery_range import RangeError, moment
from ansible_collections.ops.runbook.plugins.plugin_utils.state import state_dir

TIMEOUT = 100.0
PLAN = "__platform_rebuild_plan"
#: Options of the role host_rebuild that rebuild_plan reads.
OWN = ("port", "peers", "root", "services", "keep", "replace")
ARGUMENTS = {
    "hosts": {"type": "list", "elements": "str", "required": True},
    "databases": {"type": "list", "elements": "str", "default": []},
    "entrances": {"type": "list", "elements": "str", "default": []},
    "primary": {"type": "str", "default": ""},
    "store": {"type": "str", "required": True},
    "stanza": {"type": "str", "required": True},
    "version": {"type": "str", "required": True},
    "cluster": {"type": "str", "default": "main"},
    "port": {"type": "str", "default": "5432"},
    "repositories": {"type": "path", "default": "/var/lib/restic"},
    "passphrases": {"type": "path", "default": "/etc/restic/passphrases"},
    "queries": {"type": "list", "elements": "dict", "default": []},
    "recovery_seconds": {"type": "int", "default": 14400},
    "rpo": {"type": "str", "required": True},
    "lost_at": {"type": "str", "default": ""},
}


class ActionModule(ActionBase):  # type: ignore[misc]
    """Asks all machines and the store at once, and plans or refuses."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Register the plan for all hosts, or refuse the run."""
        super().run(tmp, task_vars)
        _unused, options = self.validate_argument_spec(argument_spec=ARGUMENTS)
        variables = task_vars or {}
        now = time.time()
        try:
            lost = _checked(options, variables, now)
            each = self._each(options)
            wishes = _wishes(options, each)
            made = self._plan(wishes, options, variables, now)
        except RefusalError as refusal:
            message = f"The rebuild is refused; no host was touched:\n{refusal}"
            return {"failed": True, "refused": True, "changed": False, "msg": message}
        promised = {
            host: {
                "rto": values["host_rebuild_rto"],
                "rpo": options["rpo"] if host in options["databases"] else values["host_rebuild_rpo"],
            }
            for host, values in each.items()
        }
        facts = {**made.to_dict(), "promised": promised, "lost_at": lost, "now": now}
        self.register_host_variables(
            {
                PLAN: facts,
                "platform_rebuild_queue": made.queue,
                "platform_rebuild_locked": [*wishes.hosts, wishes.store],
            },
            VariableLayer.REGISTER_VARS,
        )
        text = "\n".join(platform_plan.shown(made))
        Display().display(f"\n{text}\n")
        return {"changed": False, "msg": text, "examined": [*wishes.hosts, wishes.store]}

    def _each(self, options: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Host to its options of the role host_rebuild."""
        known: dict[str, Any] = {}
        for entry_point in ("preflight", "report"):
            known.update(role_options.specification(self, entry_point, "host_rebuild"))
        found = role_options.read(self, known, list(options["hosts"]))
        errors = [(one.host, error) for one in found for error in one.errors]
        for one in found:
            promised = {name: one.values.get(name) for name in ("host_rebuild_rto", "host_rebuild_rpo")}
            errors += [(one.host, problem) for problem in no_durations(promised)]
        if errors:
            raise RefusalError("\n".join(f"- {line}" for line in role_options.by_hosts(errors, len(found))))
        return {one.host: one.values for one in found}

    def _plan(self, wishes: Wishes, options: Mapping[str, Any], variables: dict[str, Any], now: float) -> Plan:
        replies = FanOut(self, variables).run_python(_programs(wishes, options), TIMEOUT)
        machines = {host: rebuild_plan.said(replies[host].stdout) for host in wishes.hosts}
        silent = [host for host, machine in machines.items() if machine is None]
        if silent:
            reasons = [
                f"- {host} cannot be asked. Give it a machine with Debian first. {_why(replies[host])}"
                for host in silent
            ]
            raise RefusalError(
                "\n".join([*reasons, "What is not rebuilt in this run is left out of platform_rebuild_hosts"])
            )
        told = replies[wishes.store]
        stored = rebuild_plan.said(told.stdout)
        if stored is None:
            raise RefusalError(f"- {wishes.store}, which has the backups, cannot be asked: {_why(told)}")
        servers = {
            host: platform_plan.said(replies[host].stdout, platform_plan.DATABASE_MARK) for host in wishes.databases
        }
        return platform_plan.plan(
            wishes,
            {host: machine for host, machine in machines.items() if machine is not None},
            {host: {"restore": {}, "serves": "", **server} for host, server in servers.items()},
            stored,
            platform_plan.said(told.stdout, platform_plan.REPOSITORY_MARK),
            run=os.environ.get("RUNBOOK_RUN_ID") or uuid.uuid4().hex,
            now=now,
            speed=recovery_drills.speed(state_dir()),
        )


def _checked(options: Mapping[str, Any], variables: Mapping[str, Any], now: float) -> float:
    """When the platform was lost, 0 where nobody has said. RefusalError where an option is wrong."""
    if not options["store"]:
        raise RefusalError("- platform_rebuild_store is empty: nobody has backups")
    named = [
        (f"platform_rebuild_{name}", host) for name in ("hosts", "databases", "entrances") for host in options[name]
    ]
    for name, host in [*named, ("platform_rebuild_store", options["store"])]:
        if host not in variables["hostvars"]:
            raise RefusalError(f"- {name} names {host!r}, which is no host of the inventory")
    if options["store"] in options["hosts"]:
        raise RefusalError("- platform_rebuild_hosts has the store itself: a lost store is another procedure")
    if not options["hosts"]:
        raise RefusalError("- platform_rebuild_hosts is empty: there is nothing to rebuild")
    for problem in no_durations({"platform_rebuild_rpo": options["rpo"]}):
        raise RefusalError(f"- {problem}")
    try:
        lost = moment(options["lost_at"]) if options["lost_at"] else 0.0
    except RangeError as error:
        raise RefusalError(f"- platform_rebuild_lost_at: {error}") from error
    if lost > now:
        raise RefusalError(f"- platform_rebuild_lost_at is {options['lost_at']!r}, which is in the future")
    return lost


def _wishes(options: Mapping[str, Any], each: Mapping[str, Mapping[str, Any]]) -> Wishes:
    version, name = options["version"], options["cluster"]
    data = f"/var/lib/postgresql/{version}/{name}"
    return Wishes(
        hosts=options["hosts"],
        databases=options["databases"],
        entrances=options["entrances"],
        store=options["store"],
        stanza=options["stanza"],
        cluster={"cluster": f"{version}/{name}", "port": options["port"], "owner": "postgres", "data": data},
        options={
            host: {
                "host": host,
                "store": options["store"],
                **{name: values[f"host_rebuild_{name}"] for name in OWN},
            }
            for host, values in each.items()
        },
        primary=options["primary"],
        restore={"queries": options["queries"], "seconds": options["recovery_seconds"]},
    )


def _programs(wishes: Wishes, options: Mapping[str, Any]) -> dict[str, bytes]:
    """What is asked of whom."""
    made: dict[str, bytes] = {}
    for host in dict.fromkeys([*wishes.hosts, *wishes.databases]):
        own = wishes.options.get(host, {"port": 0, "services": [], "root": ""})
        signs = ["/etc/restic/environment", *([own["root"]] if own["root"] else [])]
        signs += [f"{wishes.cluster['data']}/PG_VERSION"] if host in wishes.databases else []
        program = rebuild_plan.machine_program(wishes.store, own["port"], own["services"], signs)
        made[host] = platform_plan.database_program(program) if host in wishes.databases else program
    peers = dict.fromkeys(peer for own in wishes.options.values() for peer in own["peers"])
    snapshots = rebuild_plan.store_program(
        list(dict.fromkeys([*wishes.hosts, *peers])), options["repositories"], options["passphrases"]
    )
    return {**made, wishes.store: platform_plan.store_program(snapshots, wishes.stanza)}


def _why(reply: Reply) -> str:
    return reply.error or reply.stderr.strip()[-400:] or f"the inspection ended with {reply.rc}"
