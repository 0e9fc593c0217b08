# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Programs that stay on a host and work there by timer: one file each, joined from sources that are tested here."""

from __future__ import annotations

from ansible_collections.ops.runbook.plugins.plugin_utils.joined import part

#: Program → its parts, in the order in which they need each other; the last has `main`.
PROGRAMS = {
    "database_backup": ("basics", "retention", "objects", "pgbackrest", "database"),
    "file_backup": ("basics", "retention", "receipt", "objects", "restic", "store", "files"),
}


def text(name: str) -> str:
    """The program, for Python 3.9 and its standard library."""
    joined = [part(f"backup_{each}") for each in PROGRAMS[name]]
    head = "#!/usr/bin/python3 -I\nfrom __future__ import annotations\n"
    return "\n".join([head, *joined, 'if __name__ == "__main__":\n    raise SystemExit(main())\n'])
