# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: change_approval
short_description: Refuses a run that is not what was approved
version_added: 0.1.0
author:
  - The ops.runbook authors (@ops-runbook)
description:
  - Reads how many approvals the hosts of the play demand. Where none is demanded and no plan is given, nothing happens.
  - Verifies the signatures over the plan, and that playbook, commit, inventory, variables, limit and hosts are those of
    the plan. Then it makes the prediction again, in check mode and in a run of its own, and compares the changes.
  - A refusal names every point in which the run differs from the plan.
  - In check mode nothing is demanded; what would refuse the run is shown as a warning.
  - For the role C(change_guard), whose variables C(change_guard_approvals), C(change_guard_allowed_signers),
    C(change_guard_accounts) and C(change_guard_plan_lifetime) it reads for every host, without extra variables.
options:
  plan:
    description: File of the approved plan on the controller. Its signatures lie beside it.
    type: str
    default: ""
attributes:
  check_mode:
    description: Warns in check mode where it refuses otherwise, since a plan is made in check mode.
    support: full
"""

EXAMPLES = r"""
- name: Verify that what was approved is what this run does
  ops.runbook.change_approval:
    plan: "{{ change_guard_plan }}"
  run_once: true
"""

RETURN = r"""
approval:
  description: The approved plan, for the run record.
  type: dict
  returned: when a plan was given and verified
  contains:
    plan:
      description: File of the plan.
      type: str
    sha256:
      description: Digest of the plan.
      type: str
    run_id:
      description: The check-mode run that made the plan.
      type: str
    requester:
      description: Who made the plan.
      type: dict
    approved_by:
      description: The people whose approval counts, with their keys.
      type: list
      elements: dict
    prediction:
      description: The check-mode run that made the prediction again.
      type: str
plan_demand:
  description: How many approvals are demanded, and for how many seconds a plan is valid.
  type: dict
  returned: success
refused:
  description: Whether the run was refused.
  type: bool
  returned: failure
  sample: true
"""
