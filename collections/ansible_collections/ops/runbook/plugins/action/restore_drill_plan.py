# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of ops.runbook.restore_drill_plan; the module of the same name documents it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase, VariableLayer
from ansible_collections.ops.runbook.plugins.action.recovery_plan import (
    TIMEOUT,
    answer,
    known_repository,
    live_timeline,
    objective,
)
from ansible_collections.ops.runbook.plugins.module_utils import recovery_inspection
from ansible_collections.ops.runbook.plugins.plugin_utils import change_lock, recovery_drills
from ansible_collections.ops.runbook.plugins.plugin_utils.change_lock_hosts import exchange
from ansible_collections.ops.runbook.plugins.plugin_utils.change_run import Holder
from ansible_collections.ops.runbook.plugins.plugin_utils.fan_out import FanOut
from ansible_collections.ops.runbook.plugins.plugin_utils.recovery_hosts import Hosts
from ansible_collections.ops.runbook.plugins.plugin_utils.recovery_plan import MARGIN, Wish, estimate
from ansible_collections.ops.runbook.plugins.plugin_utils.recovery_range import SEGMENT_BYTES, RangeError
from ansible_collections.ops.runbook.plugins.plugin_utils.role_options import read, specification
from ansible_collections.ops.runbook.plugins.plugin_utils.state import state_dir

PLAN = "__restore_drill_plan"
#: Runs of these bring another database to the hosts: there is nothing to compare with until they have ended.
RECOVERIES = ("backup_recovery/recovery_procedures", "backup_recovery/disaster_recovery")


class ActionModule(ActionBase):  # type: ignore[misc]
    """Asks the database's hosts and the scratch host, and chooses what is restored; or refuses the drill."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Plan the drill."""
        super().run(tmp, task_vars)
        self.validate_argument_spec(argument_spec={})
        variables = task_vars or {}
        names = list(variables["ansible_play_hosts_all"])
        try:
            found = read(self, specification(self, "preflight"), names[:1])[0]
            if found.errors:
                raise RangeError("; ".join(found.errors))
            plan = self._plan(names, found.values, variables)
        except RangeError as error:
            text = f"The drill cannot be made; no host was touched. {error}"
            return {"failed": True, "refused": True, "changed": False, "msg": text}
        made = {PLAN: plan, "restore_drill_hosts": {name: [plan[name]] for name in ("source", "primary", "scratch")}}
        self.register_host_variables(made, VariableLayer.REGISTER_VARS)
        text = f"{plan['estimate']['backup']} is restored on {plan['scratch']} and compared with {plan['source']}"
        return {"changed": False, "msg": text, "estimate": plan["estimate"], "examined": names}

    def _plan(self, names: list[str], options: Mapping[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        scratch, stanza = options["restore_drill_host"], options["restore_drill_stanza"]
        if scratch not in names:
            raise RangeError(f"restore_drill_host is {scratch!r}, which is no host of this run: {', '.join(names)}")
        promised = objective(self, options["restore_drill_tier"], variables)
        busy = occupied(scratch, exchange(self, variables, dict.fromkeys(names, change_lock.SHOW)))
        if busy:
            raise RangeError("; ".join(busy))
        job = {"stanza": stanza, "cluster": options["restore_drill_cluster"]}
        jobs = {name: job for name in names if name != scratch}
        jobs[scratch] = {"stanza": stanza, "scratch": options["restore_drill_folder"]}
        source = Path(recovery_inspection.__file__).read_text(encoding="utf-8")
        programs = {name: f"{source}\nmain(json.loads({json.dumps(own)!r}))\n".encode() for name, own in jobs.items()}
        replies = FanOut(self, variables).run_python(programs, TIMEOUT)
        told = {name: answer(name, reply) for name, reply in replies.items()}
        room = told.pop(scratch)
        hosts = Hosts(told)
        primary = told[hosts.primary]
        errors = [f"on {hosts.primary}, {error}" for error in primary["errors"]]
        errors += [f"on {scratch}, {error}" for error in room["errors"]]
        if errors:
            raise RangeError("; ".join(errors))
        live = live_timeline(primary)
        if not live:
            raise RangeError(f"{hosts.primary} does not run: there is nothing to compare a restored database with")
        # The newest backup, whatever it is good for: whether it can be restored is what the drill is to find out.
        known = known_repository(primary, stanza)
        newest = known.backups[-1].label
        wish = Wish("latest", backup=newest)
        found = estimate(
            known, wish, now=primary["time"], live=live, speed=recovery_drills.speed(state_dir())
        ).to_dict()
        version = primary["cluster"].partition("/")[0]
        _fit(scratch, room, found, version, options["restore_drill_folder"])
        standbys = [name for name in hosts.standbys if told[name]["server"] and told[name]["server"]["recovery"]]
        following = standbys if primary["server"]["standbys"] else []
        return {
            "stanza": stanza,
            "primary": hosts.primary,
            "source": following[0] if following else hosts.primary,
            "scratch": scratch,
            "folder": options["restore_drill_folder"],
            "clusters": hosts.clusters(),
            "version": version,
            "estimate": found,
            "objective": promised,
            "exposed": exposed(primary["server"], primary["time"]),
        }


def occupied(scratch: str, answers: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Who keeps a drill from being made: whoever holds the scratch host, and recoveries of the database."""
    held = {host: Holder.from_lock(answer["lock"]) for host, answer in answers.items() if answer["result"] == "held"}
    counts = {
        host: holder
        for host, holder in held.items()
        if not holder.is_gone and (host == scratch or holder.procedure.startswith(RECOVERIES))
    }
    return [change_lock.refusal(hosts, holder) for hosts, holder in change_lock.by_run(counts)]


def exposed(server: Mapping[str, Any], now: float) -> float:
    """Seconds of changes that are not in the archive, at most: what a loss of the database at this moment costs."""
    since = max(0.0, now - float(server["archived"]))
    waits = int(server["archive_timeout"])
    if server["archive_fails"] or server["waiting"] or not waits:
        return round(since, 1)
    return round(min(since, waits), 1)


def _fit(scratch: str, room: Mapping[str, Any], found: Mapping[str, Any], version: str, folder: str) -> None:
    if room["holds"]:
        raise RangeError(
            f"{folder} on {scratch} is not empty and is no drill's: it holds {', '.join(room['holds'])}; "
            "let restore_drill_folder name another folder, or empty it"
        )
    if version not in room["versions"]:
        have = ", ".join(room["versions"]) or "none"
        raise RangeError(f"{scratch} needs PostgreSQL {version} and has {have}: install postgresql-{version} there")
    needed = int(found["size"] * MARGIN) + found["segments"] * SEGMENT_BYTES
    if room["free"] < needed:
        raise RangeError(
            f"{scratch} has {room['free'] / 1e9:.1f} GB free, and {needed / 1e9:.1f} GB are needed: make room"
        )
