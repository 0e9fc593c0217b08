#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Starts units of systemd that may not be installed yet in check mode."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_units
short_description: Enables and starts units of systemd, also such that check mode has not installed
version_added: 0.1.0
author:
  - The ops.runbook authors (@ops-runbook)
description:
  - In check mode a unit that an earlier task would have installed is one that would be started.
    M(ansible.builtin.systemd_service) fails there.
options:
  started:
    description: Units that are enabled and running afterwards.
    type: list
    elements: str
    default: []
  reloaded:
    description: Units that are reloaded if O(renewed).
    type: list
    elements: str
    default: []
  renewed:
    description: Their configuration has changed, so what runs is restarted.
    type: bool
    default: false
attributes:
  check_mode:
    description: Says which units would be started, restarted or reloaded.
    support: full
  diff_mode:
    description: Lists them.
    support: full
"""

EXAMPLES = r"""
- name: Serve with this configuration
  ops.runbook.service_units:
    started: [pgbackrest.service]
    renewed: "{{ files.pending }}"
"""

RETURN = r"""
name:
  description: Units that were started, restarted or reloaded, or enabled.
  type: list
  elements: str
  returned: always
"""

from ansible.module_utils.basic import AnsibleModule


class Units:
    """Units of this host."""

    def __init__(self, module: AnsibleModule) -> None:
        self._module = module

    def holds(self, question: str, unit: str) -> bool:
        """Whether systemd says that the unit is so."""
        rc, _output, _errors = self._module.run_command(["systemctl", "--quiet", question, unit])
        return bool(rc == 0)

    def do(self, *words: str) -> None:
        """Tell systemd to do something, unless it is check mode."""
        if self._module.check_mode:
            return
        rc, output, errors = self._module.run_command(["systemctl", "--quiet", *words])
        if rc != 0:
            self._module.fail_json(
                msg=f"systemctl {' '.join(words)}: {(errors or output).strip()}", name=list(words[1:])
            )


def main() -> None:
    """Enable, start, restart, reload."""
    listed = {"type": "list", "elements": "str", "default": []}
    module = AnsibleModule(
        argument_spec={"started": listed, "reloaded": listed, "renewed": {"type": "bool", "default": False}},
        supports_check_mode=True,
    )
    units, renewed, changed = Units(module), module.params["renewed"], []
    if renewed:
        units.do("daemon-reload")
    for unit in module.params["started"]:
        enabled, running = units.holds("is-enabled", unit), units.holds("is-active", unit)
        if not enabled:
            units.do("enable", unit)
        if not running or renewed:
            units.do("restart", unit)
        if renewed or not (enabled and running):
            changed.append(unit)
    for unit in module.params["reloaded"] if renewed else []:
        units.do("reload", unit)
        changed.append(unit)
    module.exit_json(changed=bool(changed), name=changed, diff={"prepared": "".join(f"- {each}\n" for each in changed)})


if __name__ == "__main__":
    main()
