# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import hashlib
import socket
import time
from pathlib import Path

import pytest
from ansible_collections.ops.runbook.plugins.module_utils.backup_basics import (
    BackupError,
    History,
    age_status,
    alone,
    amount,
    certificate_finding,
    is_due,
    served_certificate,
)
from ansible_collections.ops.runbook.plugins.module_utils.backup_objects import Inventory, unlike_their_names
from ansible_collections.ops.runbook.plugins.module_utils.backup_restic import damage, moment


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository" / "a"
    folder.mkdir(parents=True)
    (folder / "one").write_bytes(b"one" * 1000)
    (folder / "two").write_bytes(b"two")
    (folder / "three.tmp").write_bytes(b"not kept")
    return tmp_path / "repository"


def inventory(repository: Path) -> Inventory:
    return Inventory(repository.parent / "objects.json", repository, lambda name: not name.endswith(".tmp"))


def test_objects_are_compared_with_what_was_noted(repository: Path) -> None:
    first = inventory(repository)
    compared = first.compare()
    assert (compared.damaged, set(compared.new)) == ((), {"a/one", "a/two"})
    first.note(compared.new)
    again = inventory(repository)
    assert again.root_hash == first.root_hash
    (repository / "a" / "one").write_bytes(b"one" * 999 + b"onf")
    (repository / "a" / "two").unlink()
    assert again.compare().damaged == ("changed: a/one", "gone: a/two")


def test_object_that_is_not_its_name(tmp_path: Path) -> None:
    for name, content in {"config": b"x", "data/ab": b"y", "locks/l": b"z"}.items():
        path = tmp_path / "app1" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    good = hashlib.sha256(b"good").hexdigest()
    (tmp_path / "app1" / "data" / good).write_bytes(b"good")
    assert unlike_their_names(tmp_path, {}) == ["app1/data/ab"]
    noted = {"app1/config": hashlib.sha256(b"x").hexdigest(), "app2/config": "0"}
    assert unlike_their_names(tmp_path, noted) == ["app2/config", "app1/data/ab"]
    (tmp_path / "app1/config").write_bytes(b"X")
    assert "app1/config" in unlike_their_names(tmp_path, noted)


def test_history_survives_a_torn_line(tmp_path: Path) -> None:
    history = History(tmp_path / "history.jsonl")
    history.add(event="backup", label="one")
    with (tmp_path / "history.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"event": "back')
    history.add(event="backup", label="two")
    assert [row["label"] for row in history.rows()] == ["one", "two"]
    assert (history.last(event="backup") or {})["label"] == "two"
    assert history.last(event="verified") is None


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    with alone(tmp_path, "a backup"), pytest.raises(BackupError, match="made already: process") as caught:  # noqa: SIM117
        with alone(tmp_path, "a backup"):
            pass
    assert caught.value.cause == "busy"
    with alone(tmp_path, "a backup"):
        pass


def test_a_host_that_was_rebuilt_has_no_folder_for_its_state_yet(tmp_path: Path) -> None:
    with alone(tmp_path / "state", "a backup"):
        assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700


def test_ages() -> None:
    assert is_due(None, 60)
    assert is_due(59, 60)
    assert not is_due(50, 60)
    assert [age_status(age, 100) for age in (None, 100, 150, 250)] == ["critical", "ok", "warning", "critical"]
    assert [amount(number) for number in (12, 2048, 5 << 30)] == ["12 B", "2.0 KiB", "5.0 GiB"]


@pytest.mark.parametrize(
    ("days", "status", "word"),
    [(100, "ok", "valid"), (20, "warning", "valid"), (3, "critical", "valid"), (-1, "critical", "expired")],
)
def test_certificates(days: int, status: str, word: str) -> None:
    ends = time.strftime("%b %e %H:%M:%S %Y", time.gmtime(time.time() + days * 86400))
    found = certificate_finding("certificate", "db1:8432", f"notAfter={ends} GMT\n")
    assert found["status"] == status
    assert word in found["title"]
    assert found["metrics"]["left_days"] == pytest.approx(days, abs=0.1)


def test_certificate_that_nobody_shows() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    found = certificate_finding("certificate", address, served_certificate(address), "warning")
    assert (found["status"], found["title"]) == ("warning", f"{address} shows no certificate")
    assert "refused" in found["detail"]
    assert "status 1" in found["detail"]


def test_restic_times_and_damage() -> None:
    assert moment("2026-11-23T21:23:43.484697305Z") == moment("2026-11-23T22:23:43.4+01:00") == 1795469023.0
    said = "read all data\nPack ID does not match, want 81ac, got e0d2\nFatal: repository contains errors"
    assert damage(said) == ["Pack ID does not match, want 81ac, got e0d2"]
    assert damage("check snapshots\nno errors were found") == []
