#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Saves the way back, updates packages, rolls back."""

from __future__ import annotations

DOCUMENTATION = r"""
module: package_updates
short_description: Updates packages with a way back
version_added: 0.1.0
author:
  - The ops.runbook authors (@ops-runbook)
description:
  - The steps of one update of a host. Each can be run again; what an interrupted run left is finished or rolled back.
  - While packages are installed their scripts restart no service. The services that they asked for are returned.
options:
  state:
    description:
      - V(saved) keeps the files of the installed versions, fetches the new ones, checks that there is room, and writes
        down the versions. It fails before anything is changed.
      - V(applied) installs exactly the packages given.
      - V(rolled_back) installs the versions that were written down.
      - V(closed) ends the update; there is no way back by V(rolled_back) any more. The files are kept.
    type: str
    choices: [saved, applied, rolled_back, closed]
    required: true
  packages:
    description: Packages with O(packages[].name), O(packages[].from) (empty for a new one) and O(packages[].to).
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the package.
        type: str
        required: true
      from:
        description: Installed version.
        type: str
        default: ""
      to:
        description: New version.
        type: str
        required: true
  run:
    description: Id of the run, written down with the versions.
    type: str
    default: ""
  timeout:
    description: Seconds that apt or dpkg may take.
    type: int
    default: 900
  keep_days:
    description: Saved files of versions that are not installed any more are removed after this time.
    type: int
    default: 90
attributes:
  check_mode:
    description: Predicts the same packages that it would install.
    support: full
"""

EXAMPLES = r"""
- name: Save the way back
  ops.runbook.package_updates:
    state: saved
    packages:
      - {name: openssl, from: 3.0.20-1~deb12u2, to: 3.0.22-1~deb12u2}
"""

RETURN = r"""
packages:
  description: What was installed, or would be - name, from, to, cves.
  type: list
  elements: dict
  returned: always
  sample: [{name: openssl, from: 3.0.20-1~deb12u2, to: 3.0.22-1~deb12u2, cves: [CVE-2026-0001]}]
units:
  description: Services that the packages' scripts asked to restart.
  type: list
  elements: str
  returned: always
  sample: [nginx.service]
running:
  description: Services that ran before the update.
  type: list
  elements: str
  returned: success
  sample: [nginx.service, ssh.service]
"""

import subprocess
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.ops.runbook.plugins.module_utils import updates
from ansible_collections.ops.runbook.plugins.module_utils.packages import PackageError

PACKAGE = {
    "name": {"type": "str", "required": True},
    "from": {"type": "str", "default": ""},
    "to": {"type": "str", "required": True},
}


def predicted(state: str, wanted: list[dict[str, Any]]) -> dict[str, Any]:
    """What a run would report."""
    if state in ("rolled_back", "closed"):
        return {"changed": bool(wanted) or updates.read() is not None, "packages": [], "units": [], "running": []}
    found = [dict(package, cves=[]) for package in wanted]
    return {"changed": bool(wanted), "packages": found, "units": [], "running": []}


def done(state: str, wanted: list[dict[str, Any]], parameters: dict[str, Any]) -> dict[str, Any]:
    """Do it; what is to be reported."""
    if state == "saved":
        return {"changed": updates.save(wanted, parameters["run"], parameters["timeout"]), "packages": wanted}
    if state == "closed":
        return {"changed": updates.close(parameters["keep_days"]), "packages": []}
    if state == "applied":
        changed = updates.apply(wanted, parameters["timeout"])
    else:
        changed = updates.roll_back(parameters["timeout"])
    return {"changed": bool(changed), "packages": changed}


def main() -> None:
    """Do one step, or predict it."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["saved", "applied", "rolled_back", "closed"], "required": True},
            "packages": {"type": "list", "elements": "dict", "default": [], "options": PACKAGE},
            "run": {"type": "str", "default": ""},
            "timeout": {"type": "int", "default": 900},
            "keep_days": {"type": "int", "default": 90},
        },
        supports_check_mode=True,
    )
    state, wanted = module.params["state"], module.params["packages"]
    if module.check_mode:
        result = predicted(state, wanted)
    else:
        try:
            result = done(state, wanted, module.params)
        except (PackageError, OSError, subprocess.TimeoutExpired) as error:
            module.fail_json(msg=str(error), packages=[], units=updates.deferred_units())
        result.update(units=updates.deferred_units(), running=updates.running_before())
    if state in ("applied", "rolled_back"):
        result["diff"] = {
            "before": "".join(f"{package['name']} {package['from']}\n" for package in result["packages"]),
            "after": "".join(f"{package['name']} {package['to']}\n" for package in result["packages"]),
        }
    module.exit_json(**result)


if __name__ == "__main__":
    main()
