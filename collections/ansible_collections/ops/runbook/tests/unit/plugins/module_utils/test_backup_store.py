# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which snapshots the store lets go: it goes by when they came in, whatever time they bear."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.ops.runbook.plugins.module_utils import backup_files, backup_store
from ansible_collections.ops.runbook.plugins.module_utils.backup_basics import BackupError, alone
from ansible_collections.ops.runbook.plugins.module_utils.backup_store import Store

DAY = 86400.0


def snapshot(name: str, *, made: float, received: float) -> dict[str, Any]:
    """One that bears a time so many days ago, and came in so many days ago."""
    now = time.time()
    times = {"made": now - made * DAY, "received": now - received * DAY}
    return {"id": name, "short_id": name, "tags": ["configuration"], **times}


def settings(folder: Path) -> dict[str, Any]:
    known = {"repositories": str(folder / "restic"), "keep": {"configuration": 90 * DAY}}
    return {"state": str(folder / "state"), "store": known}


def store() -> Store:
    return Store(settings(Path("/nowhere")))


@pytest.mark.parametrize(
    ("snapshots", "gone", "status"),
    [
        ([snapshot("a", made=100, received=100), snapshot("b", made=95, received=95)], ["a"], "ok"),
        # Dated after everything that will ever be made: the only real one stays, today and when that time has come.
        ([snapshot("a", made=100, received=100), snapshot("f", made=-9000, received=1)], [], "critical"),
        ([snapshot("a", made=100, received=100), snapshot("f", made=1, received=5)], [], "critical"),
        # Dated long ago: it came in today, and proves nothing.
        ([snapshot("a", made=100, received=100), snapshot("f", made=9000, received=1)], [], "warning"),
        ([snapshot("f", made=9000, received=100), snapshot("a", made=1, received=1)], ["f"], "warning"),
        # A backup bears the time of its beginning.
        ([snapshot("a", made=100, received=100), snapshot("b", made=2, received=1.5)], ["a"], "ok"),
    ],
)
def test_no_forged_time_expires_the_last_good_one(
    snapshots: list[dict[str, Any]], gone: list[str], status: str
) -> None:
    assert store().expirable(snapshots) == gone
    assert store().about("app1", snapshots)["status"] == status


class Told:
    """Restic, as far as the store needs it: it has two old snapshots, and forgets what it is told."""

    def __init__(self) -> None:
        self.words: list[tuple[str, ...]] = []

    def snapshots(self) -> list[dict[str, Any]]:
        return [snapshot("a", made=100, received=100), snapshot("b", made=95, received=95)]

    def demand(self, *words: str) -> str:
        self.words.append(words)
        return ""


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Told]:
    """A store with the repositories of two hosts, whose configs are noted."""
    told = Told()
    monkeypatch.setattr(Store, "restic", lambda _store, _host: told)
    for host in ("app1", "app2"):
        (tmp_path / "restic" / host).mkdir(parents=True)
        (tmp_path / "restic" / host / "config").write_bytes(b"secret")
    (tmp_path / "state").mkdir()
    Store(settings(tmp_path)).note_configs()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "settings.json").write_text(json.dumps(settings(tmp_path)), encoding="utf-8")
    return tmp_path, told


def expire(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    backup_files.main(["--settings", "settings.json", "expire"])
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_expiry_reads_once_and_is_noted(
    kept: tuple[Path, Told], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    read: list[Path] = []
    monkeypatch.setattr(backup_store, "unlike_their_names", lambda root, _configs: read.append(root) or [])
    assert expire(capsys)["made"] == ["app1: a forgotten", "app2: a forgotten"]
    assert len(read) == 1
    rows = Store(settings(kept[0])).history.rows()
    assert [(row["event"], row["host"], row["labels"]) for row in rows] == [
        ("expired", "app1", ["a"]),
        ("expired", "app2", ["a"]),
    ]


def test_expiry_waits_for_a_backup(kept: tuple[Path, Told], capsys: pytest.CaptureFixture[str]) -> None:
    with alone(kept[0] / "state", "a backup"):
        assert expire(capsys)["cause"] == "busy"
    assert kept[1].words == []


def test_config_that_is_not_what_it_was(kept: tuple[Path, Told], capsys: pytest.CaptureFixture[str]) -> None:
    """Its host keeps everything; a new one is not taken in over the old one."""
    folder, told = kept
    (folder / "restic/app1/config").write_bytes(b"other")
    Store(settings(folder)).note_configs()
    answer = expire(capsys)
    assert answer["made"] == ["app2: a forgotten"]
    assert "1 stored objects are damaged: app1/config" in answer["findings"][-1]["title"]
    (folder / "restic/app1/config").unlink()
    assert Store(settings(folder)).damaged == ["app1/config"]
    assert [words[0] for words in told.words] == ["unlock", "forget"]


def test_repository_that_cannot_be_read_hides_no_other(
    kept: tuple[Path, Told], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def snapshots(self: Store, host: str) -> list[dict[str, Any]]:
        if host == "app1":
            raise BackupError("restic snapshots: the repository is damaged")
        return self.restic(host).snapshots()

    monkeypatch.setattr(Store, "snapshots", snapshots)
    answer = expire(capsys)
    assert [(each["check"], each["status"]) for each in answer["findings"]][:2] == [
        ("snapshots of app1", "critical"),
        ("snapshots of app2", "ok"),
    ]
    assert answer["made"] == ["app2: a forgotten"]
