# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: change_lock_holders
short_description: Shows who holds the locks of all hosts, and refuses to break those of runs that go on
version_added: 0.1.0
author:
  - The ops.runbook authors (@ops-runbook)
description:
  - Asks all hosts of the play in one round trip, prints who holds each of them, and changes nothing.
  - Fails as refused without a reason, when a host cannot be asked, and when a run certainly goes on.
  - Sets the host variable C(__change_guard_holders) to the run that holds each host, empty where there is none.
options:
  reason:
    description: Why the locks are broken, in at least three words. It is given as C(runbook_reason), and so recorded.
    type: str
    default: ""
  force:
    description: Break the lock of a run that goes on, too.
    type: bool
    default: false
attributes:
  check_mode:
    description: Runs in check mode as it does otherwise, but warns where it would refuse.
    support: full
"""

EXAMPLES = r"""
- name: Show who holds the locks
  ops.runbook.change_lock_holders:
    reason: "{{ runbook_reason }}"
  run_once: true
"""

RETURN = r"""
holders:
  description: The locks, by host.
  type: dict
  returned: success
"""
