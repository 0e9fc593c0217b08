# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files of module_utils as parts of one program for a host, which has none of them."""

from __future__ import annotations

import re
from pathlib import Path

from ansible_collections.ops.runbook.plugins import module_utils

#: What the files import from each other; joined, they are one file.
_IMPORT = re.compile(r"^from (?:__future__|ansible_collections\.\S+) import (?:\([^)]*\)|.*)\n", re.MULTILINE)


def part(name: str) -> str:
    """The source of a module without what it imports from its neighbours."""
    path = Path(module_utils.__path__[0], f"{name}.py")
    return _IMPORT.sub("", path.read_text(encoding="utf-8"))
