# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of ops.runbook.judge_findings; the action plugin of the same name does the work."""

from __future__ import annotations

DOCUMENTATION = r"""
module: judge_findings
short_description: Fail where a finding is too bad
version_added: 0.1.0
description:
  - Fails with one line for each finding at or above a threshold, so that the run's exit code says whether all is well.
  - Runs on the controller and needs no connection to the host. One verdict covers all hosts, so use O(ignore:run_once).
  - No finding at all counts as V(unknown), because nothing was looked at.
options:
  findings:
    description: The findings. Each has at least the keys C(check), C(host) and C(status).
    type: list
    elements: dict
    required: true
  fail_on:
    description: The least status that fails. V(unknown) is worse than V(warning). V(never) lets everything pass.
    type: str
    choices: [warning, unknown, critical, never]
    default: unknown
  report:
    description: Path of the report, which the message names.
    type: str
    default: ''
author: The ops.runbook authors (@ops-runbook)
"""

EXAMPLES = r"""
- name: End in failure if the platform is not well
  ops.runbook.judge_findings:
    findings: >-
      {{ ansible_play_hosts_all | map('extract', hostvars, 'health_check_findings') | flatten(skip_nulls=false) }}
    fail_on: critical
  run_once: true
"""

RETURN = r"""
msg:
  description: The findings that are too bad, one a line.
  returned: always
  type: str
"""
