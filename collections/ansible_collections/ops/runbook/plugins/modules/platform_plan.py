#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: platform_plan
short_description: Asks machines and store whether a whole platform can be rebuilt, and from what, or refuses
version_added: 0.1.0
author:
  - The ops.runbook authors (@ops-runbook)
description:
  - One round trip to all machines and the store. Nothing is changed.
  - Sets C(platform_rebuild_queue) (the hosts to work on), C(platform_rebuild_locked) and the plan.
  - For the role C(platform_rebuild), whose variables the options are. What a single host is rebuilt with are its
    variables of the role C(host_rebuild).
options:
  hosts:
    description: Inventory names of the hosts to rebuild.
    type: list
    elements: str
    required: true
  databases:
    description: Inventory names of the hosts of the database.
    type: list
    elements: str
    default: []
  entrances:
    description: Hosts through which clients come in. They are started last.
    type: list
    elements: str
    default: []
  primary:
    description: The host of the database that becomes the primary. Empty - the one that is it already, or the first.
    type: str
    default: ""
  store:
    description: Inventory name of the host that has the backups.
    type: str
    required: true
  stanza:
    description: pgBackRest's name of the database.
    type: str
    required: true
  version:
    description: Major version of PostgreSQL.
    type: str
    required: true
  cluster:
    description: Name of the cluster, as pg_lsclusters lists it.
    type: str
    default: main
  port:
    description: Port of PostgreSQL.
    type: str
    default: "5432"
  repositories:
    description: Folder of the repositories of files on the store.
    type: path
    default: /var/lib/restic
  passphrases:
    description: Folder on the store with a file for each repository's passphrase.
    type: path
    default: /etc/restic/passphrases
  queries:
    description: Queries (C(database), C(query)) that have to succeed before clients are let in.
    type: list
    elements: dict
    default: []
  recovery_seconds:
    description: How long the recovery of the database may take, in seconds.
    type: int
    default: 14400
  rpo:
    description: How much data of the database may be lost, such as V(5m).
    type: str
    required: true
  lost_at:
    description: When the platform was lost, if that is known.
    type: str
    default: ""
extends_documentation_fragment:
  - ops.runbook.changes_nothing
"""

EXAMPLES = r"""
- name: Plan the rebuild of everything
  ops.runbook.platform_plan:
    hosts: [db1, db2, app1, app2, proxy1]
    databases: [db1, db2]
    entrances: [proxy1]
    store: store1
    stanza: evidence
    version: "15"
    rpo: 5m
  run_once: true
"""

RETURN = r"""
refused:
  description: Whether the run was refused.
  type: bool
  returned: failure
  sample: true
"""
