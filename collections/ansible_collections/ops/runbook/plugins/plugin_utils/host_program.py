# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Programs that stay on a host and work there by timer: one file each, joined from sources that are tested here."""

from __future__ import annotations

import re
from pathlib import Path

from ansible_collections.ops.runbook.plugins import module_utils

#: Program → its parts, in the order in which they need each other; the last has `main`.
PROGRAMS = {
    "database_backup": ("basics", "retention", "objects", "pgbackrest", "database"),
    "file_backup": ("basics", "retention", "objects", "restic", "files"),
}
#: What the parts import from each other; joined, they are one file.
_JOINED_IMPORT = re.compile(r"^from (?:__future__|ansible_collections\.\S+) import (?:\([^)]*\)|.*)\n", re.MULTILINE)


def text(name: str) -> str:
    """The program, for Python 3.9 and its standard library."""
    folder = Path(module_utils.__path__[0])
    sources = [(folder / f"backup_{part}.py").read_text(encoding="utf-8") for part in PROGRAMS[name]]
    joined = [_JOINED_IMPORT.sub("", source) for source in sources]
    head = "#!/usr/bin/python3 -I\nfrom __future__ import annotations\n"
    return "\n".join([head, *joined, 'if __name__ == "__main__":\n    raise SystemExit(main())\n'])
