#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Cleans one host as its routine maintenance demands."""

from __future__ import annotations

DOCUMENTATION = r"""
module: routine_maintenance
short_description: Removes what a host no longer needs, and vacuums where statistics ask for it
version_added: 0.1.0
author:
  - The ops.runbook authors (@ops-runbook)
description:
  - Inspects the host anew and does what is due, area by area. Stops at the first area that fails.
  - M(ops.runbook.maintenance_plan) decides with the same code; it makes and validates the options.
  - What is removed is gone. The result lists it.
options:
  areas:
    description: Area to its options, as M(ops.runbook.maintenance_plan) makes them.
    type: dict
    required: true
  paths:
    description: Paths whose file systems are measured before and after.
    type: list
    elements: path
    default: [/]
attributes:
  check_mode:
    description: Returns what would be done, decided by the same code, and writes nothing.
    support: full
  diff_mode:
    description: Lists what is removed and done.
    support: full
"""

EXAMPLES = r"""
- name: Clean the host
  ops.runbook.routine_maintenance:
    areas: "{{ __routine_maintenance_plan[inventory_hostname].job.areas }}"
    paths: "{{ __routine_maintenance_plan[inventory_hostname].job.paths }}"
"""

RETURN = r"""
areas:
  description: Area to C(items), what is removed or done, and the C(bytes) that this gives back.
  type: dict
  returned: always
before:
  description: Mount point to bytes in all and in use, before.
  type: dict
  returned: always
filesystems:
  description: The same afterwards.
  type: dict
  returned: always
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.ops.runbook.plugins.module_utils import (
    maintenance,
    maintenance_files,
    maintenance_packages,
    maintenance_postgresql,
)

#: Whose import registers the areas.
AREA_FILES = (maintenance_files, maintenance_packages, maintenance_postgresql)


def listing(areas: dict[str, Any]) -> str:
    """What goes and what is done, a line each; the same in check mode and out of it."""
    lines = [
        f"{name}{' (failed, perhaps in part)' if told.get('failed') else ''}: {item['subject']}"
        for name, told in areas.items()
        for item in told["items"]
    ]
    return "".join(f"- {line}\n" for line in lines)


def main() -> None:
    """Clean, or say what would be cleaned."""
    module = AnsibleModule(
        argument_spec={
            "areas": {"type": "dict", "required": True},
            "paths": {"type": "list", "elements": "path", "default": ["/"]},
        },
        supports_check_mode=True,
    )
    job = {**module.params, "observe": {}, "lock": ""}
    try:
        if module.check_mode:
            result = maintenance.inspect(job)
            result.update(before=result["filesystems"], failure="")
        else:
            result = maintenance.clean(job)
    except (maintenance.MaintenanceError, OSError) as error:
        module.fail_json(msg=f"Nothing was cleaned: {error}")
    failure = result.pop("failure")
    result.pop("lock", None)
    result["changed"] = any(told["items"] for told in result["areas"].values())
    result["diff"] = {"prepared": listing(result["areas"])}
    # What was seen of the host is in the plan; here it would only fill the record.
    for told in result["areas"].values():
        told.pop("seen")
    if failure:
        module.fail_json(msg=f"The cleaning stopped at {failure}", **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
