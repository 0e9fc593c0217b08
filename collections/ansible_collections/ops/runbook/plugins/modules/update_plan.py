# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: update_plan
short_description: Looks for pending updates on all hosts at once and plans their order
version_added: 0.1.0
author:
  - The ops.runbook authors (@ops-runbook)
description:
  - One round trip to each host of the play. The package lists are refreshed in a private folder on the host, which goes
    away; nothing is changed.
  - Refuses the run where an option is wrong, a host cannot be looked at, an old version could not be had back, there is
    no room, or a database must not be restarted now. In check mode the last is a warning.
  - Sets C(security_updates_plan) (host to what was found), C(security_updates_order) (hosts with work, in their order)
    C(security_updates_serial) (sizes of the batches) and C(security_updates_locked) (hosts to lock) for all hosts.
  - For the role C(security_updates), whose variables it reads.
options: {}
extends_documentation_fragment:
  - ops.runbook.changes_nothing
"""

EXAMPLES = r"""
- name: Look for updates on all hosts and plan their order
  ops.runbook.update_plan:
  run_once: true
"""

RETURN = r"""
refused:
  description: Whether the run was refused.
  type: bool
  returned: failure
  sample: true
"""
