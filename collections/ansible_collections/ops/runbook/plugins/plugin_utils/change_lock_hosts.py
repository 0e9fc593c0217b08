# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Brings the jobs of locks to their hosts, all in one round trip."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.ops.runbook.plugins.plugin_utils.change_lock import Job, parse, program
from ansible_collections.ops.runbook.plugins.plugin_utils.fan_out import FanOut, Reply

#: A host that decides about a lock needs milliseconds, and waits for another decision at most five seconds.
TIMEOUT = 15.0


def exchange(action: Any, task_vars: Mapping[str, Any], jobs: Mapping[str, Job]) -> Mapping[str, Mapping[str, Any]]:
    """Each host's answer; one that cannot be reached answers with an error."""
    programs = {host: program(job) for host, job in jobs.items()}
    replies = FanOut(action, task_vars).run_python(programs, TIMEOUT) if programs else {}
    return {host: _answer(reply) for host, reply in replies.items()}


def _answer(reply: Reply) -> Mapping[str, Any]:
    if reply.error:
        return {"result": "error", "error": f"the host cannot be reached: {reply.error}"}
    answer = parse(reply.stdout)
    if answer is None:
        said = (reply.stderr.strip() or reply.stdout.strip() or "nothing").splitlines()[-1]
        return {"result": "error", "error": f"the host's answer makes no sense (exit status {reply.rc}): {said}"}
    return answer
