#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Drains a server of a proxy's upstream, or makes it active again."""

from __future__ import annotations

DOCUMENTATION = r"""
module: upstream_server
short_description: Drains a server of a proxy's upstream, or makes it active again
version_added: 0.1.0
author:
  - The ops.runbook authors (@ops-runbook)
description:
  - Runs on the proxy. It asks for the states of the upstream's servers and changes one only where it differs.
  - It knows no proxy software; the caller gives the commands.
options:
  server:
    description: The server's name in the upstream.
    type: str
    required: true
  state:
    description: What the server has to be.
    type: str
    choices: [active, drained]
    required: true
  state_command:
    description: Command that prints a JSON object, server to V(active) or V(drained).
    type: list
    elements: str
    required: true
  change_command:
    description: Command that gives the server the state, and ends when every new request follows it.
    type: list
    elements: str
    required: true
  assume_changed:
    description: Predict a change whatever the state is. For check mode, where an earlier task only predicted one.
    type: bool
    default: false
attributes:
  check_mode:
    description: Asks for the states and predicts.
    support: full
  diff_mode:
    description: Shows the state before and after.
    support: full
"""

EXAMPLES = r"""
- name: Drain app2
  ops.runbook.upstream_server:
    server: app2
    state: drained
    state_command: [upstream-state, evidence-api]
    change_command: [upstream-state, evidence-api, app2, drained]
  delegate_to: proxy1
"""

RETURN = r"""
states:
  description: The states of all servers afterwards.
  type: dict
  returned: success
  sample: {app1: active, app2: drained}
"""

import json
from typing import Any

from ansible.module_utils.basic import AnsibleModule

#: Of the two states.
OTHER = {"active": "drained", "drained": "active"}


def read_states(module: AnsibleModule, command: list[str]) -> dict[str, Any]:
    """The states as the proxy has them."""
    code, out, err = module.run_command(command)
    if code != 0:
        module.fail_json(msg=f"{' '.join(command)} ended with {code}: {(err or out).strip()}")
    try:
        states = json.loads(out)
    except ValueError:
        states = None
    if not isinstance(states, dict):
        module.fail_json(msg=f"{' '.join(command)} printed no JSON object (traffic_state_command): {out.strip()[:300]}")
    return dict(states)


def main() -> None:
    """Compare, and change what differs."""
    module = AnsibleModule(
        argument_spec={
            "server": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["active", "drained"], "required": True},
            "state_command": {"type": "list", "elements": "str", "required": True},
            "change_command": {"type": "list", "elements": "str", "required": True},
            "assume_changed": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    server, wanted = module.params["server"], module.params["state"]
    states = read_states(module, module.params["state_command"])
    if server not in states:
        module.fail_json(msg=f"the proxy knows no server {server!r} (traffic_server), only {', '.join(sorted(states))}")
    changed = states[server] != wanted or module.params["assume_changed"]
    before = OTHER[wanted] if changed else wanted
    if states[server] != wanted and not module.check_mode:
        code, out, err = module.run_command(module.params["change_command"])
        if code != 0:
            module.fail_json(msg=f"{server} is not {wanted}: {(err or out).strip()}")
        states = read_states(module, module.params["state_command"])
        if states.get(server) != wanted:
            module.fail_json(
                msg=f"{server} is still {states.get(server)} after {' '.join(module.params['change_command'])}"
            )
    module.exit_json(
        changed=changed, states=states, diff={"before": f"{server} {before}\n", "after": f"{server} {wanted}\n"}
    )


if __name__ == "__main__":
    main()
