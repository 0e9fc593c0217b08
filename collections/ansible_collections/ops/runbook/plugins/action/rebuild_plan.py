# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of ops.runbook.rebuild_plan; the module of the same name documents it."""

from __future__ import annotations

import time
from typing import Any

from ansible.plugins.action import ActionBase, VariableLayer
from ansible.utils.display import Display
from ansible_collections.ops.runbook.plugins.plugin_utils import rebuild_plan
from ansible_collections.ops.runbook.plugins.plugin_utils.catalogue import no_durations
from ansible_collections.ops.runbook.plugins.plugin_utils.fan_out import FanOut, Reply
from ansible_collections.ops.runbook.plugins.plugin_utils.rebuild_plan import RefusalError

display = Display()

TIMEOUT = 60.0
ARGUMENTS = {
    "host": {"type": "str", "required": True},
    "known": {"type": "list", "elements": "str", "required": True},
    "store": {"type": "str", "required": True},
    "port": {"type": "int", "default": 8000},
    "repositories": {"type": "path", "default": "/var/lib/restic"},
    "passphrases": {"type": "path", "default": "/etc/restic/passphrases"},
    "peers": {"type": "list", "elements": "str", "default": []},
    "proxies": {"type": "list", "elements": "str", "default": []},
    "root": {"type": "str", "default": ""},
    "services": {"type": "list", "elements": "str", "default": []},
    "keep": {"type": "list", "elements": "str", "default": []},
    "replace": {"type": "bool", "default": False},
    "snapshots": {"type": "dict", "default": {}},
    "rto": {"type": "str", "required": True},
    "rpo": {"type": "str", "required": True},
}


class ActionModule(ActionBase):  # type: ignore[misc]
    """Asks the machine and the store at once, and plans or refuses."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Register the plan for all hosts, or refuse the run."""
        super().run(tmp, task_vars)
        _unused, options = self.validate_argument_spec(argument_spec=ARGUMENTS)
        try:
            planned = self._plan(options, task_vars or {})
        except RefusalError as refusal:
            message = f"The rebuild is refused; nothing was changed. {refusal}"
            return {"failed": True, "refused": True, "changed": False, "msg": message}
        host = options["host"]
        made = {"host": host, "job": planned or {}, "age": rebuild_plan.age(planned, time.time())}
        queue = [host] if planned else []
        self.register_host_variables(
            {
                "__host_rebuild_plan": made,
                "host_rebuild_queue": queue,
                "host_rebuild_locked": [host, *options["proxies"]],
            },
            VariableLayer.REGISTER_VARS,
        )
        told = f"{host} is rebuilt already: nothing to do"
        if planned:
            parts = [f"{tag} of {row['time'][:16]} ({row['host']})" for tag, row in planned["sources"].items()]
            told = f"{host} is rebuilt from {' and '.join(parts)}"
        display.display(f"\n{told}\n")
        return {"changed": False, "msg": told, "examined": [host, options["store"]]}

    def _plan(self, options: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any] | None:
        wrong = no_durations({f"host_rebuild_{name}": options[name] for name in ("rto", "rpo")})
        if wrong:
            raise RefusalError("; ".join(wrong))
        host, store = options["host"], options["store"]
        known = [name for name in options["known"] if name != store]
        if host not in known:
            named = f"is {host!r}, which is no host that can be rebuilt" if host else "is empty"
            raise RefusalError(f"host_rebuild_host {named}. There are: {', '.join(sorted(known))}")
        if not store:
            raise RefusalError("host_rebuild_store is empty: nobody has backups")
        signs = ["/etc/restic/environment", *([options["root"]] if options["root"] else [])]
        programs = {
            host: rebuild_plan.machine_program(store, options["port"], options["services"], signs),
            store: rebuild_plan.store_program(
                [host, *options["peers"]], options["repositories"], options["passphrases"]
            ),
        }
        replies = FanOut(self, variables).run_python(programs, TIMEOUT)
        machine, stored = (rebuild_plan.said(replies[name].stdout) for name in (host, store))
        if machine is None:
            raise RefusalError(f"{host} cannot be asked. Give it a machine with Debian first. {_why(replies[host])}")
        return rebuild_plan.job(options, machine, stored, _why(replies[store]))


def _why(reply: Reply) -> str:
    return reply.error or reply.stderr.strip()[-400:] or f"the inspection ended with {reply.rc}"
