# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_report
short_description: Makes findings and tables of what the hosts say about their backups
version_added: 0.1.0
author:
  - The ops.runbook authors (@ops-runbook)
description:
  - Reads what the roles C(database_backup) and C(file_backup) have registered on each host, and sets
    C(__backup_procedures_findings) and C(__backup_procedures_sections).
attributes:
  check_mode:
    description: Runs in check mode as it does otherwise, since it changes nothing.
    support: full
"""

EXAMPLES = r"""
- name: Say what was made
  ops.runbook.backup_report:
  run_once: true
"""

RETURN = r"""
changed:
  description: Nothing is.
  type: bool
  returned: always
"""
