# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hosts whose backups are as they are to be are left alone; where one is not, those that prove it take part."""

from __future__ import annotations

import ast
import json
import os
import pwd
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.ops.runbook.plugins.plugin_utils.backup_setup import (
    answer,
    names,
    packaged,
    program,
    shortened,
    unfinished,
)

DAY = 86400
HOSTS = ("app1", "app2", "db1", "store1")


def setup(**values: Any) -> dict[str, Any]:
    return {"store": "store1", "packages": ["restic"], "accounts": [], "entries": [], "units": [], "made": [], **values}


#: Application hosts have nothing to do with the database.
SETUPS = {
    host: {"database_backup": setup(packages=[] if host.startswith("app") else ["pgbackrest"]), "file_backup": setup()}
    for host in HOSTS
}


def said(**lacking: str) -> dict[str, Any]:
    """What the hosts say: host → the role that lacks a unit there."""
    return {
        host: {
            role: {"units": ["x.timer"] if lacking.get(host) == role else [], "packages": []} for role in SETUPS[host]
        }
        for host in HOSTS
    }


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (said(), []),
        (said(app1="file_backup"), ["app1", "store1"]),
        (said(store1="file_backup"), list(HOSTS)),
        (said(store1="database_backup"), ["db1", "store1"]),
        (said(db1="database_backup"), ["db1", "store1"]),
        ({**said(), "app2": None}, ["app2", "store1"]),
    ],
)
def test_who_is_set_up(answers: dict[str, Any], expected: list[str]) -> None:
    assert unfinished(SETUPS, answers) == expected


def test_without_the_store_nobody_vouches() -> None:
    alone = {host: SETUPS[host] for host in ("app1", "db1")}
    assert unfinished(alone, {host: said()[host] for host in alone}) == ["app1", "db1"]


def test_without_backups_nothing_is_set_up() -> None:
    nothing = {"app1": {"file_backup": setup(store="", packages=[])}}
    assert unfinished(nothing, {"app1": {"file_backup": {"packages": [], "files": []}}}) == []


def test_packages_are_known_where_the_host_says_so() -> None:
    answers = {**said(), "app2": None}
    answers["db1"]["file_backup"]["packages"] = ["restic"]
    assert packaged(answers) == ["app1", "store1"]
    assert (names(None), names(answers["db1"])) == (["an answer"], ["restic"])


def test_program_says_what_is_lacking(tmp_path: Path) -> None:
    own = pwd.getpwuid(os.getuid()).pw_name
    entries = [
        {"path": str(tmp_path / name), "content": "secret", "owner": own, "group": own, "mode": "0600"} for name in "ab"
    ]
    (tmp_path / "a").write_text("secret", encoding="utf-8")
    (tmp_path / "a").chmod(0o600)
    settings = {"full": {"keep": 2 * DAY}, "store": {"keep": {"evidence": 365 * DAY, "configuration": 90 * DAY}}}
    (tmp_path / "kept.json").write_text(json.dumps(settings), encoding="utf-8")
    shorter = {"full": {"keep": 2 * DAY}, "store": {"keep": {"evidence": 30 * DAY, "application": DAY}}}
    entries.append({**entries[0], "path": str(tmp_path / "kept.json"), "content": json.dumps(shorter)})
    wanted = setup(
        packages=["no-such-package-here"],
        accounts=[{"name": "nobody-here", "home": "/", "shell": "/bin/false"}],
        entries=entries,
        units=["no-such.timer"],
        made=[str(tmp_path), str(tmp_path / "made")],
    )
    text = program({"file_backup": wanted})
    ast.parse(text, feature_version=(3, 9))
    done = subprocess.run([sys.executable, "-ISB", "-"], input=text, capture_output=True, check=True)
    assert answer(done.stdout.decode()) == {
        "file_backup": {
            "packages": ["no-such-package-here"],
            "accounts": ["nobody-here"],
            "files": [str(tmp_path / "b"), str(tmp_path / "kept.json")],
            "units": ["no-such.timer"],
            "made": [str(tmp_path / "made")],
            "shortened": ["kept: evidence is kept for 365.0 d, and would be for 30.0 d"],
        }
    }
    assert shortened({"app1": None, "store1": answer(done.stdout.decode())}) == [
        ("store1", "kept: evidence is kept for 365.0 d, and would be for 30.0 d")
    ]
    assert answer("nothing of that") is None
