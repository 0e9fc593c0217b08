#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Restores one database or some tables beside those that serve."""

from __future__ import annotations

DOCUMENTATION = r"""
module: database_beside
short_description: Restores one database or some tables beside those that serve
version_added: 0.1.0
author:
  - The ops.runbook authors (@ops-runbook)
description:
  - Restores into a folder that nobody reaches, copies what is wanted into a new database, compares the rows, and gives
    it its name when it is whole. No database that serves is changed.
options:
  step:
    description:
      - V(restore) - all of it.
      - V(rollback) - remove what a restore that failed has left.
    type: str
    choices: [restore, rollback]
    required: true
  cluster:
    description: The server, as the inspection found it.
    type: dict
    required: true
  job:
    description: What the plan says - C(database), C(tables), C(into), C(estimate), C(stanza).
    type: dict
    required: true
  folder:
    description: Where it restores into.
    type: path
    default: /var/lib/postgresql/ops-runbook-beside
attributes:
  check_mode:
    description: Says that it would be restored, and does nothing.
    support: full
"""

EXAMPLES = r"""
- name: Restore a table beside the one that serves
  ops.runbook.database_beside:
    step: restore
    cluster: "{{ __database_restore_plan.clusters[inventory_hostname] }}"
    job: "{{ __database_restore_plan.job }}"
"""

RETURN = r"""
name:
  description: The new database.
  type: str
  returned: always
rows:
  description: Table to its number of rows.
  type: dict
  returned: O(step=restore)
seconds:
  description: How long fetching and recovery took.
  type: dict
  returned: O(step=restore)
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.ops.runbook.plugins.module_utils.database_beside import beside
from ansible_collections.ops.runbook.plugins.module_utils.database_restore import RestoreError, Server, under_lock


def main() -> None:
    """Do the step."""
    module = AnsibleModule(
        argument_spec={
            "step": {"type": "str", "choices": ["restore", "rollback"], "required": True},
            "cluster": {"type": "dict", "required": True},
            "job": {"type": "dict", "required": True},
            "folder": {"type": "path", "default": "/var/lib/postgresql/ops-runbook-beside"},
        },
        supports_check_mode=True,
    )
    job = module.params["job"]
    if module.check_mode:
        module.exit_json(changed=True, name=job["into"], rows={}, seconds={})
    server = Server(module.run_command, module.params["cluster"])
    work = beside(server, Path(module.params["folder"]), job, module.run_command)
    with under_lock():
        try:
            if module.params["step"] == "rollback":
                module.exit_json(changed=work.discard(), name=job["into"])
            module.exit_json(changed=True, name=job["into"], **work.restore())
        except (RestoreError, OSError) as error:
            module.fail_json(msg=f"{module.params['step']}: {error}", name=job["into"])


if __name__ == "__main__":
    main()
