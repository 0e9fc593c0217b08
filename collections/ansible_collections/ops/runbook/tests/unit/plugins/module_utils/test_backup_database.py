# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How old a backup is, also one that has ended while the program that says so was at work."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from ansible_collections.ops.runbook.plugins.module_utils.backup_basics import since
from ansible_collections.ops.runbook.plugins.module_utils.backup_database import DatabaseBackup


def test_age_of_a_backup_goes_by_the_time_of_asking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backup = DatabaseBackup({"stanza": "evidence", "repository": tmp_path, "state": tmp_path})
    made = {"timestamp": {"stop": backup.now + 60}}
    monkeypatch.setattr(time, "time", lambda: backup.now + 70)
    assert backup.age(made) == pytest.approx(10)
    assert backup.age(None) is None


def test_age_is_never_negative() -> None:
    assert since(time.time() + 4) == 0.0
    assert since(time.time() - 4) == pytest.approx(4, abs=1)
