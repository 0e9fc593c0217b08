# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: configuration_report
short_description: Makes findings and tables of what the configuration procedures saw and did
version_added: 0.1.0
author:
  - The ops.runbook authors (@ops-runbook)
description:
  - Sets C(__configuration_changes_findings) and C(__configuration_changes_sections) for the role C(findings_report).
  - For the role C(configuration_changes), whose other actions have registered what it reads.
options:
  mode:
    description: What the report is about.
    type: str
    choices: [changes, drift]
    required: true
extends_documentation_fragment:
  - ops.runbook.changes_nothing
"""

EXAMPLES = r"""
- name: Say what was changed
  ops.runbook.configuration_report:
    mode: changes
  run_once: true
"""

RETURN = r""" # """
