# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a store still has. Runs on the store, sent through a pipe: nothing but the standard library."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

MARK = "@ops.runbook.store "


def inspect(job: Mapping[str, str]) -> dict[str, Any]:
    """What is kept there, and since when a recovery of the store is under way; 0 where none is."""
    marker = Path(job["marker"])
    database = Path(job["database"], "backup", job["stanza"], "backup.info").exists()
    began, lost = marker.read_text(encoding="ascii").split() if marker.exists() else (0.0, not database)
    return {
        "database": database,
        "files": sorted(path.parent.name for path in Path(job["files"]).glob("*/config")),
        "seals": len(list(Path(job["evidence"], "seals").glob("[0-9]" * 6))),
        "began": float(began),
        # Whether there was no repository of the database when it began.
        "lost": str(lost) == "True",
    }
