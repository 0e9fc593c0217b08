# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Asks the database and application hosts what they are now, all at once, and changes nothing there."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.ops.runbook.plugins.module_utils import database_cluster
from ansible_collections.ops.runbook.plugins.plugin_utils.change_lock import PATH as LOCK
from ansible_collections.ops.runbook.plugins.plugin_utils.fan_out import FanOut, Reply
from ansible_collections.ops.runbook.plugins.plugin_utils.marked import answer_behind

#: Prefix of the answer, among whatever else a log-in prints.
MARK = "@ops.runbook.disaster "
LOCK_MARK = "@ops.runbook.disaster-lock "
TIMEOUT = 40.0
#: Who holds the host: a run that died there may have left this one nothing to do but to free it.
_LOCK = f"""
try:
    with open({LOCK!r}, encoding="utf-8") as file:
        print({LOCK_MARK!r} + json.dumps(json.load(file)))
except (OSError, ValueError):
    pass
"""
_DATABASE = """
try:
    state = Cluster({version!r}, {name!r}).state()
except ClusterError as error:
    state = {{"role": "stopped", "fenced": False, "clean": False, "error": str(error)}}
print({mark!r} + json.dumps(state))
"""
_APPLICATION = """
import json, os
print({mark!r} + json.dumps({{"role": "application", "read_only": os.path.exists({path!r})}}))
"""


def database_program(version: str, name: str) -> bytes:
    """The program for a database host."""
    source = Path(database_cluster.__file__).read_text(encoding="utf-8")
    source = re.sub(r"^from __future__ .*\n", "", source, flags=re.MULTILINE)
    call = _DATABASE.format(version=version, name=name, mark=MARK)
    return f"from __future__ import annotations\n{source}\n{call}{_LOCK}".encode()


def application_program(path: str) -> bytes:
    """The program for a host of the application."""
    return (_APPLICATION.format(mark=MARK, path=path) + _LOCK).encode()


def answer(reply: Reply) -> dict[str, Any]:
    """What a host said, with its lock if there is one; the role `unreachable` where it did not."""
    found, lock = (answer_behind(mark, reply.stdout) for mark in (MARK, LOCK_MARK))
    if found is not None:
        return {**found, **({} if lock is None else {"lock": lock})}
    said = reply.error or reply.stderr.strip()[-600:] or f"the inspection ended with {reply.rc}"
    return {"role": "unreachable", "error": said, "fenced": False}


def inspected(
    action: Any,
    variables: Mapping[str, Any],
    databases: Sequence[str],
    applications: Sequence[str],
    *,
    version: str,
    cluster: str,
    mode_file: str,
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """The states of the database hosts and of the application's hosts."""
    programs = dict.fromkeys(applications, application_program(mode_file)) if mode_file else {}
    programs |= dict.fromkeys(databases, database_program(version, cluster))
    replies = FanOut(action, variables).run_python(programs, TIMEOUT)
    answers = {host: answer(reply) for host, reply in replies.items()}
    return (
        {host: answers[host] for host in databases},
        {host: answers[host] for host in applications if host in answers},
    )
