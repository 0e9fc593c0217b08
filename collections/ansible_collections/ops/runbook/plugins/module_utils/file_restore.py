# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files as they were in a snapshot: compared with those of today without writing, and put back where they differ.

The snapshot comes as one stream. What is replaced is kept, and a step that fails puts everything back. Python 3.9.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Optional

from ansible_collections.ops.runbook.plugins.module_utils.backup_receipt import doubtful, newest
from ansible_collections.ops.runbook.plugins.module_utils.backup_restic import moment

ENVIRONMENT = "/etc/restic/environment"
KEPT = "/var/lib/ops-runbook/file-restore"
#: Contents up to this size stay in memory while they are compared.
IN_MEMORY = 32 * 2**20
DRAFT = ".ops-runbook-restored"
JOURNAL = "journal.jsonl"
#: How much comes back in a second, in bytes, where that was not seen yet.
RATE = 50e6
#: For a folder that comes back whole, in seconds.
LONGEST = 24 * 3600
#: Differences with which the content of today is lost.
LOSES = ("other content", "other link", "another kind of file")

#: What is to be done after a restore: commands to `verify` it, units to `reload`.
After = Mapping[str, "list[Any]"]


class FileRestoreError(Exception):
    """Nothing, or not all, could be restored; the text says why."""


@dataclass(frozen=True)
class Entry:
    """A file, symbolic link or folder of a snapshot."""

    path: str
    mode: int
    uid: int
    gid: int
    mtime: float
    #: Bytes of a file.
    size: int = 0
    #: Where a link leads to; empty where that is not known yet, None for anything else.
    link: Optional[str] = None
    folder: bool = False


def digest(stream: IO[bytes]) -> str:
    """SHA-256 of what is left of a stream."""
    found = hashlib.sha256()
    while chunk := stream.read(2**20):
        found.update(chunk)
    return found.hexdigest()


def stated(entry: Entry) -> str:
    """How what is there today differs from the snapshot's, as far as that shows without the content; empty if not."""
    path = Path(entry.path)
    if not os.path.lexists(entry.path):
        return "missing"
    if entry.link is not None:
        return "" if path.is_symlink() and entry.link in ("", str(path.readlink())) else "other link"
    if path.is_symlink() or not (path.is_dir() if entry.folder else path.is_file()):
        return "another kind of file"
    state = path.lstat()
    if not entry.folder and state.st_size != entry.size:
        return "other content"
    return ""


def difference(entry: Entry, sha256: str) -> str:
    """How what is there today differs from the snapshot's, whose content has this hash; empty where it does not."""
    how = stated(entry)
    if how or entry.link is not None:
        return how
    if not entry.folder:
        with Path(entry.path).open("rb") as today:
            if digest(today) != sha256:
                return "other content"
    return owned(entry)


def owned(entry: Entry) -> str:
    """How owner or mode of what is there today differ; empty where they do not. Those of links do not matter."""
    state = os.lstat(entry.path)
    same = (state.st_mode & 0o7777, state.st_uid, state.st_gid) == (entry.mode, entry.uid, entry.gid)
    return "" if same or entry.link is not None else "other owner or mode"


