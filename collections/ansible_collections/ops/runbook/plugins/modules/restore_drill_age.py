# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: restore_drill_age
short_description: Says how old the last restore drill is that passed
version_added: 0.1.0
author:
  - The ops.runbook authors (@ops-runbook)
description:
  - Reads the results that the store keeps, or those that the controller has kept, verifies their
    signatures on the controller, and sets C(__restore_drill_age) to findings. A result that no allowed signer has
    signed counts for nothing, and is named.
  - The finding is unknown where there is no result, a warning where the last one that passed is older than promised,
    and critical where it is twice as old or a newer one has failed.
options:
  store:
    description: The host that keeps the results. Where it is not of this run, nothing is said.
    type: str
    default: ""
  kept_by:
    description:
      - Whose results are read. Those of the V(store) count wherever the drill was started; those of the V(controller)
        cost no round trip.
    type: str
    choices: [store, controller]
    default: store
  folder:
    description: Folder of the results on the store. Needed for O(kept_by=store).
    type: path
  host:
    description:
      - With O(kept_by=controller), the host that backups are restored on for a proof. Without it and without results,
        nothing is said.
    type: str
    default: ""
  every:
    description: How often a drill is promised, such as V(7d). Empty with O(kept_by=controller) - nothing is said.
    type: str
    required: true
  allowed_signers:
    description: Who may have signed, a file on the controller for ssh-keygen. Empty - signatures are not asked for.
    type: str
    default: ""
extends_documentation_fragment:
  - ops.runbook.changes_nothing
"""

EXAMPLES = r"""
- name: Say how old the last restore drill is
  ops.runbook.restore_drill_age:
    store: store-1.example.com
    folder: /var/lib/restore-drills
    every: 7d
  run_once: true
"""

RETURN = r""" # """
