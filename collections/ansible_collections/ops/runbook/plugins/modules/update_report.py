# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: update_report
short_description: Says what was updated on every host, what that fixes and what is still pending
version_added: 0.1.0
author:
  - The ops.runbook authors (@ops-runbook)
description:
  - Looks again at the hosts that the run has entered, in one round trip each, and changes nothing.
  - Sets C(security_updates_findings) and C(security_updates_sections) for the report.
  - For the role C(security_updates), whose variables it reads.
options: {}
attributes:
  check_mode:
    description: Says what would be updated.
    support: full
"""

EXAMPLES = r"""
- name: Look at what is still pending
  ops.runbook.update_report:
  run_once: true
"""

RETURN = r""" # """
