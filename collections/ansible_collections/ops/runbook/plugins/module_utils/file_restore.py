# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files as they were in a snapshot: compared with those of today without writing, and put back where they differ.

The snapshot comes as one stream, so that looking costs as much as restoring. What is replaced is kept, and a step that
fails puts everything back. Python 3.9.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Callable, Optional

ENVIRONMENT = "/etc/restic/environment"
KEPT = "/var/lib/ops-runbook/file-restore"
#: Contents up to this size stay in memory while they are compared.
IN_MEMORY = 32 * 2**20
DRAFT = ".ops-runbook-restored"

Run = Callable[..., "tuple[int, str, str]"]


class FileRestoreError(Exception):
    """Nothing, or not all, could be restored; the text says why."""


@dataclass(frozen=True)
class Entry:
    """A file or symbolic link of a snapshot."""

    path: str
    mode: int
    uid: int
    gid: int
    mtime: float
    #: Where a link leads to; None for a file.
    link: Optional[str] = None


def digest(stream: IO[bytes]) -> str:
    """SHA-256 of what is left of a stream."""
    found = hashlib.sha256()
    while chunk := stream.read(2**20):
        found.update(chunk)
    return found.hexdigest()


def difference(entry: Entry, content: Optional[IO[bytes]]) -> str:
    """How the file of today differs from the snapshot's; empty where it does not."""
    path = Path(entry.path)
    if not os.path.lexists(entry.path):
        return "missing"
    state = path.lstat()
    if entry.link is not None:
        return "" if path.is_symlink() and str(path.readlink()) == entry.link else "other link"
    if path.is_symlink() or not path.is_file():
        return "another kind of file"
    if content is not None:
        content.seek(0)
        with path.open("rb") as today:
            if digest(today) != digest(content):
                return "other content"
    if (state.st_mode & 0o7777, state.st_uid, state.st_gid) != (entry.mode, entry.uid, entry.gid):
        return "other owner or mode"
    return ""


class Snapshots:
    """The snapshots of this host."""

    def __init__(self, environment: str = ENVIRONMENT) -> None:
        try:
            lines = Path(environment).read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise FileRestoreError(f"this host has no file backups: {error}") from error
        pairs = (line.partition("=") for line in lines if "=" in line and not line.startswith("#"))
        self._environment = {**os.environ, **{name: shlex.split(value)[0] for name, _equals, value in pairs}}

    def _restic(self, *words: str) -> str:
        command = ["timeout", "120", "restic", "--no-lock", *words]
        # A stream of another size than run_command takes. pylint: disable-next=ansible-bad-function
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            said = done.stderr.strip()[-500:] or f"exit status {done.returncode}"
            raise FileRestoreError(f"the store cannot be asked: {said}")
        return done.stdout

    def choose(self, wanted: str, tag: str) -> dict[str, Any]:
        """The snapshot by its id or `latest`. FileRestoreError with those that there are."""
        found: list[dict[str, Any]] = json.loads(self._restic("snapshots", "--json", *(["--tag", tag] if tag else [])))
        found.sort(key=lambda item: item["time"])
        chosen = found[-1:] if wanted == "latest" else [s for s in found if wanted and s["id"].startswith(wanted)]
        if len(chosen) == 1:
            return chosen[0]
        known = "; ".join(
            f"{s['short_id']} of {s['time'][:19]} ({', '.join(s.get('tags') or ())})" for s in found[-10:]
        )
        raise FileRestoreError(f"there is no snapshot {wanted!r}. There are: {known or 'none'}")

    def entries(self, snapshot: str, path: str) -> Iterator[tuple[Entry, Optional[IO[bytes]]]]:
        """Every file and link at or below a path of the snapshot."""
        rows = [json.loads(line) for line in self._restic("ls", "--json", snapshot, path).splitlines()]
        own = next((row for row in rows if row.get("struct_type") == "node" and row["path"] == path), None)
        if own is None:
            raise FileRestoreError(f"snapshot {snapshot} has no {path}")
        if own["type"] == "file":
            with self._stream("dump", snapshot, path) as stream, _held(stream) as held:
                stated = Entry(path, own["mode"] & 0o7777, own["uid"], own["gid"], 0.0)
                yield stated, held
            return
        tar = self._stream("dump", "--archive=tar", snapshot, path)
        with tar as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                yield from _member(archive, member, path)

    def _stream(self, *words: str) -> _Stream:
        return _Stream(["restic", "--no-lock", *words], self._environment)


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


