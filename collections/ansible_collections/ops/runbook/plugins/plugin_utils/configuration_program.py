# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The one program that a host gets, and what it answers."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any

from ansible_collections.ops.runbook.plugins.module_utils import configuration_basics
from ansible_collections.ops.runbook.plugins.plugin_utils.joined import part
from ansible_collections.ops.runbook.plugins.plugin_utils.marked import answer_behind

#: In the order in which they need each other.
_PARTS = ("basics", "files", "kernel", "units", "validate", "store", "host")
STORE = "/var/lib/ops-runbook/configuration"


@functools.cache
def _sources() -> str:
    return "\n".join(["from __future__ import annotations", *(part(f"configuration_{name}") for name in _PARTS)])


def program(job: Mapping[str, Any]) -> bytes:
    """The program that does the job. It travels through a pipe: neither a file nor the list of processes holds it."""
    return f"{_sources()}\nmain(json.loads({json.dumps(job)!r}))\n".encode()


def answer(stdout: str) -> dict[str, Any] | None:
    """What the program said; None where it did not come to that."""
    found: dict[str, Any] | None = answer_behind(configuration_basics.MARK, stdout)
    return found
