# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: dependency_report
short_description: Turns what became of a change of releases into findings and tables
version_added: 0.1.0
author:
  - The ops.runbook authors (@ops-runbook)
description:
  - Reads the plan of M(ops.runbook.dependency_plan) and what M(ops.runbook.application_release) returned on each host.
  - For the role C(dependency_updates), whose variables it sets. Touches no host.
options:
  failure:
    description: What went wrong with the batch that was put back. Empty where nothing did.
    type: str
    default: ''
attributes:
  check_mode:
    description: Reports in check mode what would be done.
    support: full
"""

EXAMPLES = r"""
- name: Say what became of every host
  ops.runbook.dependency_report:
  run_once: true
"""

RETURN = r""" # """