class Snapshots:
    """The snapshots of this host."""

    def __init__(self, environment: str = ENVIRONMENT) -> None:
        try:
            lines = Path(environment).read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise FileRestoreError(f"this host has no file backups: {error}") from error
        pairs = (line.partition("=") for line in lines if "=" in line and not line.startswith("#"))
        self._environment = {**os.environ, **{name: shlex.split(value)[0] for name, _equals, value in pairs}}

    def _restic(self, *words: str, seconds: int = 120) -> str:
        command = ["timeout", str(seconds), "restic", "--no-lock", *words]
        # A stream of another size than run_command takes. pylint: disable-next=ansible-bad-function
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            said = done.stderr.strip()[-500:] or f"exit status {done.returncode}"
            raise FileRestoreError(f"the store cannot be asked: {said}")
        return done.stdout

    def choose(self, wanted: str, tag: str, received: Optional[Mapping[str, float]] = None) -> Mapping[str, Any]:
        """The snapshot by its id, or `latest`. FileRestoreError with those that there are."""
        listed = self._restic("snapshots", "--json", *(["--tag", tag] if tag else []))
        found: list[dict[str, Any]] = json.loads(listed) or []
        found.sort(key=lambda item: item["time"])
        if wanted == "latest":
            return last(found, received)
        chosen = [s for s in found if wanted and s["id"].startswith(wanted)]
        if len(chosen) == 1:
            return chosen[0]
        raise FileRestoreError(f"there is no snapshot {wanted!r}. There are: {_named(found)}")

    def listed(self, snapshot: str, path: str) -> list[Entry]:
        """Everything at or below a path of the snapshot, without contents; links lead nowhere yet."""
        rows = [json.loads(line) for line in self._restic("ls", "--json", snapshot, path).splitlines()]
        nodes = [row for row in rows if row.get("struct_type") == "node" and row["type"] in _KINDS]
        inside = path.rstrip("/") + "/"
        found = [
            Entry(
                path=row["path"],
                mode=_mode(row["mode"]),
                uid=row["uid"],
                gid=row["gid"],
                mtime=moment(row["mtime"]),
                size=row.get("size", 0),
                link="" if row["type"] == "symlink" else None,
                folder=row["type"] == "dir",
            )
            for row in nodes
            if row["path"] == path or row["path"].startswith(inside)
        ]
        if not any(entry.path == path for entry in found):
            raise FileRestoreError(f"snapshot {snapshot} has no {path}")
        return found

    def entries(self, snapshot: str, path: str) -> Iterator[tuple[Entry, Optional[IO[bytes]]]]:
        """Everything at or below a path of the snapshot, with the contents of files, which can be read once."""
        own = _at(path, self.listed(snapshot, path))
        if not own.folder and own.link is None:
            with self._stream("dump", snapshot, path) as stream:
                yield own, stream
            return
        # The archive has what is below a folder, and perhaps the folder.
        if own.folder:
            yield own, None
        tar = self._stream("dump", "--archive=tar", snapshot, path)
        with tar as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                yield from (
                    found for found in _member(archive, member, path) if not own.folder or found[0].path != path
                )

    def whole(self, snapshot: str, path: str, target: Path) -> None:
        """Write a path of the snapshot below a folder; restic reads many parts at once, and compares all again."""
        pattern = re.sub(r"([\\*?[])", r"\\\1", path)
        self._restic("restore", snapshot, "--include", pattern, "--target", str(target), "--verify", seconds=LONGEST)

    def _stream(self, *words: str) -> _Stream:
        return _Stream(["restic", "--no-lock", *words], self._environment)


def _at(path: str, entries: Iterable[Entry]) -> Entry:
    return next(entry for entry in entries if entry.path == path)


def last(found: Sequence[Mapping[str, Any]], received: Optional[Mapping[str, float]] = None) -> Mapping[str, Any]:
    """The newest that is what it says: by when the store received each; without a store, by the clock of this host."""
    judged = []
    for each in found:
        made = moment(each["time"])
        came = min(made, time.time()) if received is None else received.get(each["id"])
        if came is not None:
            judged.append({**each, "made": made, "received": came})
    chosen = newest(judged)
    if chosen is None:
        why = doubtful(judged) or "the store has received none"
        raise FileRestoreError(f"no snapshot can be taken for the newest: {why}. Give one by its id: {_named(found)}")
    return chosen


def _named(found: Sequence[Mapping[str, Any]]) -> str:
    known = (f"{s['short_id']} of {s['time'][:19]} ({', '.join(s.get('tags') or ())})" for s in found[-10:])
    return "; ".join(known) or "none"


