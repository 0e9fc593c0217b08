# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A file differs where its content, kind, owner or mode does; what was replaced can be put back."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest
from ansible_collections.ops.runbook.plugins.module_utils.backup_restic import moment
from ansible_collections.ops.runbook.plugins.module_utils.file_restore import (
    JOURNAL,
    Entry,
    FileRestore,
    FileRestoreError,
    difference,
    estimate,
    last,
    listing,
)


def entry(path: Path, **more: Any) -> Entry:
    values = {"mode": 0o640, "uid": os.getuid(), "gid": os.getgid(), "mtime": 1e9, **more}
    return Entry(path=str(path), **values)


#: What is to be done after a restore.
AFTER: dict[str, list[Any]] = {"verify": [["nginx", "-t"]], "reload": ["nginx.service"]}


class Snapshot:
    """A snapshot with these files, and folders where there is no content."""

    def __init__(self, files: dict[Path, bytes | None], fails_after: int = 99) -> None:
        self._files = files
        self._fails_after = fails_after

    def listed(self, _snapshot: str, _path: str) -> list[Entry]:
        return [entry(path, size=len(content or b""), folder=content is None) for path, content in self._files.items()]

    def whole(self, _snapshot: str, path: str, target: Path) -> None:
        for one, content in self._files.items():
            if str(one).startswith(path):
                file = Path(f"{target}{one}")
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content or b"")
                file.chmod(0o640)

    def entries(self, snapshot: str, path: str) -> Iterator[tuple[Entry, IO[bytes] | None]]:
        for number, one in enumerate(self.listed(snapshot, path)):
            if number == self._fails_after:
                raise FileRestoreError("the store went away")
            content = self._files[Path(one.path)]
            yield one, None if content is None else io.BytesIO(content)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_differences_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a"
    assert difference(entry(path, size=1), sha256(b"x")) == "missing"
    path.write_bytes(b"x")
    path.chmod(0o640)
    assert difference(entry(path, size=1), sha256(b"x")) == ""
    assert difference(entry(path, size=1), sha256(b"y")) == "other content"
    assert difference(entry(path, size=2), sha256(b"xx")) == "other content"
    assert difference(entry(path, mode=0o600, size=1), sha256(b"x")) == "other owner or mode"
    assert difference(entry(path, link="b"), "") == "other link"
    assert difference(entry(path, folder=True), "") == "another kind of file"
    assert difference(entry(tmp_path, folder=True, mode=0o700), "") == ""
    assert difference(entry(tmp_path, folder=True, mode=0o750), "") == "other owner or mode"
    link = tmp_path / "l"
    link.symlink_to("a")
    assert difference(entry(link, link="a"), "") == ""
    assert difference(entry(link, size=1), sha256(b"x")) == "another kind of file"


def test_only_what_differs_is_replaced_and_kept(tmp_path: Path) -> None:
    same, other, missing = (tmp_path / name for name in ("same", "other", "new/missing"))
    same.write_bytes(b"same")
    same.chmod(0o640)
    other.write_bytes(b"today")
    os.utime(other, (2e9, 2e9))
    snapshot: Any = Snapshot({same: b"same", other: b"then", missing: b"gone!"})
    work = FileRestore(str(tmp_path / "kept"))
    seen = work.differing(snapshot, "s", ["/"])
    assert [row["path"] for row in seen] == [str(other), str(missing)]
    said = estimate(seen, 3.2)
    assert said.startswith("files that come back: 2 with 9 bytes, in about 3 s; written since the snapshot, and lost")
    assert said.endswith(": 1 with 5 bytes, the newest of 2033-05-18 03:33:20 UTC")
    assert estimate(seen[1:], 0.1) == "files that come back: 1 with 5 bytes, in about 1 s; nothing of today is lost"
    done = work.restore(snapshot, "s", ["/"], AFTER)
    assert done == seen
    assert listing(done) == f"- {other}: other content\n- {missing}: missing\n"
    assert (other.read_bytes(), missing.read_bytes()) == (b"then", b"gone!")
    assert other.stat().st_mtime == 1e9
    assert work.restore(snapshot, "s", ["/"], AFTER) == []
    assert work.rollback() == sorted([str(other), str(missing)])
    assert (other.read_bytes(), missing.exists()) == (b"today", False)


