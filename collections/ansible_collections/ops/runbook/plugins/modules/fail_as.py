# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: fail_as
short_description: Ends a procedure with a failure that says how it ended
version_added: 0.1.0
author:
  - The ops.runbook authors (@ops-runbook)
description:
  - Fails like M(ansible.builtin.fail), and tells the run record how the run ended.
  - The last task of every C(rescue), because a play that was rescued would end with exit code 0.
options:
  msg:
    description: What happened, where, and what to do next.
    type: str
    required: true
  outcome:
    description:
      - V(rolled_back) - what was changed has been put back.
      - V(refused) - nothing was changed. Once a run has changed something, the record says V(failed) instead.
      - V(failed) - anything else.
    type: str
    choices: [failed, refused, rolled_back]
    default: failed
attributes:
  check_mode:
    description: Fails in check mode too.
    support: full
"""

EXAMPLES = r"""
- name: End the run, because the host was put back
  ops.runbook.fail_as:
    outcome: rolled_back
    msg: "app1 failed its health gate after the update and has its old packages again. See the report."
"""

RETURN = r"""
refused:
  description: Nothing was changed.
  type: bool
  returned: if O(outcome) is V(refused)
rolled_back:
  description: What was changed has been put back.
  type: bool
  returned: if O(outcome) is V(rolled_back)
"""
