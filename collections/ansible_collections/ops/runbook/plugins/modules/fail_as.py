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
  way_back:
    description:
      - The results of the steps that put the host back, in their order; V({}) for one that was not reached.
      - Where one of them failed or is missing, the run ends as V(failed) whatever O(outcome) says, with O(stuck) and
        the message of that step.
    type: list
    elements: dict
  stuck:
    description: With O(way_back), what state the host may be in, and what to do, where it was not put back.
    type: str
  because:
    description: Why there was a way back. It follows O(msg), or O(stuck) and the message of the step.
    type: str
    default: ""
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

- name: End the run, because the host was put back, or could not be
  ops.runbook.fail_as:
    outcome: rolled_back
    msg: "app1 has its old packages again."
    way_back: ["{{ packages_put_back | default({}) }}", "{{ traffic_restored | default({}) }}"]
    stuck: "app1 may have old or new packages, and gets no requests. Mend it, then run this again."
    because: "{{ ansible_failed_result.msg }}"
"""

RETURN = r"""
refused:
  description: Nothing was changed.
  type: bool
  returned: if O(outcome) is V(refused)
rolled_back:
  description: Whether what was changed has been put back. Where one host says V(false), so does the record of the run.
  type: bool
  returned: if the host was put back, or failed
"""