def test_what_is_missing_is_told_without_its_content(tmp_path: Path) -> None:
    """So that a lost folder of any size is looked at in a moment."""
    snapshot: Any = Snapshot({tmp_path: None, tmp_path / "a": b"a", tmp_path / "b": b"b"}, fails_after=0)
    tmp_path.chmod(0o640)
    work = FileRestore(str(tmp_path / "kept"))
    assert [row["how"] for row in work.differing(snapshot, "s", ["/"])] == ["missing", "missing"]
    assert work.read == 0
    (tmp_path / "a").write_bytes(b"x")
    with pytest.raises(FileRestoreError, match="went away"):
        work.differing(snapshot, "s", ["/"])


def test_folders_come_back_with_owner_and_mode_and_go_again(tmp_path: Path) -> None:
    lost, loose = tmp_path / "lost", tmp_path / "loose"
    loose.mkdir(mode=0o755)
    snapshot: Any = Snapshot({loose: None, lost: None, lost / "deep": None, lost / "deep/file": b"x"})
    work = FileRestore(str(tmp_path / "kept"))
    done = work.restore(snapshot, "s", ["/"], AFTER)
    assert [row["how"] for row in done] == ["other owner or mode", "missing", "missing", "missing"]
    assert [path.stat().st_mode & 0o7777 for path in (loose, lost, lost / "deep")] == [0o640] * 3
    assert work.restore(snapshot, "s", ["/"], AFTER) == []
    work.rollback()
    assert (loose.stat().st_mode & 0o7777, lost.exists()) == (0o755, False)


def test_a_lost_file_comes_back_with_the_folders_that_it_needs_and_they_go_with_it(tmp_path: Path) -> None:
    lost = tmp_path / "a/b/file"
    snapshot: Any = Snapshot({lost: b"x"})
    work = FileRestore(str(tmp_path / "kept"))
    assert [row["how"] for row in work.restore(snapshot, "s", [str(lost)], AFTER)] == ["missing"]
    assert (lost.read_bytes(), work.read) == (b"x", 1)
    work.rollback()
    assert [path.name for path in tmp_path.iterdir() if path.name != "kept"] == []


def test_a_file_whose_content_ends_early_leaves_no_draft(tmp_path: Path) -> None:
    class Broken(io.BytesIO):
        def read(self, *_length: Any) -> bytes:
            raise OSError("the disk is full")

    snapshot: Any = Snapshot({tmp_path: None, tmp_path / "file": b"x"})
    snapshot.entries = lambda *_path: iter([(entry(tmp_path / "file", size=1), Broken())])
    with pytest.raises(FileRestoreError, match="the disk is full; everything is as it was"):
        FileRestore(str(tmp_path / "kept")).restore(snapshot, "s", [str(tmp_path)], AFTER)
    assert [path for path in tmp_path.rglob("*") if path.name != "kept"] == []


def test_what_is_a_folder_today_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/b").write_bytes(b"today")
    work = FileRestore(str(tmp_path / "kept"))
    for other in ({tmp_path / "a": b"file"}, {tmp_path / "a/b": None}):
        with pytest.raises(FileRestoreError, match="folder today; move it away first; everything is as it was"):
            work.restore(Snapshot(other), "s", ["/"], AFTER)  # type: ignore[arg-type]
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == ["a", "a/b"]


def test_a_journal_whose_last_line_was_cut_off_is_read_on(tmp_path: Path) -> None:
    path, kept = tmp_path / "1", tmp_path / "kept"
    path.write_bytes(b"today")
    FileRestore(str(kept)).restore(Snapshot({path: b"then"}), "s", ["/"], AFTER)  # type: ignore[arg-type]
    with (kept / "unfinished" / JOURNAL).open("a", encoding="utf-8") as journal:
        journal.write('{"path": "/etc/pass')
    later: Any = Snapshot({path: b"later", tmp_path / "2": b"new"})
    work = FileRestore(str(kept))
    work.restore(later, "s", ["/"], AFTER)
    assert work.rollback() == [str(path), str(tmp_path / "2")]
    assert (path.read_bytes(), (tmp_path / "2").exists()) == (b"today", False)


