# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The one program that a host gets, and what it answers."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.ops.runbook.plugins.module_utils import configuration_basics

#: In the order in which they need each other.
_PARTS = ("basics", "files", "kernel", "units", "validate", "store", "host")
#: What the files import from each other; joined, they are one file.
_JOINED_IMPORT = re.compile(r"^from (?:__future__|ansible_collections\.\S+) import (?:\([^)]*\)|.*)\n", re.MULTILINE)
STORE = "/var/lib/ops-runbook/configuration"


@functools.cache
def _sources() -> str:
    folder = Path(configuration_basics.__file__).parent
    texts = [(folder / f"configuration_{part}.py").read_text(encoding="utf-8") for part in _PARTS]
    return "\n".join(["from __future__ import annotations", *(_JOINED_IMPORT.sub("", text) for text in texts)])


def program(job: Mapping[str, Any]) -> bytes:
    """The program that does the job. It travels through a pipe: neither a file nor the list of processes holds it."""
    return f"{_sources()}\nmain(json.loads({json.dumps(job)!r}))\n".encode()


def answer(stdout: str) -> dict[str, Any] | None:
    """What the program said; None where it did not come to that."""
    for line in reversed(stdout.splitlines()):
        if line.startswith(configuration_basics.MARK):
            found: dict[str, Any] = json.loads(line[len(configuration_basics.MARK) :])
            return found
    return None
