# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: configuration_apply
short_description: Changes all managed configuration of a host, or nothing
version_added: 0.1.0
author:
  - The ops.runbook authors (@ops-runbook)
description:
  - One program with all files, kernel settings and services of the host goes through the connection. It validates
    the candidates, keeps what it replaces in C(/var/lib/ops-runbook/configuration), replaces it, and reloads or
    restarts what has to be. If a step fails, it puts everything back before it ends.
  - A program that was killed in the middle is put back by the next one.
options:
  operation:
    description:
      - V(apply) - change what differs.
      - V(confirm) - the change is good. Without it, the version can still be rolled back.
      - V(rollback) - put back every version that was not confirmed.
    type: str
    choices: [apply, confirm, rollback]
    required: true
  reason:
    description: With O(operation=rollback), why, for the report.
    type: str
    default: ""
attributes:
  check_mode:
    description: Validates the candidates and predicts the changes.
    support: full
  diff_mode:
    description: Shows files, kernel settings and services before and after. Contents of secret files are not shown.
    support: full
"""

EXAMPLES = r"""
- name: Change what differs
  ops.runbook.configuration_apply:
    operation: apply
"""

RETURN = r"""
name:
  description: Paths, kernel settings and units that were changed.
  type: list
  elements: str
  returned: O(operation=apply) or O(operation=rollback)
  sample: [/etc/nginx/nginx.conf, net.core.somaxconn]
version:
  description: Id of the version that was recorded.
  type: str
  returned: if something was changed
  sample: 20261123T180000Z-1f0c2d3e
reloaded:
  description: Units that were reloaded.
  type: list
  elements: str
  returned: if something was changed
restarted:
  description: Units that were restarted.
  type: list
  elements: str
  returned: if something was changed
pending_restart:
  description: Settings of PostgreSQL that wait for its restart, by unit.
  type: dict
  returned: if something was changed
put_back:
  description: Whether a step failed and everything was put back.
  type: bool
  returned: if so
failures:
  description: What could not be put back. O(operation=rollback) fails then.
  type: list
  elements: str
  returned: if something was put back
"""
