# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The form in which htpasswd files hold long random passwords."""

from __future__ import annotations

DOCUMENTATION = r"""
name: sha1_base64
short_description: SHA-1 of a text in base64, as C({SHA}) in htpasswd files has it
version_added: 0.1.0
author: The ops.runbook authors (@ops-runbook)
description:
  - Only for long random passwords. It has no salt and is fast, so a password that people have thought of is found.
positional: _input
options:
  _input:
    description: The password.
    type: str
    required: true
"""

EXAMPLES = r"""
line: "app1:{SHA}{{ login | ops.runbook.sha1_base64 }}"
"""

RETURN = r"""
_value:
  description: The hash.
  type: str
"""

import base64
import hashlib
from collections.abc import Callable

from ansible.errors import AnsibleFilterError

#: A shorter password could be guessed.
SHORTEST = 32


def sha1_base64(password: str) -> str:
    """SHA-1 in base64."""
    if len(password) < SHORTEST:
        raise AnsibleFilterError(f"a log-in has {len(password)} characters; it needs {SHORTEST} random ones")
    return base64.b64encode(hashlib.sha1(password.encode(), usedforsecurity=False).digest()).decode()


class FilterModule:
    """Makes the filter known."""

    def filters(self) -> dict[str, Callable[[str], str]]:
        """The filters of this file."""
        return {"sha1_base64": sha1_base64}
