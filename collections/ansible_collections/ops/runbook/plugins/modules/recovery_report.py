# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: recovery_report
short_description: Makes findings and tables of what a restore has done
version_added: 0.1.0
author:
  - The ops.runbook authors (@ops-runbook)
description:
  - Sets C(__database_restore_findings) and C(__database_restore_sections) for the role C(findings_report).
  - For the role C(database_restore), whose other tasks have registered what it reads.
options:
  failure:
    description: What went wrong. Empty - nothing did.
    type: str
    default: ""
  back:
    description: Whether the former database is back after the failure.
    type: bool
    default: false
extends_documentation_fragment:
  - ops.runbook.changes_nothing
"""

EXAMPLES = r"""
- name: Say what was restored
  ops.runbook.recovery_report:
  run_once: true
"""

RETURN = r""" # """
