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
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Optional

from ansible_collections.ops.runbook.plugins.module_utils.backup_receipt import doubtful, newest
from ansible_collections.ops.runbook.plugins.module_utils.backup_restic import moment

ENVIRONMENT = "/etc/restic/environment"
KEPT = "/var/lib/ops-runbook/file-restore"
#: Contents up to this size stay in memory while they are compared.
IN_MEMORY = 32 * 2**20
DRAFT = ".ops-runbook-restored"
#: Differences with which the content of today is lost.
LOSES = ("other content", "other link", "another kind of file")

#: What is to be done after a restore: commands to `verify` it, units to `reload`.
After = Mapping[str, "list[Any]"]


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
    """Restores of paths on this host, with what they replace until that is confirmed.

    A run that was killed leaves what it has replaced, and what is to be done afterwards. The next one goes on with it.
    """

    def __init__(self, kept: str = KEPT) -> None:
        self._kept = Path(kept)
        self._folder = self._kept / "unfinished"
        self._journal = self._folder / "journal.json"
        #: How many files were read from the snapshot: restic has compared each with its hash.
        self.read = 0

    def differing(self, snapshots: Snapshots, snapshot: str, paths: list[str]) -> list[dict[str, Any]]:
        """What a restore would put back; nothing is written."""
        found = []
        for path in paths:
            for entry, content in snapshots.entries(snapshot, path):
                self.read += 1
                how = difference(entry, content)
                if how:
                    found.append(_row(entry, content, how))
        return found

    def restore(self, snapshots: Snapshots, snapshot: str, paths: list[str], after: After) -> list[dict[str, Any]]:
        """Put back what differs. FileRestoreError after everything is as it was, where one cannot be."""
        done: list[dict[str, Any]] = []
        try:
            for path in paths:
                for entry, content in snapshots.entries(snapshot, path):
                    self.read += 1
                    how = difference(entry, content)
                    if how:
                        done.append(_row(entry, content, how))
                        self._keep(entry.path, after)
                        _write(entry, content)
                        left = difference(entry, content)
                        if left:
                            raise FileRestoreError(f"{entry.path} was restored and still has {left}")
        except (FileRestoreError, OSError, tarfile.TarError) as error:
            self.rollback()
            raise FileRestoreError(f"{error}; everything is as it was") from error
        return done

    def outstanding(self, after: After) -> dict[str, list[Any]]:
        """What is to be done after a restore that is not confirmed: what its runs wanted, and what this one wants."""
        known = self._known()
        return {
            name: [*known[name], *(one for one in wanted if one not in known[name])] for name, wanted in after.items()
        }

    @property
    def unfinished(self) -> bool:
        """Whether a restore is not confirmed."""
        return self._journal.exists()

    def _keep(self, path: str, after: After) -> None:
        """Keep the present file, and write down that it may be replaced, before it is."""
        known = self._known()
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        # What a run that was killed has kept is older, and stays.
        if path not in known["replaced"]:
            copy = self._folder / str(len(known["replaced"]))
            copy.unlink(missing_ok=True)
            if os.path.lexists(path):
                # -a keeps owner, mode, times and links.
                # pylint: disable-next=ansible-bad-function
                subprocess.run(["cp", "-a", "--", path, str(copy)], check=True, capture_output=True)
            known["replaced"][path] = copy.name if os.path.lexists(str(copy)) else ""
        draft = self._journal.with_suffix(".draft")
        draft.write_text(json.dumps({**known, **self.outstanding(after)}, indent=1), encoding="utf-8")
        draft.replace(self._journal)

    def _known(self) -> dict[str, Any]:
        if not self._journal.exists():
            return {"replaced": {}, "verify": [], "reload": []}
        found: dict[str, Any] = json.loads(self._journal.read_text(encoding="utf-8"))
        return found

    def rollback(self) -> list[str]:
        """Put back what was replaced and not confirmed: the paths."""
        replaced = self._known()["replaced"]
        for path, copy in replaced.items():
            if not copy:
                Path(path).unlink(missing_ok=True)
                continue
            draft = path + DRAFT
            # pylint: disable-next=ansible-bad-function
            subprocess.run(["cp", "-a", "--", str(self._folder / copy), draft], check=True, capture_output=True)
            Path(draft).replace(path)
        if self._folder.exists():
            # Without it, copies that are left mean nothing.
            self._journal.unlink(missing_ok=True)
            shutil.rmtree(str(self._folder))
        return sorted(replaced)

    def confirm(self, run_id: str) -> None:
        """What was put back stays. What it has replaced is kept under the run."""
        if self.unfinished:
            self._folder.replace(self._kept / (run_id[:8] or time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())))


def _row(entry: Entry, content: Optional[IO[bytes]], how: str) -> dict[str, Any]:
    """A file that differs: how, what is written there, and what is lost of today's."""
    row: dict[str, Any] = {"path": entry.path, "how": how, "bytes": 0}
    if content is not None:
        content.seek(0, os.SEEK_END)
        row["bytes"] = content.tell()
    if how in LOSES:
        today = Path(entry.path).lstat()
        row.update(lost=today.st_size, written=today.st_mtime)
    return row


def estimate(differing: Sequence[Mapping[str, Any]], seconds: float) -> str:
    """What a restore costs, before anything is touched: how much, how long, and what is lost."""
    if not differing:
        return "nothing differs"
    size = sum(row["bytes"] for row in differing)
    text = f"files that come back: {len(differing)} with {size} bytes, in about {max(1, round(seconds))} s"
    lost = [row for row in differing if "lost" in row]
    if not lost:
        return f"{text}; nothing of today is lost"
    newest = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(max(row["written"] for row in lost)))
    return (
        f"{text}; written since the snapshot, and lost but for a copy in {KEPT}: {len(lost)} with"
        f" {sum(row['lost'] for row in lost)} bytes, the newest of {newest} UTC"
    )


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
