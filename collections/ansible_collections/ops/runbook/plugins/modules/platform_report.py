#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: platform_report
short_description: Measures the rebuild of a platform against what is promised
version_added: 0.1.0
author:
  - The ops.runbook authors (@ops-runbook)
description:
  - Makes findings and tables of what M(ops.runbook.platform_plan) planned and the steps on the hosts did - how long
    each took, how many rows are back, and the times and losses against the objectives.
  - For the role C(platform_rebuild). Nothing is changed.
options: {}
attributes:
  check_mode:
    description: Shows what would be done, and measures nothing.
    support: full
"""

EXAMPLES = r"""
- name: Say how long it took
  ops.runbook.platform_report:
  run_once: true
"""

RETURN = r"""
findings:
  description: What was measured against a promise.
  type: list
  elements: dict
  returned: always
"""
