# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path

import pytest
from ansible_collections.ops.runbook.plugins.module_utils.file_set import Entry, FileSet

OWNER, GROUP = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name


@pytest.fixture
def files(tmp_path: Path) -> FileSet:
    return FileSet("mine", tmp_path / "kept")


def entry(path: Path, content: str | None = "new", mode: int = 0o640, *, absent: bool = False) -> Entry:
    text = None if content is None else content.encode()
    return Entry(path, text, mode, OWNER, GROUP, absent)


def test_installed_once_and_put_back(files: FileSet, tmp_path: Path) -> None:
    old, new, folder = tmp_path / "old", tmp_path / "folder" / "new", tmp_path / "folder"
    old.write_text("former")
    old.chmod(0o600)
    entries = [entry(folder, None, 0o750), entry(old), entry(new)]
    assert files.differing(entries) == entries
    files.install(entries)
    assert files.differing(entries) == []
    assert (old.read_text(), new.read_text()) == ("new", "new")
    assert new.stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "kept" / "mine.json").stat().st_mode & 0o777 == 0o600
    assert set(files.restore()) == {str(old), str(new), str(folder)}
    assert old.read_text() == "former"
    assert old.stat().st_mode & 0o777 == 0o600
    assert not folder.exists()
    assert files.former() == {}


def test_way_back_of_an_interrupted_run_leads_to_its_start(files: FileSet, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("first")
    files.install([entry(path, "second")])
    files.install([entry(path, "third")])
    files.restore()
    assert path.read_text() == "first"


def test_confirmed_set_has_no_way_back(files: FileSet, tmp_path: Path) -> None:
    path = tmp_path / "file"
    files.install([entry(path)])
    assert files.confirm()
    assert not files.confirm()
    assert files.restore() == []
    assert path.read_text() == "new"


def test_folder_that_was_filled_stays(files: FileSet, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    files.install([entry(folder, None)])
    (folder / "backup").write_text("precious")
    files.restore()
    assert (folder / "backup").exists()


def test_absent_file_is_removed(files: FileSet, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    files.install([entry(path, absent=True)])
    assert not path.exists()
    files.restore()
    assert path.read_text() == "old"
