# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs the checks of hosts in one round trip each and turns every outcome, an unreachable host too, into findings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.ops.runbook.plugins.module_utils.finding import Finding
from ansible_collections.ops.runbook.plugins.plugin_utils import checks_judge
from ansible_collections.ops.runbook.plugins.plugin_utils.checks_program import program
from ansible_collections.ops.runbook.plugins.plugin_utils.fan_out import FanOut, Reply

#: What stderr says, and what that means.
_REASONS = (
    (
        re.compile(r"sudo: .*password|not in the sudoers|may not run sudo|sudo: ", re.IGNORECASE),
        "root rights were refused",
    ),
    (re.compile(r"python\S*: (command )?not found|No such file or directory", re.IGNORECASE), "Python is missing"),
    (re.compile(r"SyntaxError|'dict\[|unsupported"), "Python is older than 3.9"),
)


def sweep(
    fan_out: FanOut, checks: Mapping[str, list[dict[str, Any]]], timeouts: Mapping[str, float], begun: float
) -> list[Finding]:
    """The findings of all hosts, host by host, that about the host itself first.

    ``timeouts`` are the seconds that all checks of each host may take; ``begun`` is the Unix time at which they
    were planned.
    """
    programs = {host: program(planned, timeouts[host]).encode() for host, planned in checks.items()}
    replies = fan_out.run_python(programs, timeouts)
    return [finding for host, planned in checks.items() for finding in _findings(host, planned, replies[host], begun)]


def _findings(host: str, checks: list[dict[str, Any]], reply: Reply, begun: float) -> list[Finding]:
    if reply.unforeseen:
        title = "the controller cannot ask the host, and nobody foresaw why"
        return [checks_judge.unreachable(host, title, reply.error, reply.seconds, "unknown")]
    if reply.error:
        title = reply.error if "did not answer within" in reply.error else "the host cannot be reached"
        title = "root rights were refused" if "sudo" in reply.error else title
        return [checks_judge.unreachable(host, title, reply.error, reply.seconds)]
    answers, complete = checks_judge.parse_answers(reply.stdout)
    if not answers and not complete:
        return [_no_answer(host, reply)]
    missing = "" if complete else f"the probe ended early (exit status {reply.rc})"
    findings = [checks_judge.judge(check, answers.get(check["name"]), host, missing) for check in checks]
    return [checks_judge.reachable(host, reply.seconds, begun), *findings]


def _no_answer(host: str, reply: Reply) -> Finding:
    """The finding for a host that let us in and gave nothing that can be read."""
    said = "\n".join(part.strip() for part in (reply.stderr, reply.stdout) if part.strip())
    reason = next((text for pattern, text in _REASONS if pattern.search(said)), "its answer makes no sense")
    title = f"the probe cannot run: {reason} (exit status {reply.rc})"
    return checks_judge.unreachable(host, title, said, reply.seconds)
