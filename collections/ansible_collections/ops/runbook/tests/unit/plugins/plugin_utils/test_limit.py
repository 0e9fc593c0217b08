from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.ops.runbook.plugins.plugin_utils.limit import unknown

HOSTS = ("proxy1", "app1", "app2", "db1")
GROUPS = ("platform", "app")


@pytest.mark.parametrize(
    "limit", ["app1", "app", "all", "app1,db1", "app*", "platform:!app1", "&app", "~db[0-9]", "app[0]", "app[0:1]"]
)
def test_what_exists_is_known(limit: str) -> None:
    assert unknown(limit, HOSTS, GROUPS) == []


@pytest.mark.parametrize(
    ("limit", "missing"),
    [
        ("nosuch", ["nosuch"]),
        ("app1,nosuch", ["nosuch"]),
        ("app1:!nosuch", ["!nosuch"]),
        ("web*", ["web*"]),
        ("~web[0-9]", ["~web[0-9]"]),
        ("web[0]", ["web[0]"]),
    ],
)
def test_what_matches_nothing_is_named(limit: str, missing: list[str]) -> None:
    assert unknown(limit, HOSTS, GROUPS) == missing


def test_a_file_of_hosts_is_read(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("app1\n\nnosuch\n", encoding="utf-8")
    assert unknown(f"@{tmp_path / 'hosts'}", HOSTS, GROUPS) == ["nosuch"]


def test_a_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nosuch"):
        unknown(f"@{tmp_path / 'nosuch'}", HOSTS, GROUPS)
