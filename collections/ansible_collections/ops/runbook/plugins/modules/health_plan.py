# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: health_plan
short_description: Merges and validates the health checks of all hosts of the play
version_added: 0.1.0
author:
  - The ops.runbook authors (@ops-runbook)
description:
  - Resolves the checks of every host of the play from the role's baseline, the classes of the host, the calling
    procedure, and what every group, the host, the play and C(--extra-vars) say in C(health_checks).
  - Contributions add up; entries of the same name are merged, and V(false) switches a check off.
  - Anything wrong about them refuses the run with one message for all hosts, before a host is touched.
  - For the role C(health_check), whose variables it reads.
options:
  entry_point:
    description: Entry point of the role whose argument specification the variables of every host have to meet.
    type: str
    required: true
extends_documentation_fragment:
  - ops.runbook.changes_nothing
"""

EXAMPLES = r"""
- name: Merge and validate the checks of every host
  ops.runbook.health_plan:
    entry_point: plan
  run_once: true
"""

RETURN = r"""
checks:
  description: How many checks will be run.
  type: int
  returned: success
  sample: 96
hosts:
  description: On how many hosts.
  type: int
  returned: success
  sample: 5
refused:
  description: Whether the run was refused for what is wrong with the checks.
  type: bool
  returned: failure
  sample: true
"""
