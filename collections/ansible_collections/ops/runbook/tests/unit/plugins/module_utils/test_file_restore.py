# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A file differs where its content, kind, owner or mode does; what was replaced can be put back."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest
from ansible_collections.ops.runbook.plugins.module_utils.file_restore import (
    Entry,
    FileRestore,
    FileRestoreError,
    difference,
    listing,
)


def entry(path: Path, **more: Any) -> Entry:
    values = {"mode": 0o640, "uid": os.getuid(), "gid": os.getgid(), "mtime": 1e9, **more}
    return Entry(path=str(path), **values)


class Snapshot:
    """A snapshot with these files."""

    def __init__(self, files: dict[Path, bytes], fails_after: int = 99) -> None:
        self._files = files
        self._fails_after = fails_after

    def entries(self, _snapshot: str, _path: str) -> Iterator[tuple[Entry, IO[bytes]]]:
        for number, (path, content) in enumerate(self._files.items()):
            if number == self._fails_after:
                raise FileRestoreError("the store went away")
            yield entry(path), io.BytesIO(content)


def test_differences_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a"
    assert difference(entry(path), io.BytesIO(b"x")) == "missing"
    path.write_bytes(b"x")
    path.chmod(0o640)
    assert difference(entry(path), io.BytesIO(b"x")) == ""
    assert difference(entry(path), io.BytesIO(b"y")) == "other content"
    assert difference(entry(path, mode=0o600), io.BytesIO(b"x")) == "other owner or mode"
    assert difference(entry(path, link="b"), None) == "other link"
    link = tmp_path / "l"
    link.symlink_to("a")
    assert difference(entry(link, link="a"), None) == ""
    assert difference(entry(link), io.BytesIO(b"x")) == "another kind of file"


def test_only_what_differs_is_replaced_and_kept(tmp_path: Path) -> None:
    same, other, missing = (tmp_path / name for name in ("same", "other", "new/missing"))
    same.write_bytes(b"same")
    same.chmod(0o640)
    other.write_bytes(b"today")
    snapshot = Snapshot({same: b"same", other: b"then", missing: b"gone"})
    work = FileRestore("f" * 32, str(tmp_path / "kept"))
    assert [row["path"] for row in work.differing(snapshot, "s", ["/"])] == [str(other), str(missing)]  # type: ignore[arg-type]
    done = work.restore(snapshot, "s", ["/"])  # type: ignore[arg-type]
    assert listing(done) == f"- {other}: other content\n- {missing}: missing\n"
    assert (other.read_bytes(), missing.read_bytes()) == (b"then", b"gone")
    assert other.stat().st_mtime == 1e9
    assert work.restore(snapshot, "s", ["/"]) == []  # type: ignore[arg-type]
    assert work.rollback() == sorted([str(other), str(missing)])
    assert (other.read_bytes(), missing.exists()) == (b"today", False)


def test_a_restore_that_fails_leaves_everything_as_it_was(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    first.write_bytes(b"today")
    snapshot = Snapshot({first: b"then", second: b"then"}, fails_after=1)
    work = FileRestore("f" * 32, str(tmp_path / "kept"))
    with pytest.raises(FileRestoreError, match="went away; everything is as it was"):
        work.restore(snapshot, "s", ["/"])  # type: ignore[arg-type]
    assert first.read_bytes() == b"today"
    assert not second.exists()
