#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Frees the lock that a run has left on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: change_lock
short_description: Frees the lock that a run has left on a host
version_added: 0.1.0
author:
  - The ops.runbook authors (@ops-runbook)
description:
  - Removes the lock of one run. A lock that another run has taken meanwhile stays, and the task fails.
  - Procedures take and free locks with M(ops.runbook.change_guard).
options:
  run_id:
    description: The run whose lock is to go, as M(ops.runbook.change_lock_holders) finds it. Empty frees nothing.
    type: str
    required: true
  path:
    description: The lock's file.
    type: path
    default: /var/lib/ops-runbook/change.lock
attributes:
  check_mode:
    description: Says what it would free, and touches nothing.
    support: full
  diff_mode:
    description: Shows the lock that is freed.
    support: full
"""

EXAMPLES = r"""
- name: Free the host
  ops.runbook.change_lock:
    run_id: 99779edb0bb84e28a20a8f35a5e71663
"""

RETURN = r"""
lock:
  description: The lock that was found.
  type: dict
  returned: if there was one
"""

import json
from datetime import UTC, datetime
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.ops.runbook.plugins.module_utils.host_lock import HostLock, LockError, release, show


def main() -> None:
    """Free the host."""
    module = AnsibleModule(
        argument_spec={
            "run_id": {"type": "str", "required": True},
            "path": {"type": "path", "default": "/var/lib/ops-runbook/change.lock"},
        },
        supports_check_mode=True,
    )
    lock, run_id, now = HostLock(module.params["path"]), module.params["run_id"], datetime.now(UTC)
    try:
        look = module.check_mode or not run_id
        answer = show(lock, {}, now) if look else release(lock, {"run_id": run_id}, now)
    except (OSError, LockError) as error:
        module.fail_json(msg=f"The lock cannot be freed: {error}")
    found = answer["lock"]
    if not run_id or found is None:
        module.exit_json(changed=False)
    if found["run_id"] != run_id:
        module.fail_json(msg="Another run has locked the host meanwhile: look again.", lock=found)
    module.exit_json(changed=True, lock=found, diff=_diff(lock, found))


def _diff(lock: HostLock, found: Any) -> Any:
    path = str(lock.path)
    before = json.dumps(found, indent=1, sort_keys=True) + "\n"
    return {"before_header": path, "after_header": path, "before": before, "after": ""}


if __name__ == "__main__":
    main()
