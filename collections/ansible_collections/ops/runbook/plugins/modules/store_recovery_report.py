#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: store_recovery_report
short_description: Makes findings and tables of a store that was made anew
version_added: 0.1.0
author:
  - The ops.runbook authors (@ops-runbook)
description:
  - Joins what the roles for evidence and backups have reported, and compares time and loss with the tier's objectives.
  - For the role C(store_recovery).
options:
  store:
    description: Inventory name of the store's host.
    type: str
    required: true
  objectives:
    description: The tier's C(rto) and C(rpo), as in C(objectives_tiers).
    type: dict
    required: true
attributes:
  check_mode:
    description: Shows what would be done, and measures nothing.
    support: full
"""

EXAMPLES = r"""
- name: Say what was done
  ops.runbook.store_recovery_report:
    store: store1
    objectives: {rto: 4h, rpo: 1d}
  run_once: true
"""

RETURN = r"""
findings:
  description: What was measured against a promise.
  type: list
  elements: dict
  returned: success
  sample: []
"""
