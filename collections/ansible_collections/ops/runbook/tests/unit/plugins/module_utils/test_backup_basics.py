"""What backups of the database and of files have in common."""

from __future__ import annotations

import pytest
from ansible_collections.ops.runbook.plugins.module_utils.backup_basics import growth


@pytest.mark.parametrize(
    ("size", "before", "percent"), [(150, 100, 50.0), (50, 200, -75.0), (3, 3, 0.0), (7, None, 0.0), (7, 0, 0.0)]
)
def test_growth_is_in_percent_of_the_backup_before(size: float, before: float | None, percent: float) -> None:
    assert growth(size, before) == percent
