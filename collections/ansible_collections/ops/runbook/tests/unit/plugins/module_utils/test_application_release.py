from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.ops.runbook.plugins.module_utils import application_release as store


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number, name in enumerate(("first", "second", "third", "fourth")):
        folder = store.begin(tmp_path, name)
        (folder / "app.py").write_text(f"version = {number}\n")
        (folder / "requirements.lock").write_text("click==8\n")
        store.finish(folder)
        subprocess.run(["touch", "-d", f"2026-01-0{number + 1}", folder], check=True)
    store.point(tmp_path, "current", "fourth")
    store.point(tmp_path, "previous", "third")
    return tmp_path


def names(root: Path) -> set[str]:
    return {path.name for path in store.releases(root)}


def test_release_is_incomplete_until_it_is_finished(tmp_path: Path) -> None:
    folder = store.begin(tmp_path, "new")
    assert not store.is_whole(folder)
    (folder / "half").touch()
    again = store.begin(tmp_path, "new")
    assert [path.name for path in again.iterdir()] == [store.INCOMPLETE]
    store.finish(again)
    assert store.is_whole(again)


def test_what_is_removed_halfway_is_not_whole(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(path: str) -> None:
        raise KeyboardInterrupt

    (root / "releases/first/venv").mkdir()
    monkeypatch.setattr(store.shutil, "rmtree", cut)
    with pytest.raises(KeyboardInterrupt):
        store.remove(root, "first")
    assert not store.is_whole(root / "releases/first")


@pytest.mark.parametrize(
    ("keep", "gone"),
    [(0, ["first", "second"]), (2, ["first", "second"]), (3, ["first"]), (4, []), (5, []), (9, [])],
)
def test_running_release_and_the_one_before_it_always_stay(root: Path, keep: int, gone: list[str]) -> None:
    assert store.superfluous(root, keep, "fourth", "third") == gone


def test_release_that_a_process_works_in_stays(root: Path) -> None:
    process = subprocess.Popen(["sleep", "60"], cwd=root / "releases/first")
    try:
        assert store.superfluous(root, 0, "fourth", "third") == ["second"]
    finally:
        process.kill()
        process.wait()


def test_release_that_a_process_was_called_with_stays(root: Path) -> None:
    process = subprocess.Popen(["tail", "-f", str(root / "releases/first/app.py")], stdout=subprocess.DEVNULL, cwd="/")
    try:
        assert store.superfluous(root, 0, "fourth", "third") == ["second"]
    finally:
        process.kill()
        process.wait()


def test_half_releases_go_first(root: Path) -> None:
    store.begin(root, "half")
    assert store.superfluous(root, 9, "fourth", "third") == ["half"]
    assert store.superfluous(root, 9, "half", "third") == []


def test_link_never_is_away(root: Path) -> None:
    store.point(root, "current", "first")
    assert store.linked(root, "current") == "first"
    assert (root / "current/app.py").read_text() == "version = 0\n"
    assert store.linked(root, "nothing") == ""
    assert sorted(path.name for path in root.iterdir()) == ["current", "previous", "releases"]


def test_change_is_remembered_until_its_end(root: Path) -> None:
    assert store.read_change(root) == {}
    store.write_change(root, {"release": "fourth", "previous": "third"})
    assert store.read_change(root) == {"release": "fourth", "previous": "third"}
    store.end_change(root)
    store.end_change(root)
    assert store.read_change(root) == {}
    (root / store.CHANGE).write_text("{")
    with pytest.raises(store.ReleaseError, match="is damaged"):
        store.read_change(root)


def test_code_is_what_was_not_made_by_the_build(root: Path) -> None:
    first = root / "releases/first"
    before = store.code_digest(first)
    for name in ("venv/bin/python", "wheels/x.whl", "__pycache__/app.pyc", "requirements.lock", "requirements.in"):
        (first / name).parent.mkdir(parents=True, exist_ok=True)
        (first / name).write_text("other")
    assert store.code_digest(first) == before
    (first / "app.py").chmod(0o755)
    changed = store.code_digest(first)
    (first / "settings").mkdir()
    (first / "settings/venv").write_text("code, below a folder of the code")
    assert len({before, changed, store.code_digest(first)}) == 3


def test_inspection_runs_alone_and_changes_nothing(root: Path) -> None:
    store.begin(root, "half")
    store.write_change(root, {"release": "half"})
    before = sorted(str(path) for path in root.rglob("*"))
    program = store.program(str(root), sys.executable)
    done = subprocess.run(
        [sys.executable, "-ISBX", "utf8", "-"], input=program, capture_output=True, check=True, text=True
    )
    found = json.loads(done.stdout)
    assert [entry["name"] for entry in found["releases"]] == ["first", "second", "third", "fourth"]
    assert (found["current"], found["previous"], found["change"]) == ("fourth", "third", {"release": "half"})
    assert found["python"]["markers"]["sys_platform"] == "linux"
    assert sorted(str(path) for path in root.rglob("*")) == before


def test_inspection_says_what_is_wrong(root: Path) -> None:
    program = store.program(str(root), "/bin/false")
    done = subprocess.run([sys.executable, "-"], input=program, capture_output=True, check=True, text=True)
    assert "/bin/false does not run" in json.loads(done.stdout)["error"]
