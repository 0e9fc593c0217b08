# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: health_gate
short_description: Runs the health checks of one host and fails if a finding is too bad
version_added: 0.1.0
author:
  - The ops.runbook authors (@ops-runbook)
description:
  - Runs the checks that M(ops.runbook.health_plan) has planned for the host in the same play, in one round trip.
  - A host that cannot be reached has failed; it stays in the play for those who rescue it.
  - Sets the variable C(health_check_findings) of the host to its findings.
options:
  timeout:
    description: Seconds that the checks may take together. What has not answered by then is unknown.
    type: float
    default: 30.0
  fail_on:
    description: Fail if a finding is this or worse.
    type: str
    choices: [warning, unknown, critical]
    default: unknown
  ignored:
    description: Types of checks that are left out.
    type: list
    elements: str
    default: []
extends_documentation_fragment:
  - ops.runbook.changes_nothing
"""

EXAMPLES = r"""
- name: Wait until the host is healthy
  ops.runbook.health_gate:
  register: gate
  until: gate is succeeded
  retries: 10
  delay: 3
"""

RETURN = r"""
findings:
  description: The findings, that about the host itself first.
  type: list
  elements: dict
  returned: always
  sample:
    - check: root filesystem
      host: db1
      status: warning
      title: / is 83 % full, 1.7 GiB free
      observed: 83.0
      unit: "%"
      expected: used below 80 %
"""
