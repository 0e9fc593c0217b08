# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of ops.runbook.store_recovery_plan; the module of the same name documents it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase, VariableLayer
from ansible.utils.display import Display
from ansible_collections.ops.runbook.plugins.module_utils import store_inspection
from ansible_collections.ops.runbook.plugins.plugin_utils.catalogue import no_durations
from ansible_collections.ops.runbook.plugins.plugin_utils.fan_out import FanOut, Reply
from ansible_collections.ops.runbook.plugins.plugin_utils.marked import answer_behind

TIMEOUT = 40.0
PLAN = "__store_recovery_plan"
_FEWEST_WORDS = 3
_CALL = "\nimport json\nprint({mark!r} + json.dumps(inspect(json.loads({job!r}))))\n"


class PlanError(Exception):
    """Why a store is not made anew."""


class ActionModule(ActionBase):  # type: ignore[misc]
    """Asks the store what it has, and refuses to make one anew that is not lost."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Plan it, or refuse."""
        super().run(tmp, task_vars)
        text = {"type": "str", "required": True}
        names = ("store", "database", "stanza", "files", "evidence", "marker")
        _unused, given = self.validate_argument_spec(
            argument_spec={
                **dict.fromkeys(names, text),
                "anyway": {"type": "str", "default": ""},
                "objectives": {"type": "dict", "required": True},
            }
        )
        variables = task_vars or {}
        try:
            _check_objectives(given["objectives"])
            found = self._asked(given, variables)
            lines = _judged(given["store"], found, str(given["anyway"]))
        except PlanError as error:
            message = f"The store is not made anew, and no host was touched: {error}"
            return {"failed": True, "refused": True, "changed": False, "msg": message}
        began = found["began"] or time.time()
        plan = {"began": began, "lost": found["lost"]}
        self.register_host_variables({PLAN: plan}, VariableLayer.REGISTER_VARS)
        Display().display("\n".join(lines) + "\n")
        return {"changed": False, "msg": "\n".join(lines), "examined": [given["store"]]}

    def _asked(self, given: Mapping[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        host = given["store"]
        if host not in variables["hostvars"]:
            raise PlanError(f"store_recovery_host is {host!r}, which is no host of the inventory")
        source = Path(store_inspection.__file__).read_text(encoding="utf-8")
        source = re.sub(r"^from __future__ .*\n", "", source, flags=re.MULTILINE)
        job = json.dumps({name: given[name] for name in ("database", "stanza", "files", "evidence", "marker")})
        program = f"from __future__ import annotations\n{source}" + _CALL.format(mark=store_inspection.MARK, job=job)
        return _answer(host, FanOut(self, variables).run_python({host: program.encode()}, TIMEOUT)[host])


def _answer(host: str, reply: Reply) -> dict[str, Any]:
    found: dict[str, Any] | None = answer_behind(store_inspection.MARK, reply.stdout)
    if found is not None:
        return found
    said = reply.error or reply.stderr.strip()[-400:] or f"the inspection ended with {reply.rc}"
    raise PlanError(
        f"{host} does not answer. Give it a bare machine of that name, with Python 3, SSH and its administrator. "
        f"It said: {said}"
    )


def _check_objectives(objectives: Mapping[str, Any]) -> None:
    wrong = no_durations({f"store_recovery_objectives.{name}": objectives.get(name) for name in ("rto", "rpo")})
    if wrong:
        raise PlanError("; ".join(wrong))


def _judged(host: str, found: Mapping[str, Any], anyway: str) -> list[str]:
    """What will be done; raises PlanError where the store is not lost."""
    there = ["the repository of the database's backups"] if found["database"] else []
    there += [f"backups of files of {', '.join(found['files'])}"] if found["files"] else []
    there += [f"{found['seals']} seals of evidence"] if found["seals"] else []
    if anyway and len(anyway.split()) < _FEWEST_WORDS:
        raise PlanError(f"store_recovery_anyway is {anyway!r}; it has to say in at least three words why")
    if there and not found["began"] and not anyway:
        raise PlanError(
            f"{host} answers and has {'; '.join(there)}. What is damaged there comes back with "
            "evidence_protection_restore.yml and backup_procedures.yml. If it has to be completed all the same, say "
            "why: -e \"store_recovery_anyway='three words at least'\". Nothing that it has is removed"
        )
    if there:
        return [f"{host} has {'; '.join(there)}: this is kept, and what it lacks is added."]
    return [
        f"{host} is bare. It becomes the store again: evidence from the replica, then a new repository with a full "
        "backup of the database, then new repositories with a snapshot of the files of each host.",
        "Lost with the old store: every time before the new full backup to which the database could be restored, and "
        "every snapshot of files.",
    ]
