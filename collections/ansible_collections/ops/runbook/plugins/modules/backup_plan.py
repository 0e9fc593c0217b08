# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_plan
short_description: Refuses backups that could not be made or kept as the objectives promise
version_added: 0.1.0
author:
  - The ops.runbook authors (@ops-runbook)
description:
  - Validates the options of the roles C(database_backup) and C(file_backup) of all hosts in one task on the
    controller - types, objectives, certificates that are missing or expired, secrets that are too short.
  - Touches no host, unless it is to O(inspect).
options:
  inspect:
    description:
      - Also ask all hosts in one round trip what they lack of what the roles would set up. Nothing is changed there.
      - Sets C(backup_procedures_unfinished), the hosts on which something is to be set up, and
        C(backup_procedures_packaged), those that have all packages.
    type: bool
    default: false
  shorter:
    description: Whether what O(inspect) finds in force on the hosts may be kept for a shorter time. Refused otherwise.
    type: bool
    default: false
extends_documentation_fragment:
  - ops.runbook.changes_nothing
"""

EXAMPLES = r"""
- name: Check the options of all hosts
  ops.runbook.backup_plan:
  run_once: true
"""

RETURN = r"""
examined:
  description: Hosts whose options were validated.
  type: list
  elements: str
  returned: success
lacking:
  description: Host to what it lacks - packages, accounts, files, units and what was made with them.
  type: dict
  returned: with O(inspect)
"""
