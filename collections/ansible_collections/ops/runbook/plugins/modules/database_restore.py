#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One step of a database's restore in place."""

from __future__ import annotations

DOCUMENTATION = r"""
module: database_restore
short_description: One step of a database's restore in place
version_added: 0.1.0
author:
  - The ops.runbook authors (@ops-runbook)
description:
  - Each step goes on from wherever an earlier run stopped; one that is done already changes nothing.
  - The database that is replaced is moved aside. Until V(conclude), V(rollback) brings it back, and nothing of the
    restored one was archived.
options:
  step:
    description:
      - V(restore) - stop the server, move its data aside, fetch the backup in its place.
      - V(verify) - recover to the target, and read every row and page while no client reaches the server.
      - V(open) - let clients in, and ask the application.
      - V(conclude) - archive again; from here on the restore stays.
      - V(rollback) - bring the former database back.
      - V(follow) - make a standby a copy of the restored primary.
    type: str
    choices: [restore, verify, open, conclude, rollback, follow]
    required: true
  cluster:
    description: The server, as the inspection found it.
    type: dict
    required: true
  job:
    description: What the plan says about this host.
    type: dict
    required: true
attributes:
  check_mode:
    description: Says what would be done, and does nothing.
    support: full
"""

EXAMPLES = r"""
- name: Fetch the backup
  ops.runbook.database_restore:
    step: restore
    cluster: "{{ __database_restore_plan.cluster }}"
    job: "{{ __database_restore_plan.job }}"
"""

RETURN = r"""
name:
  description: The data directory.
  type: str
  returned: always
  sample: /var/lib/postgresql/15/main
state:
  description: How far the restore has come, with the times of its steps and the rows of every table.
  type: dict
  returned: always
seconds:
  description: How long each part took.
  type: dict
  returned: always
took:
  description: How long this step took, in seconds.
  type: float
  returned: outside check mode
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.ops.runbook.plugins.module_utils.database_restore import (
    Restore,
    RestoreError,
    Server,
    follow,
    following,
    times,
    under_lock,
)


def main() -> None:
    """Do the step, or say that it would be done."""
    module = AnsibleModule(
        argument_spec={
            "step": {
                "type": "str",
                "choices": ["restore", "verify", "open", "conclude", "rollback", "follow"],
                "required": True,
            },
            "cluster": {"type": "dict", "required": True},
            "job": {"type": "dict", "required": True},
        },
        supports_check_mode=True,
    )
    step, job, name = module.params["step"], module.params["job"], module.params["cluster"]["data"]
    server = Server(module.run_command, module.params["cluster"])
    if module.check_mode:
        pending = not following(server, job) if step == "follow" and not job.get("always") else True
        module.exit_json(changed=pending, name=name, state={}, seconds={})
    began = time.monotonic()
    with under_lock() as state:
        try:
            changed = follow(server, job) if step == "follow" else getattr(Restore(server, state, job), step)()
        except (RestoreError, OSError) as error:
            module.fail_json(msg=f"{step}: {error}", name=name, state=state.data, seconds=times(state.data))
        took = round(time.monotonic() - began, 1)
        module.exit_json(changed=changed, name=name, state=state.data, seconds=times(state.data), took=took)


if __name__ == "__main__":
    main()
