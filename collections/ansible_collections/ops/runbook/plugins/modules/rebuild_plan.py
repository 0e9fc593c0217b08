#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rebuild_plan
short_description: Asks machine and store whether a host can be rebuilt, and from which snapshots, or refuses
version_added: 0.1.0
author:
  - The ops.runbook authors (@ops-runbook)
description:
  - One round trip to the machine and the store. Nothing is changed.
  - Sets C(host_rebuild_queue) (the hosts to work on), C(host_rebuild_locked) (with their proxies) and the plan.
  - For the role C(host_rebuild), whose variables the options are.
options:
  host:
    description: Inventory name of the host that was lost.
    type: str
    required: true
  known:
    description: The hosts that can be rebuilt.
    type: list
    elements: str
    required: true
  store:
    description: Inventory name of the host that keeps the repositories.
    type: str
    required: true
  port:
    description: Port of the store's server.
    type: int
    default: 8000
  repositories:
    description: Folder of the repositories on the store.
    type: path
    default: /var/lib/restic
  passphrases:
    description: Folder on the store with a file for each repository's passphrase.
    type: path
    default: /etc/restic/passphrases
  peers:
    description: Hosts with the same application, whose backup has the release where the host's own lacks it.
    type: list
    elements: str
    default: []
  proxies:
    description: Hosts that send requests to the host.
    type: list
    elements: str
    default: []
  root:
    description: Folder of the application. Empty - the host has none.
    type: str
    default: ""
  services:
    description: Units that have to run afterwards. A machine on which one runs is not bare.
    type: list
    elements: str
    default: []
  keep:
    description: Files that stay as the machine has them, as patterns.
    type: list
    elements: str
    default: []
  replace:
    description: Whether a machine that is not bare is overwritten.
    type: bool
    default: false
  snapshots:
    description: Set of files to the id of the snapshot to take. By default the newest, by when it came in.
    type: dict
    default: {}
  rto:
    description: Promised time of the recovery, with its unit.
    type: str
    required: true
  rpo:
    description: Promised age of the configuration that comes back, with its unit.
    type: str
    required: true
extends_documentation_fragment:
  - ops.runbook.changes_nothing
"""

EXAMPLES = r"""
- name: Plan the rebuild of app2
  ops.runbook.rebuild_plan:
    host: app2
    known: [app1, app2]
    store: store1
    rto: 30m
    rpo: 1d
  run_once: true
"""

RETURN = r"""
refused:
  description: Whether the run was refused.
  type: bool
  returned: failure
  sample: true
"""
