# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: health_sweep
short_description: Runs all health checks of a host in one round trip
version_added: 0.1.0
author:
  - The ops.runbook authors (@ops-runbook)
description:
  - Sends one program to the host's Python through the connection, without leaving a file on the host, and returns a
    finding for every check.
  - A host that cannot be reached, refuses root rights or has no Python gives one critical finding, C(reachable), and no
    error. The host stays in the play.
  - Sets the host variable C(health_check_findings) to the findings.
options:
  checks:
    description: Resolved checks of the host, as M(ops.runbook.health_plan) makes them.
    type: list
    elements: dict
    required: true
  timeout:
    description: Seconds that the checks may take together. What has not answered by then is unknown.
    type: float
    default: 30.0
  fail_on:
    description: Fail if a finding is this or worse.
    type: str
    choices: [warning, unknown, critical, never]
    default: never
attributes:
  check_mode:
    description: Runs in check mode as it does otherwise, since it changes nothing.
    support: full
"""

EXAMPLES = r"""
- name: Run every check
  ops.runbook.health_sweep:
    checks: "{{ __health_check_plan[inventory_hostname] }}"
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
