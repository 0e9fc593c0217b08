# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: maintenance_plan
short_description: Inspects all hosts at once and plans their routine maintenance
version_added: 0.1.0
author:
  - The ops.runbook authors (@ops-runbook)
description:
  - Validates the variables of the role C(routine_maintenance) for every host of the play, and refuses before any host
    is touched if one is wrong.
  - Sends one program to each host, which says what M(ops.runbook.routine_maintenance) would do there, with the same
    code.
  - Refuses if a host cannot be inspected, or if its PostgreSQL should be left alone now.
  - Registers the plan, and which hosts have something to do and in which order, as variables of all hosts.
options:
  entry_point:
    description: Entry point of the role, whose options are read.
    type: str
    required: true
extends_documentation_fragment:
  - ops.runbook.changes_nothing
"""

EXAMPLES = r"""
- name: Find out what is to be done on every host
  ops.runbook.maintenance_plan:
    entry_point: preflight
  run_once: true
"""

RETURN = r"""
examined:
  description: The hosts. The run record counts the task for each of them.
  type: list
  elements: str
  returned: success
msg:
  description: Which hosts are cleaned, which are restarted and in which order, or why the run is refused.
  type: str
  returned: always
"""
