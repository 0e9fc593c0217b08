#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rebuild_report
short_description: Measures a rebuild against what is promised
version_added: 0.1.0
author:
  - The ops.runbook authors (@ops-runbook)
description:
  - Makes findings and tables of what M(ops.runbook.rebuild_plan) planned and M(ops.runbook.host_rebuild) did.
  - For the role C(host_rebuild), whose variables the options are. Nothing is changed.
options:
  rto:
    description: Promised time of the recovery, such as V(30m).
    type: str
    required: true
  rpo:
    description: How often the configuration is backed up, such as V(1d).
    type: str
    required: true
extends_documentation_fragment:
  - ops.runbook.changes_nothing
"""

EXAMPLES = r"""
- name: Say how long it took
  ops.runbook.rebuild_report:
    rto: 30m
    rpo: 1d
  run_once: true
"""

RETURN = r"""
findings:
  description: What was measured against a promise.
  type: list
  elements: dict
  returned: always
"""