class _Stream:
    """What a program prints, read while it runs. FileRestoreError where it fails."""

    def __init__(self, command: list[str], environment: Mapping[str, str]) -> None:
        # Longer than what run_command takes. pylint: disable-next=ansible-bad-function
        self._process = subprocess.Popen(command, env=dict(environment), stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def __enter__(self) -> IO[bytes]:
        if self._process.stdout is None:
            raise FileRestoreError("restic has no pipes")
        return self._process.stdout

    def __exit__(self, failure: object, *_ignored: object) -> None:
        if failure is not None:
            self._process.kill()
        _rest, said = self._process.communicate()
        if failure is None and self._process.returncode != 0:
            text = said.decode("utf-8", "replace").strip()
            raise FileRestoreError(f"restic cannot read the snapshot: {text[-500:]}")


#: What is restored of what restic tells apart.
_KINDS = ("file", "dir", "symlink")


def _mode(mode: int) -> int:
    """Permissions in the way of Unix; restic keeps some of them in bits of Go's."""
    special = ((1 << 23, 0o4000), (1 << 22, 0o2000), (1 << 20, 0o1000))
    return mode & 0o777 | sum(bit for theirs, bit in special if mode & theirs)


def _member(
    archive: tarfile.TarFile, member: tarfile.TarInfo, folder: str
) -> Iterator[tuple[Entry, Optional[IO[bytes]]]]:
    name = "/" + member.name.strip("/")
    path = name if name == folder or name.startswith(folder.rstrip("/") + "/") else f"{folder.rstrip('/')}{name}"
    entry = Entry(path, member.mode & 0o7777, member.uid, member.gid, float(member.mtime))
    if member.issym():
        yield replace(entry, link=member.linkname), None
    elif member.isdir():
        yield replace(entry, folder=True), None
    elif member.isfile():
        yield replace(entry, size=member.size), archive.extractfile(member)


def _held(source: IO[bytes]) -> IO[bytes]:
    """The content, to be read more than once. Closing it removes it."""
    held = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 - whoever called closes it
    shutil.copyfileobj(source, held, 2**20)
    held.seek(0)
    return held


class FileRestore:
    """Restores of paths on this host, with what they replace until that is confirmed.

    A run that was killed leaves what it has replaced, and what is to be done afterwards. The next one goes on with it.
    """

    def __init__(self, kept: str = KEPT) -> None:
        self._kept = Path(kept)
        self._folder = self._kept / "unfinished"
        #: How many files were read from the snapshot: restic has compared each with its hash.
        self.read = 0

    def differing(self, snapshots: Snapshots, snapshot: str, paths: list[str]) -> list[dict[str, Any]]:
        """What a restore would put back; nothing is written. Contents are read where nothing else tells."""
        found = []
        for path in paths:
            entries: Iterable[tuple[Entry, Optional[IO[bytes]]]] = [(e, None) for e in snapshots.listed(snapshot, path)]
            if not all(entry.folder or stated(entry) for entry, _none in entries):
                entries = snapshots.entries(snapshot, path)
            for entry, content in entries:
                how = stated(entry) or difference(entry, self._read(content))
                if how:
                    found.append(_row(entry, how))
        return found

    def _read(self, content: Optional[IO[bytes]]) -> str:
        """The hash of the snapshot's content."""
        if content is None:
            return ""
        self.read += 1
        return digest(content)

    def restore(self, snapshots: Snapshots, snapshot: str, paths: list[str], after: After) -> list[dict[str, Any]]:
        """Put back what differs. FileRestoreError after everything is as it was, where one cannot be."""
        done: list[dict[str, Any]] = []
        try:
            with _Journal(self._folder, after) as journal:
                for path in paths:
                    if not os.path.lexists(path):
                        done += self._whole(snapshots, snapshot, path, journal)
                        continue
                    for entry, content in snapshots.entries(snapshot, path):
                        done += self._put(entry, content, journal)
            if done:
                # Once for all of them: they are on the disk before anybody counts on it.
                os.sync()
        except (FileRestoreError, OSError, tarfile.TarError) as error:
            self.rollback()
            raise FileRestoreError(f"{error}; everything is as it was") from error
        return done

    def _whole(self, snapshots: Snapshots, snapshot: str, path: str, journal: _Journal) -> list[dict[str, Any]]:
        """Put back a path of which nothing is left: it appears as a whole."""
        listed = snapshots.listed(snapshot, path)
        missing = list(itertools.takewhile(lambda folder: not folder.is_dir(), Path(path).parents))
        draft = (missing[-1] if missing else Path(path)).parent / DRAFT
        shutil.rmtree(str(draft), ignore_errors=True)
        try:
            draft.mkdir(mode=0o700)
            snapshots.whole(snapshot, path, draft)
            done = [_row(entry, "missing") for entry in listed]
            for folder in reversed(missing):
                journal.keep(Entry(str(folder), 0o755, 0, 0, 0.0, folder=True))
            journal.keep(_at(path, listed), tree=True)
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(f"{draft}{path}").replace(path)
        finally:
            shutil.rmtree(str(draft), ignore_errors=True)
        for entry in listed:
            left = stated(entry) or owned(entry)
            if left:
                raise FileRestoreError(f"{entry.path} was restored and still has {left}")
        self.read += sum(not entry.folder and entry.link is None for entry in listed)
        return done

    def _put(self, entry: Entry, content: Optional[IO[bytes]], journal: _Journal) -> list[dict[str, Any]]:
        """Put it back if it differs."""
        how = stated(entry)
        today = Path(entry.path)
        if how == "another kind of file" and (entry.folder or (today.is_dir() and not today.is_symlink())):
            raise FileRestoreError(f"{entry.path} is {'no' if entry.folder else 'a'} folder today; move it away first")
        if content is None:
            return _replaced(entry, None, how or difference(entry, ""), journal)
        if how:
            self.read += 1
            return _replaced(entry, content, how, journal)
        # Most likely it is the same: it is looked at before anything is written.
        with _held(content) as held:
            how = difference(entry, self._read(held))
            held.seek(0)
            return _replaced(entry, held, how, journal)

    def outstanding(self, after: After) -> dict[str, list[Any]]:
        """What is to be done after a restore that is not confirmed: what its runs wanted, and what this one wants."""
        known = self._known()
        return {
            name: [*known[name], *(one for one in wanted if one not in known[name])] for name, wanted in after.items()
        }

    @property
    def unfinished(self) -> bool:
        """Whether a restore is not confirmed."""
        return (self._folder / JOURNAL).exists()

    def _known(self) -> dict[str, Any]:
        return _Journal(self._folder).known

    def rollback(self) -> list[str]:
        """Put back what was replaced and not confirmed: the paths."""
        replaced = self._known()["replaced"]
        # Folders lose what was put into them before they go themselves.
        for path in reversed(replaced):
            _put_back(path, replaced[path], self._folder)
        if self._folder.exists():
            # Without it, copies that are left mean nothing.
            (self._folder / JOURNAL).unlink(missing_ok=True)
            shutil.rmtree(str(self._folder))
        return sorted(replaced)

    def confirm(self, run_id: str) -> None:
        """What was put back stays. What it has replaced is kept under the run."""
        if self.unfinished:
            self._folder.replace(self._kept / (run_id[:8] or time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())))


