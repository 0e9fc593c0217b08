#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: disaster_fence
short_description: Cuts the power of hosts that cannot be reached, and has it proven
version_added: 0.1.0
author:
  - The ops.runbook authors (@ops-runbook)
description:
  - Runs a command on the controller for each host, and then another one until it ends with 0.
options:
  hosts:
    description: Inventory names of the hosts.
    type: list
    elements: str
    required: true
  command:
    description: Cuts the power. C({host}) in it is the host.
    type: list
    elements: str
    required: true
  proof:
    description: Ends with 0 when the host is off. C({host}) in it is the host.
    type: list
    elements: str
    required: true
  timeout:
    description: Seconds that each of both may take.
    type: float
    default: 60
attributes:
  check_mode:
    description: Runs nothing and predicts.
    support: full
"""

EXAMPLES = r"""
- name: Cut the power of db1
  ops.runbook.disaster_fence:
    hosts: [db1]
    command: [ipmitool, -H, "{host}-bmc", chassis, power, "off"]
    proof: [sh, -c, "ipmitool -H {host}-bmc chassis power status | grep -q off"]
"""

RETURN = r"""
began:
  description: When it began, in seconds of the epoch.
  type: float
  returned: success
  sample: 1795467000.1
"""
