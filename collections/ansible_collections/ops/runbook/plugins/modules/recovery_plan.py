# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: recovery_plan
short_description: Chooses the backup for a restore, shows what it costs, or refuses it
version_added: 0.1.0
author:
  - The ops.runbook authors (@ops-runbook)
description:
  - Asks all hosts of the play at once for their server, their room and the backups that they reach. Changes nothing.
  - Refuses a target that cannot be reached, saying which can. The options are those of the role C(database_restore).
options:
  mode:
    description:
      - V(in_place) - the database is replaced.
      - V(beside) - a database or tables are restored beside those that serve.
      - V(back) - an unfinished restore is given up.
    type: str
    choices: [in_place, beside, back]
    default: in_place
extends_documentation_fragment:
  - ops.runbook.changes_nothing
"""

EXAMPLES = r"""
- name: Show what the restore costs, or refuse it
  ops.runbook.recovery_plan:
  run_once: true
"""

RETURN = r"""
estimate:
  description: The backup, how long its restore takes, and how much data is lost.
  type: dict
  returned: success
"""
