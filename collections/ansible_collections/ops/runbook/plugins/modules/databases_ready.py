#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Waits until a host's databases may be restarted."""

from __future__ import annotations

DOCUMENTATION = r"""
module: databases_ready
short_description: Waits until a host's databases may be restarted
version_added: 0.1.0
author:
  - The ops.runbook authors (@ops-runbook)
description:
  - Asks every PostgreSQL server of the host how far replication is behind and how old the oldest transaction is, and
    fails if either stays too large. A host without PostgreSQL is always ready. Changes nothing.
options:
  lag:
    description: MiB that replication may be behind.
    type: float
    default: 10
  transaction_age:
    description: Seconds that a transaction may be old.
    type: float
    default: 15
  wait:
    description: Seconds to wait for that.
    type: int
    default: 120
attributes:
  check_mode:
    description: Only a warning where the database is not ready, since it may be when the change is made.
    support: full
"""

EXAMPLES = r"""
- name: Wait until the databases are ready
  ops.runbook.databases_ready:
    lag: 10
    transaction_age: 15
"""

RETURN = r"""
databases:
  description: The servers' states.
  type: list
  elements: dict
  returned: always
  sample: [{cluster: 15/main, role: primary, standbys: 1, lag_bytes: 0, transaction_seconds: 0}]
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.ops.runbook.plugins.module_utils.database_state import busy, databases


def main() -> None:
    """Ask until the answer is good or the time is over."""
    module = AnsibleModule(
        argument_spec={
            "lag": {"type": "float", "default": 10},
            "transaction_age": {"type": "float", "default": 15},
            "wait": {"type": "int", "default": 120},
        },
        supports_check_mode=True,
    )
    deadline = time.monotonic() + module.params["wait"]
    while True:
        states = databases()
        reasons = busy(states, module.params["lag"] * 2**20, module.params["transaction_age"])
        if not reasons or time.monotonic() >= deadline:
            break
        time.sleep(2)
    if reasons and not module.check_mode:
        module.fail_json(msg="; ".join(reasons), databases=states)
    for reason in reasons:
        module.warn(f"This batch would not begin now: {reason}")
    module.exit_json(changed=False, databases=states)


if __name__ == "__main__":
    main()