def _member(
    archive: tarfile.TarFile, member: tarfile.TarInfo, folder: str
) -> Iterator[tuple[Entry, Optional[IO[bytes]]]]:
    name = "/" + member.name.strip("/")
    path = name if name == folder or name.startswith(folder.rstrip("/") + "/") else f"{folder.rstrip('/')}{name}"
    stated = Entry(path, member.mode & 0o7777, member.uid, member.gid, float(member.mtime))
    if member.issym():
        yield Entry(**{**vars(stated), "link": member.linkname}), None
    elif member.isfile():
        source = archive.extractfile(member)
        if source is not None:
            with _held(source) as held:
                yield stated, held


def _held(source: IO[bytes]) -> IO[bytes]:
    """The content, to be read more than once. Closing it removes it."""
    held = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 - whoever called closes it
    shutil.copyfileobj(source, held, 2**20)
    held.seek(0)
    return held


class FileRestore:
    """A restore of paths, with what it replaces."""

    def __init__(self, run_id: str, kept: str = KEPT) -> None:
        self.folder = Path(kept) / run_id[:8]
        self._journal = self.folder / "journal.json"

    def differing(self, snapshots: Snapshots, snapshot: str, paths: list[str]) -> list[dict[str, Any]]:
        """What a restore would put back; nothing is written."""
        found = []
        for path in paths:
            for entry, content in snapshots.entries(snapshot, path):
                how = difference(entry, content)
                if how:
                    found.append({"path": entry.path, "how": how})
        return found

    def restore(self, snapshots: Snapshots, snapshot: str, paths: list[str]) -> list[dict[str, Any]]:
        """Put back what differs. FileRestoreError after everything is as it was, where one cannot be."""
        done: list[dict[str, Any]] = []
        try:
            for path in paths:
                for entry, content in snapshots.entries(snapshot, path):
                    how = difference(entry, content)
                    if how:
                        self._keep(entry.path, done)
                        done.append({"path": entry.path, "how": how})
                        _write(entry, content)
                        left = difference(entry, content)
                        if left:
                            raise FileRestoreError(f"{entry.path} was restored and still has {left}")
        except (FileRestoreError, OSError, tarfile.TarError) as error:
            self.rollback()
            raise FileRestoreError(f"{error}; everything is as it was") from error
        return done

    def _keep(self, path: str, done: list[dict[str, Any]]) -> None:
        """Keep the present file, and write down that it may be replaced, before it is."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        copy = self.folder / str(len(done))
        if os.path.lexists(path):
            # -a keeps owner, mode, times and links.
            # pylint: disable-next=ansible-bad-function
            subprocess.run(["cp", "-a", "--", path, str(copy)], check=True, capture_output=True)
        known = self._known()
        known[path] = str(copy) if os.path.lexists(str(copy)) else ""
        draft = self._journal.with_suffix(".draft")
        draft.write_text(json.dumps(known, indent=1), encoding="utf-8")
        draft.replace(self._journal)

    def _known(self) -> dict[str, str]:
        if not self._journal.exists():
            return {}
        found: dict[str, str] = json.loads(self._journal.read_text(encoding="utf-8"))
        return found

    def rollback(self) -> list[str]:
        """Put back what this run has replaced: the paths."""
        known = self._known()
        for path, copy in known.items():
            if not copy:
                Path(path).unlink(missing_ok=True)
                continue
            draft = path + DRAFT
            # pylint: disable-next=ansible-bad-function
            subprocess.run(["cp", "-a", "--", copy, draft], check=True, capture_output=True)
            Path(draft).replace(path)
        if self.folder.exists():
            shutil.rmtree(str(self.folder))
        return sorted(known)


def _write(entry: Entry, content: Optional[IO[bytes]]) -> None:
    """The snapshot's file at its place, as a whole or not at all."""
    draft = Path(entry.path + DRAFT)
    draft.parent.mkdir(parents=True, exist_ok=True)
    draft.unlink(missing_ok=True)
    if entry.link is not None:
        draft.symlink_to(entry.link)
    elif content is not None:
        content.seek(0)
        with draft.open("wb") as file:
            shutil.copyfileobj(content, file)
            os.fsync(file.fileno())
        os.chown(str(draft), entry.uid, entry.gid)
        draft.chmod(entry.mode)
        if entry.mtime:
            os.utime(str(draft), (entry.mtime, entry.mtime))
    draft.replace(entry.path)


def listing(differing: Sequence[Mapping[str, Any]], most: int = 200) -> str:
    """What differs, a line each."""
    return "".join(f"- {row['path']}: {row['how']}\n" for row in differing[:most])
