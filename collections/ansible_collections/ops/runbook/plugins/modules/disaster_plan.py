#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: disaster_plan
short_description: Asks all database hosts what they are, and plans who becomes the primary, or refuses
version_added: 0.1.0
author:
  - The ops.runbook authors (@ops-runbook)
description:
  - One round trip to the database and application hosts. Nothing is changed.
  - Sets C(disaster_recovery_touched) (hosts to lock) and C(disaster_recovery_queue) (hosts to work on) for all hosts.
  - For the role C(disaster_recovery), whose variables the options are.
options:
  mode:
    description: What is asked for. V(way_back) asks after a failure whether the former primary may serve again.
    type: str
    choices: [prepare, switchover, failover, failback, way_back]
    required: true
  databases:
    description: Inventory names of the database hosts.
    type: list
    elements: str
    required: true
  applications:
    description: Inventory names of the hosts that write to the database.
    type: list
    elements: str
    default: []
  mode_file:
    description: The file that makes the application read-only.
    type: str
    default: ""
  probe_from:
    description: The host from which a write is tried afterwards.
    type: str
    default: ""
  version:
    description: Major version of the cluster.
    type: str
    required: true
  cluster:
    description: Name of the cluster.
    type: str
    default: main
  primary:
    description: The host that is to be the primary.
    type: str
    default: ""
  standby:
    description: The host that is to be a standby.
    type: str
    default: ""
  override:
    description: How the operator knows that a host that cannot be reached does not accept writes.
    type: str
    default: ""
  fence_command:
    description: Command on the controller that cuts the power of C({host}).
    type: list
    elements: str
    default: []
  fence_proof:
    description: Command on the controller that ends with 0 when C({host}) is off.
    type: list
    elements: str
    default: []
  lag:
    description: MiB that replication may be behind before a switchover.
    type: float
    default: 10
  transaction_age:
    description: Seconds that a transaction may be old before a switchover.
    type: float
    default: 15
  objectives:
    description: The C(rto) and C(rpo) against which the run is measured, with their units. A plan needs both.
    type: dict
    default: {}
extends_documentation_fragment:
  - ops.runbook.changes_nothing
"""

EXAMPLES = r"""
- name: Plan the switchover to db2
  ops.runbook.disaster_plan:
    mode: switchover
    databases: [db1, db2]
    version: "15"
    primary: db2
    objectives: {rto: 4h, rpo: 15m}
  run_once: true
"""

RETURN = r"""
refused:
  description: Whether the run was refused.
  type: bool
  returned: failure
  sample: true
"""
