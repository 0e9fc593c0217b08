# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: restore_drill_plan
short_description: Chooses what a restore drill restores, or refuses the drill
version_added: 0.1.0
author:
  - The ops.runbook authors (@ops-runbook)
description:
  - Asks the database's hosts and the scratch host at once. Changes nothing.
  - The options are those of the role C(restore_drill).
extends_documentation_fragment:
  - ops.runbook.changes_nothing
"""

EXAMPLES = r"""
- name: Chooses what a restore drill restores
  ops.runbook.restore_drill_plan:
  run_once: true
"""

RETURN = r""" # """