class _Journal:
    """What an unfinished restore has replaced, a line each: path, and its copy, or owner and mode of a folder.

    What a run that was killed has kept is older, and stays.
    """

    def __init__(self, folder: Path, after: Optional[After] = None) -> None:
        self._folder = folder
        self._path = folder / JOURNAL
        self._after = after or {}
        self._file: Optional[IO[str]] = None
        self.known: dict[str, Any] = {"replaced": {}, "verify": [], "reload": []}
        for line in self._lines():
            for name in ("verify", "reload"):
                self.known[name] += [one for one in line.get(name, ()) if one not in self.known[name]]
            if "path" in line:
                self.known["replaced"].setdefault(line["path"], line)

    def _lines(self) -> Iterator[dict[str, Any]]:
        with contextlib.suppress(FileNotFoundError):
            for line in self._path.read_text(encoding="utf-8").splitlines():
                # A line that was not finished is about a file that was not touched.
                with contextlib.suppress(ValueError):
                    yield json.loads(line)

    def __enter__(self) -> _Journal:
        return self

    def __exit__(self, *_ignored: object) -> None:
        if self._file is not None:
            self._file.close()

    def keep(self, entry: Entry, *, tree: bool = False) -> None:
        """Keep what is there today, and write down that it may be replaced, before it is; with all below a tree."""
        if self._file is None:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._file = self._path.open("a", encoding="utf-8", buffering=1)
            self._file.write("\n" + json.dumps(self._after) + "\n")
        if entry.path in self.known["replaced"]:
            return
        row: dict[str, Any] = {"path": entry.path, "copy": "", "folder": entry.folder, "tree": tree}
        if os.path.lexists(entry.path):
            if entry.folder:
                state = os.lstat(entry.path)
                row["was"] = [state.st_uid, state.st_gid, state.st_mode & 0o7777]
            else:
                row["copy"] = str(len(self.known["replaced"]))
                _copy(entry.path, self._folder / row["copy"])
        self.known["replaced"][entry.path] = row
        self._file.write(json.dumps(row) + "\n")


