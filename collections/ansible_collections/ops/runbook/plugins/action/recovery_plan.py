# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of ops.runbook.recovery_plan; the module of the same name documents it."""

from __future__ import annotations

import json
import os
import re
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase, VariableLayer
from ansible.utils.display import Display
from ansible_collections.ops.runbook.plugins.module_utils import recovery_inspection
from ansible_collections.ops.runbook.plugins.plugin_utils import recovery_drills
from ansible_collections.ops.runbook.plugins.plugin_utils.checks_units import AmountError, parse_amount
from ansible_collections.ops.runbook.plugins.plugin_utils.fan_out import FanOut, Reply
from ansible_collections.ops.runbook.plugins.plugin_utils.recovery_hosts import Hosts
from ansible_collections.ops.runbook.plugins.plugin_utils.recovery_plan import MARGIN, Wish, estimate, rows
from ansible_collections.ops.runbook.plugins.plugin_utils.recovery_range import (
    SEGMENT_BYTES,
    RangeError,
    Repository,
    repository,
)
from ansible_collections.ops.runbook.plugins.plugin_utils.role_options import read, specification
from ansible_collections.ops.runbook.plugins.plugin_utils.state import state_dir

TIMEOUT = 300.0
PLAN = "__database_restore_plan"
#: What is planned, and the role's entry point with its options.
MODES = ("in_place", "beside", "back")
#: Options that the steps on the host need, as these call them.
PASSED = {
    "keep": "database_restore_keep",
    "queries": "database_restore_queries",
    "requests": "database_restore_requests",
    "seconds": "database_restore_recovery_seconds",
    "database": "database_restore_database",
    "tables": "database_restore_tables",
    "into": "database_restore_into",
}
PREFLIGHTS = {"in_place": "preflight", "beside": "beside_preflight", "back": "back_preflight"}


