# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: change_guard
short_description: Admits a change, and holds the lock of its hosts
version_added: 0.1.0
author:
  - The ops.runbook authors (@ops-runbook)
description:
  - The entry points of the role C(change_guard), for all hosts of the play in one task and at most one round trip each.
  - Reads the role's variables of every host; the role documents them.
  - In check mode no host is locked, and what would refuse the run is a warning.
options:
  entry_point:
    description:
      - V(preflight) checks the role's variables, change window, freezes and ticket.
      - V(acquire) locks all hosts, or none and refuses.
      - V(batch) checks window and freezes again and renews the locks. A refusal frees them.
      - V(release) frees all locks of this run.
    type: str
    choices: [preflight, acquire, batch, release]
    required: true
attributes:
  check_mode:
    description: Touches nothing in check mode, and warns where it would refuse.
    support: full
"""

EXAMPLES = r"""
- name: Lock all hosts for this run, or none
  ops.runbook.change_guard:
    entry_point: acquire
  run_once: true
"""

RETURN = r"""
findings:
  description: What the run record has to say - break-glass, locks taken over, refusals that were warnings.
  type: list
  elements: dict
  returned: where there are some
"""
