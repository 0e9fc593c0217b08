# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: evidence_store
short_description: Seals evidence on a store, verifies it, holds it, deletes it when it is due, and exports it
version_added: 0.1.0
author:
  - The ops.runbook authors (@ops-runbook)
description:
  - Everything that is sealed is a leaf of one Merkle tree (RFC 6962). Each seal adds items, and has a manifest and a
    checkpoint, which is signed with a key of the controller, and stamped by an authority (RFC 3161).
  - The store's host keeps files and says what is there. The controller computes, signs and judges, and compares with
    the checkpoints in its own run records.
  - For the role C(evidence_store), which explains the options.
options:
  operation:
    description:
      - V(plan) - what a seal would add. V(seal) - add it. V(discard) - forget what was received and not sealed.
      - V(report) - findings and tables of what was sealed. V(verify) - the same of a verification.
      - V(hold), V(release) - place and end a legal hold. V(due), V(delete) - what is past its retention, and delete it.
      - V(export) - write a package that others can verify. V(replicate) - take new seals and items into the replica.
      - V(restoration) - what is damaged and where a whole copy is. V(restore) - bring it back and record that.
      - V(put_back) - undo what this run has restored.
    type: str
    choices:
      - plan
      - seal
      - discard
      - replicate
      - report
      - verify
      - hold
      - release
      - due
      - delete
      - export
      - restoration
      - restore
      - put_back
    required: true
  store:
    description: Host, root, keys and retention.
    type: dict
    required: true
  options:
    description: What the operation needs besides.
    type: dict
    default: {}
attributes:
  check_mode:
    description: Seals and deletes nothing, and predicts what it would.
    support: full
  diff_mode:
    description: Shows the items that are sealed or deleted.
    support: full
"""

EXAMPLES = r"""
- name: Seal what is new
  ops.runbook.evidence_store:
    operation: seal
    store: "{{ __evidence_store_options }}"
    options: {hosts: "{{ ansible_play_hosts_all }}", directories: {}}
"""

RETURN = r"""
checkpoint:
  description: The checkpoint of a new seal, which goes to the run record.
  type: str
  returned: if something was sealed
sealed:
  description: How many items were sealed.
  type: int
  returned: if something was sealed
restored:
  description: How many files were brought back.
  type: int
  returned: if something was brought back
evidence_read:
  description: Items whose content was fetched from the store, with the SHA-256 of what came, for the record of the run.
  type: list
  elements: dict
  returned: O(operation=verify)
discarded:
  description: How many items were received and not sealed.
  type: int
  returned: O(operation=discard)
"""
