#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Stops a database cluster so that nothing starts it again, or lets it start again."""

from __future__ import annotations

DOCUMENTATION = r"""
module: database_fence
short_description: Stops a database cluster so that nothing starts it again, or takes that back
version_added: 0.1.0
author:
  - The ops.runbook authors (@ops-runbook)
description:
  - Runs on the database host. First the cluster is disabled in its C(start.conf), which pg_ctlcluster, systemd and a
    boot obey; then its server is stopped, and it is proven that no server process is left.
  - Not fenced again means enabled and running as what it was.
options:
  version:
    description: Major version of the cluster.
    type: str
    required: true
  cluster:
    description: Name of the cluster.
    type: str
    default: main
  state:
    description: Whether the cluster has to be fenced.
    type: str
    choices: [fenced, free]
    default: fenced
  reason:
    description: Why; it stands in the file that keeps the cluster from starting.
    type: str
    default: ""
  timeout:
    description: Seconds that a clean stop may take, before the server is stopped without one.
    type: float
    default: 60
attributes:
  check_mode:
    description: Predicts.
    support: full
"""

EXAMPLES = r"""
- name: Fence the old primary
  ops.runbook.database_fence:
    version: "15"
    reason: db2 becomes the primary
"""

RETURN = r"""
began:
  description: When the stop began, in seconds of the epoch.
  type: float
  returned: success
  sample: 1795467000.1
checkpoint:
  description: Position of the last checkpoint of the stopped cluster. A standby that has it has everything.
  type: str
  returned: when it is stopped
  sample: 0/50000D8
clean:
  description: Whether the server was shut down cleanly.
  type: bool
  returned: when it is stopped
  sample: true
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.ops.runbook.plugins.module_utils.database_cluster import Cluster, ClusterError


def fence(cluster: Cluster, module: AnsibleModule) -> dict[str, Any]:
    """Disable, stop, prove."""
    began = time.time()
    changed = cluster.runs or not cluster.fenced
    if module.check_mode:
        return {"changed": changed, "began": began}
    if cluster.runs and cluster.state()["role"] == "primary":
        # What is dirty is written while clients are still served: the stop is shorter by it.
        cluster.query("CHECKPOINT", timeout=module.params["timeout"])
        began = time.time()
    cluster.fence(module.params["reason"])
    cluster.stop(module.params["timeout"])
    state = cluster.state()
    return {
        "changed": changed,
        "began": began,
        "checkpoint": state.get("checkpoint", ""),
        "clean": bool(state.get("clean")),
    }


def free(cluster: Cluster, module: AnsibleModule) -> dict[str, Any]:
    """Enable and start."""
    changed = cluster.fenced or not cluster.runs
    if not module.check_mode:
        cluster.free()
        if not cluster.runs:
            cluster.start()
    return {"changed": changed, "began": time.time()}


def main() -> None:
    """Fence, or take it back."""
    module = AnsibleModule(
        argument_spec={
            "version": {"type": "str", "required": True},
            "cluster": {"type": "str", "default": "main"},
            "state": {"type": "str", "choices": ["fenced", "free"], "default": "fenced"},
            "reason": {"type": "str", "default": ""},
            "timeout": {"type": "float", "default": 60},
        },
        supports_check_mode=True,
    )
    try:
        cluster = Cluster(module.params["version"], module.params["cluster"])
        result = fence(cluster, module) if module.params["state"] == "fenced" else free(cluster, module)
    except ClusterError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
