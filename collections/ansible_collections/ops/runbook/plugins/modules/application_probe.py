#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Waits until an application accepts a write, and says when it did."""

from __future__ import annotations

DOCUMENTATION = r"""
module: application_probe
short_description: Waits until an application answers as it should, and says when it did
version_added: 0.1.0
author:
  - The ops.runbook authors (@ops-runbook)
description:
  - Runs where clients come from, such as the proxy. Sends the requests in order, each again and again until it is
    answered as it should be. Those that write are sent again too, so they have to bear being accepted twice.
options:
  requests:
    description: The requests, in the form of C(application_release_requests).
    type: list
    elements: dict
    required: true
  token:
    description: Bearer token of the requests that ask for one.
    type: str
    default: ""
  timeout:
    description: Seconds that all of it may take.
    type: float
    default: 60
attributes:
  check_mode:
    description: Sends nothing.
    support: full
"""

EXAMPLES = r"""
- name: Write through the proxy
  ops.runbook.application_probe:
    requests:
      - {post: "https://evidence.example.com/evidence", token: true, send: {name: probe, content: probe}, status: 201}
    token: "{{ token }}"
"""

RETURN = r"""
accepted_at:
  description: When the last request was answered as it should be, in seconds of the epoch.
  type: float
  returned: success
  sample: 1795467003.9
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.ops.runbook.plugins.module_utils.application_service import PAUSE, ServiceError, ask, wrong

#: One attempt may take this long, in seconds.
ATTEMPT = 20.0


def main() -> None:
    """Ask until it is as it should be."""
    module = AnsibleModule(
        argument_spec={
            "requests": {"type": "list", "elements": "dict", "required": True},
            "token": {"type": "str", "default": "", "no_log": True},
            "timeout": {"type": "float", "default": 60},
        },
        supports_check_mode=True,
    )
    errors = wrong(module.params["requests"], "requests")
    if errors:
        module.fail_json(msg="; ".join(errors))
    if module.check_mode:
        module.exit_json(changed=False, accepted_at=0.0)
    deadline = time.monotonic() + module.params["timeout"]
    names: dict[str, str] = {}
    for request in module.params["requests"]:
        while True:
            try:
                names.update(ask(request, names, module.params["token"], ATTEMPT))
                break
            except ServiceError as error:
                if time.monotonic() > deadline:
                    module.fail_json(msg=str(error))
            time.sleep(5 * PAUSE)
    module.exit_json(changed=False, accepted_at=time.time())


if __name__ == "__main__":
    main()
