# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: configuration_plan
short_description: Finds out what of the managed configuration differs on every host, and whether it may be installed
version_added: 0.1.0
author:
  - The ops.runbook authors (@ops-runbook)
description:
  - Merges what C(all), every group, each host, the play and C(--extra-vars) say in C(managed_files),
    C(managed_sysctl) and C(managed_services). Contributions add up; entries of the same name
    are merged, and V(false) takes an entry out.
  - Renders all templates on the controller, and asks all hosts of the play at once, in one round trip, what differs.
  - Each host checks its candidates in their place, in a view of its file system that only the validators have.
    Nothing is written on a host.
  - Anything wrong, on any host, refuses the run with one message, before a host is changed.
  - For the role C(configuration_changes), whose other actions read what it registers.
options:
  mode:
    description:
      - V(apply) - what the inventory says.
      - V(restore) - what a recorded version was.
      - V(drift) - what the inventory says; differences, errors and unreachable hosts are reported, and refuse nothing.
    type: str
    choices: [apply, restore, drift]
    default: apply
  version:
    description: With O(mode=restore), the id of a recorded version, V(previous) or V(origin).
    type: str
    default: ""
  canaries:
    description: Hosts that are changed first.
    type: list
    elements: str
    default: []
  batches:
    description: Sizes of the batches, as numbers or percentages of the hosts. The last one repeats.
    type: list
    elements: str
    default: ["1", "50%"]
  keep_versions:
    description: How many versions each host keeps.
    type: int
    default: 50
  start_unhealthy:
    description: Change hosts too that are not healthy before. Restores and hosts of an interrupted change always do.
    type: bool
    default: false
extends_documentation_fragment:
  - ops.runbook.changes_nothing
"""

EXAMPLES = r"""
- name: Find out what differs
  ops.runbook.configuration_plan:
    canaries: [app1]
  run_once: true
"""

RETURN = r"""
hosts:
  description: Hosts on which something has to be changed, canaries first.
  type: list
  elements: str
  returned: success
  sample: [app1, app2]
refused:
  description: Whether the run was refused for what is wrong with the configuration.
  type: bool
  returned: failure
  sample: true
"""
