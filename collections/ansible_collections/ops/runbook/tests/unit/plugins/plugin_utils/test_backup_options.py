# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.ops.runbook.plugins.plugin_utils.backup_options import database_problems, file_problems

from tests.lab import authority

SECRET = "s" * 40
OBJECTIVE = {"every": "1d", "keep": "35d"}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    authority.create(folder)
    authority.issue(folder, "good", ["store1"], client=True)
    authority.issue(folder, "late", ["store1"], client=True, ends_in_days=-0.5)
    return folder


def database(certificates: Path, **changed: Any) -> list[str]:
    options = {
        "database_backup_store": "store1",
        "database_backup_servers": ["db1"],
        "database_backup_readers": [],
        "database_backup_objectives": {"full": OBJECTIVE, "differential": OBJECTIVE, "log": OBJECTIVE},
        "database_backup_authority": str(certificates / "good.pem"),
        "database_backup_certificate": str(certificates / "good.pem"),
        "database_backup_private_key": str(certificates / "good.key"),
        "database_backup_cipher_passphrase": SECRET,
        **changed,
    }
    return database_problems("store1", options)


def test_good_options(certificates: Path) -> None:
    assert database(certificates) == []
    assert database(certificates, database_backup_store="") == []


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"database_backup_servers": []}, "nothing to back up"),
        ({"database_backup_objectives": {"full": OBJECTIVE, "log": OBJECTIVE}}, "objectives.differential is missing"),
        ({"database_backup_cipher_passphrase": "short"}, "has 5 characters"),
        ({"database_backup_certificate": "/none"}, "there is no file /none"),
        ({"database_backup_private_key": ""}, "database_backup_private_key"),
    ],
)
def test_what_is_wrong_is_named(certificates: Path, changed: dict[str, Any], words: str) -> None:
    (problem,) = database(certificates, **changed)
    assert words in problem


def test_objective_that_cannot_be_kept(certificates: Path) -> None:
    for every, keep, words in (("soon", "1d", "every is 'soon'"), ("7d", "1d", "none at times")):
        objectives = {"full": {"every": every, "keep": keep}, "differential": OBJECTIVE, "log": OBJECTIVE}
        (problem,) = database(certificates, database_backup_objectives=objectives)
        assert words in problem


def test_log_is_not_promised_for_longer_than_the_backup_that_it_continues(certificates: Path) -> None:
    for log, count in (("2d", 0), ("3d", 1)):
        objectives = {
            "full": {"every": "1d", "keep": "2d"},
            "differential": OBJECTIVE,
            "log": {"every": "1m", "keep": log},
        }
        problems = database(certificates, database_backup_objectives=objectives)
        assert len(problems) == count
        assert all("log.keep is 3d" in problem and "kept for 2d" in problem for problem in problems)


def test_expired_certificate(certificates: Path) -> None:
    (problem,) = database(certificates, database_backup_certificate=str(certificates / "late.pem"))
    assert "has expired" in problem


def test_sets_of_files() -> None:
    options = {
        "file_backup_store": "store1",
        "file_backup_objectives": {"daily": OBJECTIVE},
        "file_backup_login": SECRET,
        "file_backup_password": SECRET,
        "file_backup_read_every": "7d",
        "file_backup_sets": {"etc": {"paths": ["/etc"], "objective": "daily"}},
    }
    assert file_problems("app1", options) == []
    for entry, words in (
        ({"paths": []}, "has no paths"),
        ({"paths": ["etc"], "objective": "daily"}, "'etc'; it has to be absolute"),
        ({"paths": ["/etc"], "objective": "weekly"}, "objectives_backups has 'daily'"),
        ({"paths": ["/etc"], "objective": "daily", "keep": 1}, "unknown option 'keep'"),
    ):
        (problem,) = file_problems("app1", {**options, "file_backup_sets": {"etc": entry}})
        assert words in problem