class ActionModule(ActionBase):  # type: ignore[misc]
    """Asks all hosts what they have, chooses the backup, and shows what a restore costs; or refuses it."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Plan the restore for every host of the play."""
        super().run(tmp, task_vars)
        _unused, arguments = self.validate_argument_spec(
            argument_spec={"mode": {"type": "str", "choices": list(MODES), "default": MODES[0]}}
        )
        variables = task_vars or {}
        names = list(variables["ansible_play_hosts_all"])
        try:
            options = {**self._options(names[0], PREFLIGHTS[arguments["mode"]]), "mode": arguments["mode"]}
            promised = objective(self, options["database_restore_tier"], variables)
            wish = _wish(options)
            hosts = self._inspect(names, wish, options, variables)
            made = self._plan(hosts, wish, options, promised)
        except RangeError as error:
            text = f"Nothing can be restored so; no host was touched. {error}"
            return {"failed": True, "refused": True, "changed": False, "msg": text}
        self.register_host_variables(made, VariableLayer.REGISTER_VARS)
        found = made[PLAN]["estimate"]
        if made[PLAN]["done"]:
            text = f"The database was restored to {wish} by run {made[PLAN]['done']}, and no row has changed since."
        else:
            text = "\n".join(_lines(hosts, found))
        Display().display(text + "\n")
        return {"changed": False, "msg": text, "estimate": found, "examined": names}

    def _options(self, host: str, entry_point: str) -> dict[str, Any]:
        found = read(self, specification(self, entry_point), [host])[0]
        if found.errors:
            raise RangeError("; ".join(found.errors))
        return found.values

    def _inspect(self, names: list[str], wish: Wish, options: Mapping[str, Any], variables: dict[str, Any]) -> Hosts:
        job = {
            "stanza": options["database_restore_stanza"],
            "cluster": options["database_restore_cluster"],
            "point": wish.point,
            "database": options.get("database_restore_database", ""),
        }
        source = Path(recovery_inspection.__file__).read_text(encoding="utf-8")
        program = f"{source}\nmain(json.loads({json.dumps(job)!r}))\n".encode()
        replies = FanOut(self, variables).run_python(dict.fromkeys(names, program), TIMEOUT)
        return Hosts({name: answer(name, reply) for name, reply in replies.items()})

    def _plan(
        self, hosts: Hosts, wish: Wish, options: Mapping[str, Any], promised: Mapping[str, float]
    ) -> dict[str, Any]:
        primary = hosts.primary
        told = hosts.told[primary]
        if told["errors"]:
            raise RangeError(f"on {primary}, {'; '.join(told['errors'])}")
        state = told.get("state") or {}
        unfinished = bool(state) and state["phase"] != "concluded"
        mode = options["mode"]
        if mode == "back" and not unfinished:
            raise RangeError(f"no restore is unfinished on {primary}: there is nothing to go back from")
        if mode != "back" and unfinished and (mode == "beside" or state["wish"] != str(wish)):
            raise RangeError(
                f"a restore to {state['wish']} is unfinished on {primary} (run {state['run']}, {state['phase']}); "
                "finish it with the same target, or go back with recovery_procedures_back.yml"
            )
        found = state["estimate"] if unfinished else _estimated(primary, told, wish, options)
        if mode == "beside":
            _beside(primary, told, found, options)
        done = "" if unfinished or mode != "in_place" else _done(state, wish, told)
        job = {
            "stanza": options["database_restore_stanza"],
            "wish": str(wish),
            "run": os.environ.get("RUNBOOK_RUN_ID") or uuid.uuid4().hex,
            "estimate": found,
            "copies": state.get("copies", []),
            "slots": [slot for name in hosts.standbys if (slot := hosts.slot(name))],
            **{key: options[name] for key, name in PASSED.items() if name in options},
        }
        followers = [] if done and hosts.follow(primary) else hosts.standbys
        plan = {
            "primary": primary,
            "standbys": hosts.standbys,
            "clusters": hosts.clusters(),
            "job": job,
            "follow": {name: hosts.follow_job(name, job["run"]) for name in hosts.standbys},
            "estimate": found,
            "objective": dict(promised),
            "done": done,
            "mode": mode,
        }
        return {
            PLAN: plan,
            "database_restore_queue": [] if done else [primary],
            "database_restore_followers": followers if mode == "in_place" else [],
        }


def _estimated(primary: str, told: Mapping[str, Any], wish: Wish, options: Mapping[str, Any]) -> dict[str, Any]:
    """What the restore costs. RangeError where it cannot be made."""
    known = known_repository(told, options["database_restore_stanza"])
    point = _point(told, wish, known)
    speed = recovery_drills.speed(state_dir())
    live = live_timeline(told)
    found = estimate(known, wish, now=told["time"], live=live, point=point, speed=speed).to_dict()
    found["live"] = _live_part(known, wish, told, point) if live else ""
    _room(primary, told, found, copies=2 if options["mode"] == "beside" else 1)
    return found


def _live_part(known: Repository, wish: Wish, told: Mapping[str, Any], point: str) -> str:
    """Whether what the running server has not archived yet is `needed` for the wish, or only `kept` for later."""
    if wish.to == "latest":
        return "needed"
    try:
        estimate(known, wish, now=told["time"], point=point)
    except RangeError:
        return "needed"
    return "kept"


def _beside(primary: str, told: Mapping[str, Any], found: dict[str, Any], options: Mapping[str, Any]) -> None:
    """Refuse a database that is not there, and a target that is."""
    if not live_timeline(told):
        raise RangeError(f"{primary} does not run, so there is nothing to restore beside; restore it in place")
    database, into = options["database_restore_database"], options["database_restore_into"]
    if database not in told["backed_up"]:
        known = ", ".join(told["backed_up"]) or "none"
        raise RangeError(f"there is no database {database!r} in the backup, only {known}")
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,50}", into):
        raise RangeError(f"database_restore_into is {into!r}; it has to be of small letters, digits and underscores")
    if into in told["server"]["databases"]:
        raise RangeError(
            f"the target is not empty: there is a database {into!r}; give database_restore_into another name"
        )
    found.update(lost_seconds=0.0, lost_segments=0)  # what serves stays as it is


