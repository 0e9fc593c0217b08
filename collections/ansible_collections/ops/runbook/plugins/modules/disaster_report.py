#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: disaster_report
short_description: Makes findings and tables of a change of the primary
version_added: 0.1.0
author:
  - The ops.runbook authors (@ops-runbook)
description:
  - Reads what the steps have registered, and compares time and loss with the objectives of the tier.
  - For the role C(disaster_recovery).
options:
  objectives:
    description: The tier's C(rto) and C(rpo), as in C(objectives_tiers).
    type: dict
    required: true
attributes:
  check_mode:
    description: Shows the plan.
    support: full
"""

EXAMPLES = r"""
- name: Say what was done
  ops.runbook.disaster_report:
    objectives: {rto: 1h, rpo: 5m}
  run_once: true
"""

RETURN = r"""
findings:
  description: The findings.
  type: list
  elements: dict
  returned: success
  sample: []
"""
