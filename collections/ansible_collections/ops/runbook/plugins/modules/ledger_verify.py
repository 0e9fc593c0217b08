#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Verifies a ledger of run records."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ledger_verify
short_description: Verifies a ledger of run records
description:
  - Reads the ledger and fails when an entry was edited, deleted, inserted or moved, when the newest entries are
    missing, or when the checkpoint does not confirm what is there.
  - Works offline, on any host that holds a copy of C(ledger.jsonl) and C(head.json).
  - A ledger that is absent or empty is not verified either.
version_added: 0.1.0
author: The ops.runbook authors (@ops-runbook)
options:
  path:
    description:
      - Directory that holds the ledger - C(ledger) below the state directory of the controller.
    type: path
    required: true
  allowed_signers:
    description:
      - File of allowed signers as C(ssh-keygen) reads it. The newest checkpoint must be signed by one of them.
      - Without it no signature is checked.
    type: path
  every_signature:
    description:
      - Check each signature in the history too, which takes some milliseconds a signature.
      - Entries without one are refused - they may have been written anew before somebody signed again.
    type: bool
    default: false
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed when in diff mode.
    support: none
"""

EXAMPLES = r"""
- name: Verify the controller's ledger
  ops.runbook.ledger_verify:
    path: ~/.local/state/ops-runbook/ledger
  delegate_to: localhost

- name: Verify a copy, and who signed it
  ops.runbook.ledger_verify:
    path: /srv/evidence/ledger
    allowed_signers: /etc/ops-runbook/allowed_signers
"""

RETURN = r"""
entries:
  description: How many entries the ledger has, or has up to the first bad one.
  type: int
  returned: always
  sample: 1024
head:
  description: Hash of the newest entry.
  type: str
  returned: always
  sample: 9d23fabb1147c131eb438fa7531d6e30f6f0236c84045beb4d2b3f6d95622b67
signed_by:
  description: Principal who signed the newest checkpoint; empty where no allowed signers were given.
  type: str
  returned: always
  sample: operator@example.org
problem:
  description: What is wrong.
  type: dict
  returned: failure
  contains:
    kind:
      description: What was done to the ledger, such as V(edited), V(deleted), V(truncated) or V(bad signature).
      type: str
    line:
      description: Line of the first bad entry, from 1; 0 where the problem is not one line's.
      type: int
    seq:
      description: Sequence number of the first bad entry; 0 where there is none.
      type: int
    reason:
      description: The same in words.
      type: str
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.ops.runbook.plugins.module_utils.ledger_entry import LedgerError
from ansible_collections.ops.runbook.plugins.module_utils.ledger_verifier import verify


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "allowed_signers": {"type": "path"},
            "every_signature": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    signers = module.params["allowed_signers"]
    try:
        found = verify(
            Path(module.params["path"]), Path(signers) if signers else None, module.params["every_signature"]
        )
    except (LedgerError, OSError) as error:
        module.fail_json(msg=f"The ledger cannot be verified: {error}", entries=0, head="", signed_by="")
    result = {"entries": found.entries, "head": found.head, "signed_by": found.signed_by}
    if found.problem:
        module.fail_json(msg=f"The {found}", problem=vars(found.problem), **result)
    module.exit_json(changed=False, msg=str(found), **result)


if __name__ == "__main__":
    main()
