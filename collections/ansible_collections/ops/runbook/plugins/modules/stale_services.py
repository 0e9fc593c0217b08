#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Restarts services that run files which have been replaced."""

from __future__ import annotations

DOCUMENTATION = r"""
module: stale_services
short_description: Restarts services that run files which have been replaced
version_added: 0.1.0
author:
  - The ops.runbook authors (@ops-runbook)
description:
  - Finds the processes that run deleted programs or libraries (/proc/*/maps), and restarts their systemd units.
  - Needs nothing on the host but Python 3.9 and systemd.
options:
  methods:
    description:
      - Unit pattern to method; the longest pattern that matches decides.
      - V(restart) and V(try-reload-or-restart) are those of systemd.
      - V(upgrade) is for nginx and servers with the same signals. A new process takes over the sockets, the old one
        finishes its requests; no client notices.
      - V(reexec) is for systemd itself.
      - V(never) leaves the unit for a reboot.
    type: dict
    default: {}
  units:
    description: Units to restart besides, unless they were stopped.
    type: list
    elements: str
    default: []
  running:
    description: Services that ran before an update. Those that are dead now are started, whatever their method is.
    type: list
    elements: str
    default: []
  packages:
    description: The packages that were updated. In check mode, predict what will be stale when they are.
    type: list
    elements: str
    default: []
  timeout:
    description: Seconds that one unit may take until it is active again.
    type: int
    default: 60
attributes:
  check_mode:
    description: Finds the services and restarts none.
    support: full
"""

EXAMPLES = r"""
- name: Restart what runs on deleted libraries
  ops.runbook.stale_services:
    methods:
      nginx.service: upgrade
      dbus.service: never
"""

RETURN = r"""
restarted:
  description: Units that were restarted, or would be.
  type: list
  elements: str
  returned: always
  sample: [nginx.service]
waiting:
  description: Units that only a reboot renews.
  type: list
  elements: str
  returned: always
  sample: [dbus.service]
stale:
  description: Every unit that was found, with the files that it runs and that are no longer there.
  type: dict
  returned: always
  sample: {nginx.service: [/usr/lib/x86_64-linux-gnu/libssl.so.3]}
"""

import os
import signal
import time
from collections.abc import Callable
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.ops.runbook.plugins.module_utils import stale

#: How often a condition is looked at, in seconds.
_LOOK = 0.1


class UnitError(Exception):
    """A unit that could not be restarted; the text says why."""


def wait_for(condition: Callable[[], Any], seconds: float) -> bool:
    """Whether the condition became true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK)
    return True


class Restarter:
    """Restarts units, each in its way."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.timeout = module.params["timeout"]

    def systemctl(self, *words: str) -> None:
        """Run systemctl; its complaint, and the unit's last words, are the error."""
        code, out, err = self.module.run_command(["systemctl", *words])
        if code != 0:
            _code, log, _err = self.module.run_command(
                ["journalctl", "--quiet", "--no-pager", "--output=cat", "--lines=3", "--unit", words[-1]]
            )
            raise UnitError(f"systemctl {' '.join(words)}: {(err or out).strip()}\n{log.strip()}".strip())

    def restart(self, unit: str, method: str, invocation: str) -> None:
        """Restart one unit, unless that has happened with another that it is part of; wait until it is active."""
        if method == "reexec":
            self.systemctl("daemon-reexec")
            return
        shown = self.shown(unit)
        if shown["ActiveState"] == "failed":
            self.systemctl("reset-failed", unit)  # systemd refuses what it has tried too often
        if shown.get("InvocationID", "") == invocation:
            if shown["ActiveState"] not in ("active", "reloading"):
                self.systemctl("restart", unit)
            elif method == "upgrade":
                self.upgrade(unit)
            else:
                self.systemctl(method, unit)
        wait_for(lambda: self.shown(unit)["ActiveState"] in ("active", "inactive", "failed"), self.timeout)
        state = self.shown(unit)["ActiveState"]
        if state != "active":
            raise UnitError(f"{unit} is {state} after its restart; see journalctl --unit {unit}")

    def shown(self, unit: str) -> dict[str, str]:
        """What systemd knows about the unit."""
        return stale.show_units([unit], "ActiveState", "InvocationID", "MainPID", "PIDFile")[unit]

    def upgrade(self, unit: str) -> None:
        """Let a new master process take over the sockets, then let the old one finish its requests."""
        shown = self.shown(unit)
        old, pid_file = int(shown["MainPID"]), shown["PIDFile"]
        if not old or not pid_file:
            raise UnitError(
                f"{unit} has no main process or no PIDFile; give it another method (service_restart_methods)"
            )
        os.kill(old, signal.SIGUSR2)
        if not wait_for(lambda: _serving(pid_file, old), self.timeout):
            raise UnitError(f"{unit}: the new program did not start; the old one goes on. See journalctl -u {unit}")
        os.kill(old, signal.SIGQUIT)
        if not wait_for(lambda: not _alive(old), self.timeout):
            os.kill(old, signal.SIGTERM)  # what is still under way after that time would never end
        if not wait_for(lambda: int(self.shown(unit)["MainPID"]) not in (0, old), self.timeout):
            raise UnitError(f"{unit}: systemd does not follow the new main process")