def test_a_restore_that_fails_leaves_everything_as_it_was(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    first.write_bytes(b"today")
    snapshot: Any = Snapshot({first: b"then", second: b"then"}, fails_after=1)
    work = FileRestore(str(tmp_path / "kept"))
    with pytest.raises(FileRestoreError, match="went away; everything is as it was"):
        work.restore(snapshot, "s", ["/"], AFTER)
    assert first.read_bytes() == b"today"
    assert not second.exists()
    assert not work.unfinished


def test_a_restore_that_nobody_confirmed_is_gone_on_with(tmp_path: Path) -> None:
    """Of two runs that were killed, the first copy of each file stays; what both wanted to be done is outstanding."""
    first, second = tmp_path / "1", tmp_path / "2"
    first.write_bytes(b"first")
    second.write_bytes(b"second")
    kept = tmp_path / "kept"
    snapshot: Any = Snapshot({first: b"then"})
    FileRestore(str(kept)).restore(snapshot, "s", ["/"], AFTER)
    later: Any = Snapshot({first: b"later", second: b"later"})
    work = FileRestore(str(kept))
    work.restore(later, "s", ["/"], {"verify": [], "reload": ["other.service", "nginx.service"]})
    again = FileRestore(str(kept))
    assert again.unfinished
    nothing: dict[str, list[Any]] = {"verify": [], "reload": []}
    assert again.outstanding(nothing) == {"verify": [["nginx", "-t"]], "reload": ["nginx.service", "other.service"]}
    assert again.rollback() == [str(first), str(second)]
    assert (first.read_bytes(), second.read_bytes()) == (b"first", b"second")
    assert again.outstanding(nothing) == nothing


def test_what_a_confirmed_restore_has_replaced_stays_under_its_run(tmp_path: Path) -> None:
    path, kept = tmp_path / "1", tmp_path / "kept"
    path.write_bytes(b"today")
    snapshot: Any = Snapshot({path: b"then"})
    work = FileRestore(str(kept))
    work.restore(snapshot, "s", ["/"], AFTER)
    work.confirm("f" * 32)
    work.confirm("e" * 32)
    assert not work.unfinished
    assert work.rollback() == []
    assert path.read_bytes() == b"then"
    assert [(folder.name, (folder / "0").read_bytes()) for folder in kept.iterdir()] == [("f" * 8, b"today")]


def row(name: str, time: str) -> dict[str, Any]:
    return {"id": name * 8, "short_id": name, "time": time, "tags": ["configuration"]}


SNAPSHOTS = [
    row("old", "2026-11-01T01:00:00Z"),
    row("good", "2026-11-02T01:00:00Z"),
    row("then", "2099-01-01T00:00:00Z"),
]


def test_the_newest_is_the_one_that_the_store_received_last() -> None:
    came = {each["id"]: moment(each["time"]) + 60 for each in SNAPSHOTS[:2]}
    forged = {**came, "then" * 8: moment("2026-11-03T00:00:00Z")}
    assert last(SNAPSHOTS, forged)["short_id"] == "good"
    # One that names a time of long ago came in last, and one that the store does not know came from elsewhere.
    assert last(SNAPSHOTS, {**came, "old" * 8: moment("2026-11-03T00:00:00Z")})["short_id"] == "good"
    assert last(SNAPSHOTS, {"old" * 8: came["old" * 8]})["short_id"] == "old"


def test_without_a_store_none_from_the_future_is_the_newest() -> None:
    assert last(SNAPSHOTS)["short_id"] == "good"


def test_no_snapshot_that_is_what_it_says() -> None:
    with pytest.raises(FileRestoreError, match=r"then bear a time at which .* by its id: then of 2099-01-01T00:00:00"):
        last(SNAPSHOTS[2:])
    with pytest.raises(FileRestoreError, match=r"the store has received none\. Give one by its id: none"):
        last([], {})
