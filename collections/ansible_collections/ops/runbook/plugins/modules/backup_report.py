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
  - Compares what is stored with what the run records of this controller have seen of it, and hands the record of this
    run what is new.
options:
  let_go:
    description:
      - Patterns of labels of backups that are not to be there any more, or not as they were. With V(*), all that the
        records know. What is there is then seen for the first time.
    type: list
    elements: str
    default: []
  reason:
    description: Why, in at least three words.
    type: str
    default: ""
  restore_tests:
    description: Also say whether files were read back as often as the objectives promise (C(restore_test)).
    type: bool
    default: false
extends_documentation_fragment:
  - ops.runbook.changes_nothing
"""

EXAMPLES = r"""
- name: Say what was made
  ops.runbook.backup_report:
  run_once: true
"""

RETURN = r"""
backups_seen:
  description: For the run's record, for each repository the backups that are new, and those that nobody expects now.
  type: list
  elements: dict
  returned: success
changed:
  description: Nothing is.
  type: bool
  returned: always
"""
