# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: dependency_plan
short_description: Decides which release each host gets, and refuses what must not be installed
version_added: 0.1.0
author:
  - The ops.runbook authors (@ops-runbook)
description:
  - Asks all hosts of the play at once which releases they have, resolves the application's requirements to a lock with
    hashes, and asks an advisory source about every package of it. No host is changed.
  - Refuses the run for wrong options, requirements without solution, a known vulnerability that nobody has accepted,
    and an advisory source that does not answer.
  - Outside of check mode it also fetches the wheels that are needed, to the controller.
  - For the role C(dependency_updates), whose variables it reads.
options:
  entry_point:
    description: Entry point of the role, V(preflight) for an update, V(back) for the way back to an earlier release.
    type: str
    required: true
    choices: [preflight, back]
attributes:
  check_mode:
    description: Decides the same in check mode, and fetches no wheels.
    support: full
"""

EXAMPLES = r"""
- name: Decide which release each host gets
  ops.runbook.dependency_plan:
    entry_point: preflight
  run_once: true
"""

RETURN = r"""
pending:
  description: Hosts on which something is to be done.
  returned: success
  type: list
  elements: str
packages:
  description: What changes, one line a package.
  returned: success
  type: list
  elements: str
  sample: [click 8.3.0 → 8.5.1]
audit:
  description: Advisories about the new versions that were accepted.
  returned: success
  type: list
  elements: str
refused:
  description: Whether the run was refused.
  returned: failure
  type: bool
  sample: true
"""
