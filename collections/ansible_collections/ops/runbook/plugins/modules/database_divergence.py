#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Counts what a stopped former primary has committed and the new one never received."""

from __future__ import annotations

DOCUMENTATION = r"""
module: database_divergence
short_description: Counts the commits of a stopped former primary that the new one never received
version_added: 0.1.0
author:
  - The ops.runbook authors (@ops-runbook)
description:
  - Runs on the host of the former primary, reads its write-ahead log beyond the fork, and changes nothing.
options:
  version:
    description: Major version of the cluster.
    type: str
    required: true
  cluster:
    description: Name of the cluster.
    type: str
    default: main
  history:
    description: The history of the primary's timeline, as M(ops.runbook.database_primary) returns it.
    type: str
    required: true
extends_documentation_fragment:
  - ops.runbook.changes_nothing
"""

EXAMPLES = r"""
- name: Count what was lost
  ops.runbook.database_divergence:
    version: "15"
    history: "1\t0/5000150\tno recovery target specified\n"
"""

RETURN = r"""
divergence:
  description: Number of commits beyond the fork, times of the first, the last and the last shared one.
  type: dict
  returned: success
  sample: {commits: 0, first: "", last: "", shared: "2026-11-23 21:00:00 UTC", fork: 0/5000150}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.ops.runbook.plugins.module_utils import database_divergence
from ansible_collections.ops.runbook.plugins.module_utils.database_cluster import Cluster, ClusterError


def main() -> None:
    """Count."""
    module = AnsibleModule(
        argument_spec={
            "version": {"type": "str", "required": True},
            "cluster": {"type": "str", "default": "main"},
            "history": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    try:
        cluster = Cluster(module.params["version"], module.params["cluster"])
        timeline = int(cluster.control()["Latest checkpoint's TimeLineID"])
        fork = database_divergence.fork(module.params["history"], timeline)
        found = database_divergence.read(cluster, timeline, fork)
    except ClusterError as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=False,
        divergence={
            "commits": found.commits,
            "first": found.first,
            "last": found.last,
            "shared": found.shared,
            "fork": fork,
        },
    )


if __name__ == "__main__":
    main()