def _replaced(entry: Entry, content: Optional[IO[bytes]], how: str, journal: _Journal) -> list[dict[str, Any]]:
    """Replace what is there today by what differs so from it; a row about it, or none."""
    if not how:
        return []
    row = _row(entry, how)
    journal.keep(entry)
    sha256 = _draft(entry, content) if content is not None else ""
    _place(entry)
    left = difference(entry, sha256)
    if left:
        raise FileRestoreError(f"{entry.path} was restored and still has {left}")
    return [row]


def _copy(path: str, copy: Path) -> None:
    """The file of today under another name, with everything that belongs to it."""
    copy.unlink(missing_ok=True)
    try:
        os.link(path, str(copy), follow_symlinks=False)
    except OSError:
        # Another file system. -a keeps owner, mode, times and links.
        # pylint: disable-next=ansible-bad-function
        subprocess.run(["cp", "-a", "--", path, str(copy)], check=True, capture_output=True)


def _put_back(path: str, row: Mapping[str, Any], folder: Path) -> None:
    draft = path + DRAFT
    if row["copy"]:
        # pylint: disable-next=ansible-bad-function
        subprocess.run(["cp", "-a", "--", str(folder / row["copy"]), draft], check=True, capture_output=True)
        Path(draft).replace(path)
    elif not row["folder"]:
        for left in (path, draft):
            Path(left).unlink(missing_ok=True)
    elif row["tree"]:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(path)
    elif "was" in row:
        os.chown(path, row["was"][0], row["was"][1])
        Path(path).chmod(row["was"][2])
    elif Path(path).is_dir() and not any(Path(path).iterdir()):
        # What somebody has put into it meanwhile stays.
        Path(path).rmdir()


def _row(entry: Entry, how: str) -> dict[str, Any]:
    """What differs: how, what is written there, and what is lost of today's."""
    row: dict[str, Any] = {"path": entry.path, "how": how, "bytes": entry.size}
    if how in LOSES:
        today = Path(entry.path).lstat()
        row.update(lost=today.st_size, written=today.st_mtime)
    return row


def estimate(differing: Sequence[Mapping[str, Any]], seconds: float) -> str:
    """What a restore costs, before anything is touched: how much, how long, and what is lost."""
    if not differing:
        return "nothing differs"
    size = sum(row["bytes"] for row in differing)
    text = (
        f"files that come back: {len(differing)} with {size} bytes, in about {max(1, round(seconds + size / RATE))} s"
    )
    lost = [row for row in differing if "lost" in row]
    if not lost:
        return f"{text}; nothing of today is lost"
    newest = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(max(row["written"] for row in lost)))
    return (
        f"{text}; written since the snapshot, and lost but for a copy in {KEPT}: {len(lost)} with"
        f" {sum(row['lost'] for row in lost)} bytes, the newest of {newest} UTC"
    )


def _draft(entry: Entry, content: IO[bytes]) -> str:
    """Write the snapshot's file beside its place; its hash."""
    draft = Path(entry.path + DRAFT)
    draft.parent.mkdir(parents=True, exist_ok=True)
    draft.unlink(missing_ok=True)
    found = hashlib.sha256()
    with draft.open("wb") as file:
        while chunk := content.read(2**20):
            found.update(chunk)
            file.write(chunk)
    os.chown(str(draft), entry.uid, entry.gid)
    draft.chmod(entry.mode)
    if entry.mtime:
        os.utime(str(draft), (entry.mtime, entry.mtime))
    return found.hexdigest()


def _place(entry: Entry) -> None:
    """Put the snapshot's file, link or folder to its place, as a whole or not at all."""
    if entry.folder:
        Path(entry.path).mkdir(parents=True, exist_ok=True)
        os.chown(entry.path, entry.uid, entry.gid)
        Path(entry.path).chmod(entry.mode)
        return
    draft = Path(entry.path + DRAFT)
    if entry.link is not None:
        draft.parent.mkdir(parents=True, exist_ok=True)
        draft.unlink(missing_ok=True)
        draft.symlink_to(entry.link)
    draft.replace(entry.path)


def listing(differing: Sequence[Mapping[str, Any]], most: int = 200) -> str:
    """What differs, a line each."""
    return "".join(f"- {row['path']}: {row['how']}\n" for row in differing[:most])
