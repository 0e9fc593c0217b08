# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: restore_drill_result
short_description: Judges a restore drill, and signs its result
version_added: 0.1.0
author:
  - The ops.runbook authors (@ops-runbook)
description:
  - Compares what was restored with what serves, and the times with what is promised; writes the signed result into
    the state directory, and sets the variables that the report is made of.
options:
  signing_key:
    description: SSH key that signs the result, on the controller. Empty - none.
    type: str
    default: ""
attributes:
  check_mode:
    description: Writes and judges nothing.
    support: full
"""

EXAMPLES = r"""
- name: Judges a restore drill
  ops.runbook.restore_drill_result:
    signing_key: "{{ restore_drill_signing_key }}"
  run_once: true
"""

RETURN = r""" # """
