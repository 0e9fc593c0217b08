# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The text of a program that stays on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
name: host_program
short_description: Text of a program that works on a host by itself
version_added: 0.1.0
author: The ops.runbook authors (@ops-runbook)
description:
  - Joins the parts of a program to one file for the Python that a host has, without anything but its standard library.
options:
  _terms:
    description: Names of programs, V(database_backup) or V(file_backup).
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Install the program
  ansible.builtin.copy:
    content: "{{ lookup('ops.runbook.host_program', 'database_backup') }}"
    dest: /usr/local/lib/ops-runbook/database_backup
    mode: "0755"
"""

RETURN = r"""
_raw:
  description: The texts, in the order of the names.
  type: list
  elements: str
"""

from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from ansible_collections.ops.runbook.plugins.plugin_utils.host_program import PROGRAMS, text


class LookupModule(LookupBase):  # type: ignore[misc]
    """Returns programs by name."""

    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[str]:
        """The texts of the programs."""
        self.set_options(var_options=variables, direct=kwargs)
        if unknown := [term for term in terms if term not in PROGRAMS]:
            raise AnsibleLookupError(f"there is no program {unknown[0]!r}; there are {', '.join(PROGRAMS)}")
        return [text(term) for term in terms]
