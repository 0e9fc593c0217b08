# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host says of its own backups."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.ops.runbook.plugins.module_utils.backup_basics import Done
from ansible_collections.ops.runbook.plugins.module_utils.backup_files import FileBackup


def test_newest_snapshot_that_is_gone_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older one is still there, so that nothing else says that one is missing."""
    (tmp_path / "environment").write_text("RESTIC_REPOSITORY=none\n", encoding="utf-8")
    backup = FileBackup({"state": str(tmp_path), "environment": str(tmp_path / "environment")})
    rows = [{"id": "ab12" * 16, "short_id": "ab12ab12", "time": "2026-11-23T21:23:43Z", "tags": ["configuration"]}]
    monkeypatch.setattr(backup.restic, "call", lambda *_words: Done(0, json.dumps(rows), ""))
    wanted = {"every": 1e9, "paths": ["/"]}
    backup.history.add(event="backup", set="configuration", label="ab12ab12", bytes=1)
    assert backup.about("configuration", wanted)["status"] == "ok"
    backup.history.add(event="backup", set="configuration", label="cd34cd34", bytes=1)
    found = backup.about("configuration", wanted)
    assert (found["status"], found["title"][:8]) == ("critical", "cd34cd34")
