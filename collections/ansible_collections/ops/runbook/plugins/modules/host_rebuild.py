#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One step of a host's rebuild on a bare machine."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_rebuild
short_description: One step of a host's rebuild on a bare machine
version_added: 0.1.0
author:
  - The ops.runbook authors (@ops-runbook)
description:
  - Makes a bare Debian machine what the host was, from its file backups. A step that is done is not done again.
options:
  step:
    description:
      - V(fetch) - the snapshots, beside everything.
      - V(accounts) - users and groups with their former numbers.
      - V(packages) - what was installed, without starting it.
      - V(files) - configuration, certificates, units and programs.
      - V(release) - the application with its virtual environments.
      - V(start) - what starts with the machine.
      - V(finish) - write down that the rebuild is whole.
      - V(close) - stop the services that V(start) has started, unless the rebuild is whole. They are started again by
        the next run.
    type: str
    choices: [fetch, accounts, packages, files, release, start, finish, close]
    required: true
  job:
    description: What the plan says about this host.
    type: dict
    required: true
  credentials:
    description: Name of a set to C(repository) and C(password) of the repository that its snapshot is in.
    type: dict
    default: {}
  authority:
    description: Certificate of the authority that the store's certificate is from, in PEM format.
    type: str
    default: ""
attributes:
  check_mode:
    description: Says whether the step would be done, and does nothing.
    support: full
"""

EXAMPLES = r"""
- name: Put the configuration back
  ops.runbook.host_rebuild:
    step: files
    job: "{{ __host_rebuild_plan.job }}"
"""

RETURN = r"""
name:
  description: The step.
  type: str
  returned: always
  sample: files
release:
  description: The release that ran on the host.
  type: str
  returned: always
state:
  description: How far the rebuild has come, C(begun) and C(finished) as seconds since 1970, and what each step took.
  type: dict
  returned: always
seconds:
  description: From the beginning of the rebuild, an earlier run's included, to now.
  type: float
  returned: always
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.ops.runbook.plugins.module_utils.host_rebuild import (
    STEPS,
    HostRebuild,
    RebuildError,
    under_lock,
)


def _known(state: dict[str, Any]) -> dict[str, Any]:
    return {key: state[key] for key in ("begun", "took", "finished") if key in state}


def main() -> None:
    """Do the step, or say that it would be done."""
    module = AnsibleModule(
        argument_spec={
            "step": {"type": "str", "choices": [*STEPS, "close"], "required": True},
            "job": {"type": "dict", "required": True},
            "credentials": {"type": "dict", "default": {}, "no_log": True},
            "authority": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    step, job = module.params["step"], module.params["job"]
    if module.check_mode:
        pending = step != "close" and HostRebuild(module.run_command, job).pending(step)
        module.exit_json(changed=pending, name=step, release="", state={}, seconds=0.0)
    try:
        with under_lock():
            rebuild = HostRebuild(module.run_command, job)
            pending = rebuild.close() if step == "close" else rebuild.pending(step)
            if pending and step != "close":
                rebuild.do(step, module.params["credentials"], module.params["authority"])
    except (RebuildError, OSError) as error:
        module.fail_json(msg=f"{step}: {error}", name=step)
    seconds = round(time.time() - rebuild.state["begun"], 1)
    module.exit_json(
        changed=pending, name=step, release=rebuild.release(), state=_known(rebuild.state), seconds=seconds
    )


if __name__ == "__main__":
    main()
