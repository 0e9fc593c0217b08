# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: maintenance_report
short_description: Makes findings and tables of what routine maintenance did
version_added: 0.1.0
author:
  - The ops.runbook authors (@ops-runbook)
description:
  - Looks again at the hosts that were touched, except in check mode.
  - Sets C(__routine_maintenance_findings) and C(__routine_maintenance_sections), for M(ops.runbook.publish_findings).
  - Works in a rescue, too, and then tells what was done until then.
options: {}
attributes:
  check_mode:
    description: Reports what would be done.
    support: full
"""

EXAMPLES = r"""
- name: Sum up what was done
  ops.runbook.maintenance_report:
  run_once: true
"""

RETURN = r"""#"""
