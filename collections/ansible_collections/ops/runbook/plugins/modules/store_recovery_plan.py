#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: store_recovery_plan
short_description: Asks a store what it still has, and refuses to make one anew that is not lost
version_added: 0.1.0
author:
  - The ops.runbook authors (@ops-runbook)
description:
  - One round trip. A recovery that is under way on the store goes on, and its time counts from its first run.
  - For the role C(store_recovery).
options:
  store:
    description: Inventory name of the store's host.
    type: str
    required: true
  database:
    description: Folder of the repository of the database's backups.
    type: str
    required: true
  stanza:
    description: Name under which pgBackRest keeps the database.
    type: str
    required: true
  files:
    description: Folder of the repositories of files.
    type: str
    required: true
  evidence:
    description: Folder of the evidence.
    type: str
    required: true
  marker:
    description: File that says since when a recovery is under way.
    type: str
    required: true
  anyway:
    description: Why a store that is not lost is completed all the same, in at least three words.
    type: str
    default: ""
  objectives:
    description: The tier's C(rto) and C(rpo), as in C(objectives_tiers).
    type: dict
    required: true
attributes:
  check_mode:
    description: Looks only.
    support: full
"""

EXAMPLES = r"""
- name: Ask the store what it has
  ops.runbook.store_recovery_plan:
    store: store1
    database: /var/lib/pgbackrest
    stanza: evidence
    files: /var/lib/restic
    evidence: /var/lib/evidence
    marker: /var/lib/ops-runbook/store-recovery
    objectives: {rto: 4h, rpo: 1d}
  run_once: true
"""

RETURN = r"""
examined:
  description: The store.
  type: list
  elements: str
  returned: success
"""