def _alive(pid: int) -> bool:
    return os.path.exists(f"/proc/{pid}")  # noqa: PTH110 - modules start faster without pathlib


def _serving(pid_file: str, old: int) -> bool:
    """Whether another master than the old one has written its number and has workers."""
    try:
        with open(pid_file, encoding="ascii") as handle:  # noqa: PTH123
            new = int(handle.read())
        with open(f"/proc/{new}/task/{new}/children", encoding="ascii") as handle:  # noqa: PTH123
            return new != old and bool(handle.read().strip())
    except (OSError, ValueError):
        return False


def dead(module: AnsibleModule) -> list[str]:
    """The services that ran before the update and do not now, but for those that are never restarted."""
    found = stale.dead_services(module.params["running"], module.params["packages"])
    return [unit for unit in found if stale.method_for(unit, module.params["methods"]) != "never"]


def wanted(module: AnsibleModule) -> tuple[dict[str, list[str]], dict[str, str]]:
    """What is stale, and the method of each unit that has to be restarted."""
    found = stale.stale_units(module.params["packages"] if module.check_mode else None)
    asked = [unit for unit in stale.loaded_units(module.params["units"]) if unit not in found]
    for unit, shown in stale.show_units(asked, "ActiveState").items():
        if shown.get("ActiveState") != "inactive":  # also what has failed, and is to run again
            found[unit] = ["its package asks for it"]
    methods = {unit: stale.method_for(unit, module.params["methods"]) for unit in found}
    for unit in set(dead(module)) - set(found):
        found[unit], methods[unit] = ["it ran before the update"], "restart"
    return found, dict(sorted(methods.items(), key=lambda item: (item[1] != "reexec", item[0])))


def main() -> None:
    """Find and restart."""
    module = AnsibleModule(
        argument_spec={
            "methods": {"type": "dict", "default": {}},
            "units": {"type": "list", "elements": "str", "default": []},
            "running": {"type": "list", "elements": "str", "default": []},
            "packages": {"type": "list", "elements": "str", "default": []},
            "timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    for pattern, method in module.params["methods"].items():
        if method not in stale.METHODS:
            module.fail_json(
                msg=f"service_restart_methods: {pattern!r} has {method!r}, not one of {', '.join(stale.METHODS)}"
            )
    found, methods = wanted(module)
    waiting = [unit for unit, method in methods.items() if method == "never"]
    units = [unit for unit in methods if unit not in waiting]
    errors = {}
    if not module.check_mode:
        restarter = Restarter(module)
        before = stale.show_units(units, "InvocationID")
        for unit in units:
            try:
                restarter.restart(unit, methods[unit], before[unit].get("InvocationID", ""))
            except (UnitError, OSError) as error:
                errors[unit] = str(error)
        for unit in dead(module):
            errors.setdefault(unit, f"it has ended after its restart; see journalctl --unit {unit}")
    result = {"changed": bool(units), "restarted": units, "waiting": waiting, "stale": found}
    if errors:
        said = "; ".join(f"{unit}: {error}" for unit, error in errors.items())
        module.fail_json(msg=f"not restarted: {said}", **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
