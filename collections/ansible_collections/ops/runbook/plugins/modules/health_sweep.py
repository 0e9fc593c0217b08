# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: health_sweep
short_description: Runs all health checks of all hosts, in one round trip to each
version_added: 0.1.0
author:
  - The ops.runbook authors (@ops-runbook)
description:
  - Plans the checks of all hosts of the play as M(ops.runbook.health_plan) does; anything wrong about them refuses the
    run before a host is touched.
  - Then sends one program to each host's Python through the host's own connection, without leaving a file there, and
    gets a finding for every check. As many hosts as there are forks are asked at a time. A task with C(run_once) does
    it for all hosts of the batch.
  - A host that cannot be reached, refuses root rights or has no Python gives one critical finding, C(reachable), and no
    error. Where the controller itself fails on the way to a host, the finding is unknown. The host stays in the play.
  - Sets the variable C(health_check_findings_json) to all findings, as JSON, for every host of the play.
options:
  entry_point:
    description: Entry point of the role whose argument specification the variables of every host have to meet.
    type: str
    required: true
  also_validate:
    description:
      - Entry points of other roles, as C(role/entry_point), which the play calls later. Their options are validated
        with the values of the play's first host, so that a mistake there refuses the run before a host is touched,
        and without a task of its own.
    type: list
    elements: str
    default: []
extends_documentation_fragment:
  - ops.runbook.changes_nothing
"""

EXAMPLES = r"""
- name: Run every check of every host
  ops.runbook.health_sweep:
    entry_point: sweep
  run_once: true
"""

RETURN = r"""
examined:
  description: The hosts. The run record counts the task for each of them.
  type: list
  elements: str
  returned: success
findings:
  description: The findings that are not ok.
  type: list
  elements: dict
  returned: success
  sample:
    - check: root filesystem
      host: db1
      status: warning
      title: / is 83 % full, 1.7 GiB free
      observed: 83.0
      unit: "%"
      expected: used below 80 %
refused:
  description: Whether the run was refused for what is wrong with the checks.
  type: bool
  returned: failure
  sample: true
"""