def objective(action: Any, tier: str, variables: Mapping[str, Any]) -> dict[str, float]:
    """What is promised for the tier, in seconds."""
    try:
        tiers = action._templar.template(variables.get("objectives_tiers", {}))
        return {name: parse_amount(tiers[tier][name]).number for name in ("rto", "rpo")}
    except (KeyError, TypeError, AmountError, AnsibleError) as error:
        raise RangeError(
            f"objectives_tiers promises nothing for {tier!r} to measure this restore against ({error}); "
            "give it rto and rpo in the inventory's objectives.yml"
        ) from error


def _lines(hosts: Hosts, found: Mapping[str, Any]) -> list[str]:
    told = [["database", f"{hosts.primary}; standbys that follow: {', '.join(hosts.standbys) or 'none'}"], *rows(found)]
    width = max(len(row[0]) for row in told)
    return ["What this restore costs", *(f"  {name:<{width}}  {value}" for name, value in told)]


def answer(name: str, reply: Reply) -> dict[str, Any]:
    """What a host said."""
    _before, mark, said = reply.stdout.partition(recovery_inspection.MARK)
    if reply.error or not mark:
        reason = reply.error or reply.stderr.strip()[-500:] or "no answer"
        raise RangeError(f"{name} cannot be inspected: {reason}")
    found: dict[str, Any] = json.loads(said)
    return found


def _wish(options: Mapping[str, Any]) -> Wish:
    to, point = (options.get(f"database_restore_{name}", "").strip() for name in ("to", "point"))
    if to and point:
        raise RangeError("database_restore_to and database_restore_point are both given; give one of them")
    timeline, backup = options.get("database_restore_timeline", 0), options.get("database_restore_backup", "")
    return Wish(to, point, timeline, backup)


def live_timeline(told: Mapping[str, Any]) -> int:
    """The timeline of a primary that runs."""
    server = told.get("server")
    return int(server["timeline"]) if server and not server["recovery"] else 0


def known_repository(told: Mapping[str, Any], stanza: str) -> Repository:
    """The backups and the archive that the host sees."""
    size = (told.get("server") or {}).get("segment_bytes", SEGMENT_BYTES)
    return repository(told["info"], stanza, told["listing"], told["histories"], size)


def _point(told: Mapping[str, Any], wish: Wish, known: Repository) -> str:
    """Where the named restore point is; a wish for nothing is refused here, where it is known what is possible."""
    possible = known.describe(live_timeline(told))
    if not wish.point and not wish.to:
        raise RangeError(
            "Say where to: database_restore_to is latest or a time, or database_restore_point is the name of a "
            f"restore point. {possible}"
        )
    if wish.point and wish.point not in told["points"]:
        names = ", ".join(sorted(told["points"])) or "none"
        raise RangeError(f"there is no restore point {wish.point!r} in the log; those found: {names}. {possible}")
    return str(told["points"][wish.point]) if wish.point else ""


def _room(primary: str, told: Mapping[str, Any], found: Mapping[str, Any], copies: int) -> None:
    needed = int(copies * found["size"] * MARGIN) + found["segments"] * SEGMENT_BYTES
    if told["mounted"] and copies == 1:
        raise RangeError(
            f"{told['data']} on {primary} is a file system of its own, so the database in it cannot be moved aside; "
            "let the data directory be a folder in it"
        )
    if told["free"] < needed:
        raise RangeError(
            f"{primary} has {told['free'] / 1e9:.1f} GB free beside {told['data']}, and {needed / 1e9:.1f} GB are "
            "needed: the former database stays until the restored one is verified. Make room, or restore elsewhere"
        )


def _done(state: Mapping[str, Any], wish: Wish, told: Mapping[str, Any]) -> str:
    """The run that has restored to this already, where no row has changed since."""
    server = told.get("server") or {}
    same = bool(state) and state["wish"] == str(wish) and state.get("modified") == server.get("modified")
    return str(state["run"]) if same else ""
