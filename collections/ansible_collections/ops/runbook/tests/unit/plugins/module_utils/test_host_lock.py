"""The lock of a host: the program that the controller sends, run as the host runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.ops.runbook.plugins.module_utils.host_lock import HostLock, acquire, release, renew, show
from ansible_collections.ops.runbook.plugins.plugin_utils.change_lock import parse, program

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
def lock(tmp_path: Path) -> HostLock:
    return HostLock(str(tmp_path / "ops-runbook/change.lock"))


def job(run_id: str, **more: Any) -> dict[str, Any]:
    return {"lock": {"run_id": run_id, "procedure": "maintenance/x"}, "minutes": 60, **more}


def take(lock: HostLock, run_id: str, now: datetime = NOW, **more: Any) -> str:
    result: str = acquire(lock, job(run_id, **more), now)["result"]
    return result


def test_free_host_is_locked(lock: HostLock) -> None:
    assert take(lock, "a") == "acquired"
    assert lock.read() == {
        "schema": 1,
        "run_id": "a",
        "procedure": "maintenance/x",
        "since": "2026-11-23T12:00:00+00:00",
        "until": "2026-11-23T13:00:00+00:00",
    }
    assert (lock.path.stat().st_mode & 0o777, lock.folder.stat().st_mode & 0o777) == (0o600, 0o700)
    assert [path.name for path in lock.folder.iterdir()] == ["change.lock"]


def test_second_run_gets_nothing_and_is_told_who_has_it(lock: HostLock) -> None:
    take(lock, "a")
    before = lock.path.read_bytes()
    answer = acquire(lock, job("b"), NOW + timedelta(minutes=5))
    assert (answer["result"], answer["lock"]["run_id"], answer["age"]) == ("held", "a", 300.0)
    assert lock.path.read_bytes() == before


def test_same_run_renews(lock: HostLock) -> None:
    take(lock, "a")
    assert take(lock, "a", NOW + timedelta(minutes=30)) == "renewed"
    found = lock.read() or {}
    assert (found["since"], found["until"]) == ("2026-11-23T12:00:00+00:00", "2026-11-23T13:30:00+00:00")


def test_expired_lock_is_taken_at_the_minute(lock: HostLock) -> None:
    take(lock, "a")
    assert take(lock, "b", NOW + timedelta(minutes=59, seconds=59)) == "held"
    answer = acquire(lock, job("b"), NOW + timedelta(minutes=60))
    assert (answer["result"], answer["lock"]["run_id"]) == ("expired", "a")


def test_only_the_named_run_is_replaced(lock: HostLock) -> None:
    """Compare and swap: between the look and the decision another run may have come."""
    take(lock, "b")
    assert take(lock, "c", replace="a") == "held"
    assert take(lock, "c", replace="b") == "taken_over"


def test_renewal_of_what_was_lost(lock: HostLock) -> None:
    assert renew(lock, job("a"), NOW)["result"] == "lost"
    take(lock, "b")
    assert renew(lock, job("a"), NOW)["lock"]["run_id"] == "b"
    assert renew(lock, job("b"), NOW)["result"] == "renewed"


def test_release_frees_only_the_own_lock(lock: HostLock) -> None:
    assert release(lock, {"run_id": "a"}, NOW)["result"] == "free"
    assert not lock.folder.exists()
    take(lock, "a")
    assert release(lock, {"run_id": "b"}, NOW)["result"] == "held"
    assert release(lock, {"run_id": "a"}, NOW)["result"] == "released"
    assert list(lock.folder.iterdir()) == []


def test_show_touches_nothing(lock: HostLock) -> None:
    assert show(lock, {}, NOW)["result"] == "free"
    assert not lock.folder.exists()
    take(lock, "a")
    assert show(lock, {}, NOW + timedelta(minutes=61))["result"] == "expired"


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"run_id": "x"}', '{"run_id": 1, "since": "x", "until": "y"}', "\x00\xff"]
)
def test_damaged_lock_is_held_until_it_is_replaced_by_name(lock: HostLock, content: str) -> None:
    lock.folder.mkdir(mode=0o700)
    lock.path.write_bytes(content.encode("latin-1"))
    answer = acquire(lock, job("a"), NOW)
    assert answer["result"] == "held"
    assert "damaged" in answer["lock"]
    assert release(lock, {"run_id": "other"}, NOW)["result"] == "held"
    assert release(lock, {"run_id": answer["lock"]["run_id"]}, NOW)["result"] == "released"


def send(path: Path, action: str, run_id: str, python: str = sys.executable) -> subprocess.Popen[str]:
    sent = program({"action": action, "path": str(path), "run_id": run_id, **job(run_id)})
    process = subprocess.Popen(
        [python, "-IBX", "utf8", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdin
    process.stdin.write(sent.decode())
    return process


def answers(processes: list[subprocess.Popen[str]]) -> list[dict[str, Any]]:
    """All are let go at once: each waits for the end of its program."""
    for process in processes:
        assert process.stdin
        process.stdin.close()
        process.stdin = None
    found = []
    for process in processes:
        stdout, stderr = process.communicate(timeout=30)
        answer = parse(f"a banner\n{stdout}")
        assert answer, stderr
        found.append(dict(answer))
    return found


def test_of_many_runs_at_once_one_is_first(tmp_path: Path) -> None:
    path = tmp_path / "state/change.lock"
    for round_number in range(4):
        found = answers([send(path, "acquire", f"{round_number}-{number}") for number in range(8)])
        assert sorted(answer["result"] for answer in found) == ["acquired", *["held"] * 7]
        [winner] = {answer["lock"]["run_id"] for answer in found if answer["result"] == "held"}
        assert [answer["result"] for answer in answers([send(path, "release", winner)])] == ["released"]


def test_folder_that_others_can_write_is_no_place_for_a_lock(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    folder.chmod(0o777)
    [answer] = answers([send(folder / "change.lock", "acquire", "a")])
    assert "can be written by others than root" in answer["error"]
    assert list(folder.iterdir()) == []


def test_symlink_is_not_followed(tmp_path: Path) -> None:
    folder, target = tmp_path / "state", tmp_path / "target"
    folder.mkdir(mode=0o700)
    target.write_text("precious", encoding="utf-8")
    (folder / "change.lock").symlink_to(target)
    [answer] = answers([send(folder / "change.lock", "acquire", "a")])
    assert answer["result"] == "error"
    assert target.read_text(encoding="utf-8") == "precious"


def acquired_after(path: Path, preparation: str) -> dict[str, Any]:
    """The answer of a program that is prepared before it decides."""
    sent = program({"action": "acquire", "path": str(path), **job("a")}).decode()
    source, _unused, call = sent.rpartition("\nmain(")
    text = f"{source}\n{preparation}\nmain({call}"
    done = subprocess.run([sys.executable, "-"], input=text, capture_output=True, text=True, check=True)
    return dict(parse(done.stdout) or {})


def test_full_disk_leaves_no_lock(tmp_path: Path) -> None:
    """A limit on the size of files fails the write as a full disk does."""
    limit = (
        "import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))\n"
    )
    answer = acquired_after(tmp_path / "state/change.lock", limit)
    assert answer["result"] == "error"
    assert list((tmp_path / "state").iterdir()) == []


def test_without_root_rights_the_error_says_so(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    drop = "os.setgroups([])\nos.setgid(65534)\nos.setuid(65534)\n" if os.geteuid() == 0 else ""
    answer = acquired_after(tmp_path / "state/change.lock", drop)
    assert "root rights (ansible_become)" in answer["error"]
