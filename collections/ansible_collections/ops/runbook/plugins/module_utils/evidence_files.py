# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The store's side of evidence protection: it keeps files and says what is there. It judges nothing and holds no key.

Together with evidence_hash it is one program that is sent to the store for each question. Contents travel behind it, as
frames: a line with path, place and length of a piece, and the piece. The layout below its root::

    items/COLLECTION/...       what is sealed; never written again
    seals/000001/              manifest, checkpoint, checkpoint.sig, checkpoint.tsr
    incoming/                  what was received and is not sealed yet
    replaced/RUN/              what a restore has taken away, and restored.json, which says what it has put there
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import re
import shutil
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, Optional

from ansible_collections.ops.runbook.plugins.module_utils.evidence_hash import files_below, hash_files

MARK = "ops-runbook-evidence "
#: The line before the frames that a host sends.
FRAMES = b"ops-runbook-evidence-frames\n"
#: Length of a frame's piece, in bytes.
PIECE = 1 << 20
_SEAL = re.compile(r"\d{6}")
_CONTROL = ("custody/", "holds/", "deletions/")
_JOURNAL = "restored.json"
_ANSWERED = ("log", "hash", "listing", "discard", "commit", "remove", "restore", "put_back")

#: Path, place of the piece in the file, and the piece.
Frame = tuple[str, int, bytes]


class StoreError(Exception):
    """The store cannot do what was asked."""


def pack(value: Any) -> str:
    """A value as one short line."""
    return base64.b64encode(zlib.compress(json.dumps(value).encode("utf-8"), 1)).decode("ascii")


def unpack(text: str) -> Any:
    """What was packed."""
    return json.loads(zlib.decompress(base64.b64decode(text)))


class Store:
    """The files below a root."""

    def __init__(self, root: str) -> None:
        self.items = os.path.join(root, "items")
        self.seals = os.path.join(root, "seals")
        self.incoming = os.path.join(root, "incoming")
        self.replaced = os.path.join(root, "replaced")
        self.root = root

    def log(self) -> dict[str, Any]:
        """All seals, and the items that say what was done with others."""
        seals = {}
        with contextlib.suppress(FileNotFoundError):
            for name in sorted(os.listdir(self.seals)):
                if _SEAL.fullmatch(name):
                    seals[name] = {
                        file: _text(os.path.join(self.seals, name, file))
                        for file in sorted(os.listdir(os.path.join(self.seals, name)))
                    }
        control = {
            path: _text(os.path.join(self.items, path))
            for path, _size in self._files(self.items)
            if path.startswith(_CONTROL)
        }
        return {"seals": seals, "control": control, "incoming": len(list(self._files(self.incoming)))}

    def listing(self) -> dict[str, Any]:
        """The size of every item that is there, and which restores have left a safety copy."""
        kept = {}
        with contextlib.suppress(FileNotFoundError):
            for run in sorted(os.listdir(self.replaced)):
                kept[run] = json.loads(_text(os.path.join(self.replaced, run, _JOURNAL)))
        return {"items": dict(self._files(self.items)), "restored": kept}

    def hash(self, paths: Optional[Sequence[str]] = None) -> dict[str, Any]:
        """The SHA-256 of every item that is there, or of these, and why some cannot be read."""
        sizes = dict(self._files(self.items))
        if paths is not None:
            sizes = {path: sizes[path] for path in paths if path in sizes}
        hashes, failures = hash_files(self.items, sizes)
        return {"hashes": hashes, "failures": failures}

    def receive(self, incoming: Iterable[Frame]) -> dict[str, Any]:
        """Write pieces of items to where they wait for their seal."""
        for path, offset, piece in incoming:
            target = _inside(self.incoming, path)
            os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
            with open(target, "ab" if offset else "wb", opener=_private) as file:
                file.write(piece)
        return {}

    def send_items(self, names: Sequence[str], offset: int = 0) -> Iterator[Frame]:
        """The content of items."""
        return send_files(self.items, names, offset)

    def discard(self) -> dict[str, Any]:
        """Forget what was received and not sealed."""
        found = len(list(self._files(self.incoming)))
        shutil.rmtree(self.incoming, ignore_errors=True)
        return {"discarded": found}

    def commit(self, number: int, files: Mapping[str, str], without: bool = False) -> dict[str, Any]:
        """Put what was received beside the other items, then its seal beside the other seals.

        A copy of another store may be ``without`` items: those that were deleted or damaged there. Killed in between,
        it has put files there that no seal names; the next seal replaces them.
        """
        with self._alone():
            sealed = self._sealed()
            if number != len(sealed) + 1:
                raise StoreError(f"seal {number} cannot follow seal {len(sealed)}: somebody else has sealed meanwhile")
            taken = {path for manifest in sealed for path in manifest}
            wanted = _manifest(files["manifest"])
            again = sorted(set(wanted) & taken)
            if again:
                raise StoreError(f"items/{again[0]} is sealed already")
            whole = self._received(wanted, without=without)
            for path in whole:
                self._place(path)
            self._write_seal(number, files)
            shutil.rmtree(self.incoming, ignore_errors=True)
        return {"sealed": len(whole)}

    def restore(self, run: str, items: Mapping[str, str], seals: Mapping[str, str]) -> dict[str, Any]:
        """Put what was received, and files of seals, where they are damaged or missing; keep what was there."""
        with self._alone():
            self._received(items)
            places = [f"items/{path}" for path in items] + [f"seals/{path}" for path in seals]
            kept = _inside(self.replaced, run)
            os.makedirs(kept, mode=0o700)
            journal = {
                "items": dict(items),
                "seals": sorted(seals),
                "was": {place: self._was(place) for place in places},
            }
            with open(os.path.join(kept, _JOURNAL), "w", encoding="utf-8", opener=_private) as file:
                json.dump(journal, file)
            os.sync()
            for place in places:
                _move(os.path.join(self.root, place), os.path.join(kept, place))
            for path in items:
                self._place(path)
            for path, text in seals.items():
                target = _inside(self.seals, path)
                os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
                with open(target, "wb", opener=_private) as written:
                    written.write(text.encode("latin-1"))
                    os.fchmod(written.fileno(), 0o400)
            shutil.rmtree(self.incoming, ignore_errors=True)
            os.sync()
        return journal

    def put_back(self, run: str) -> dict[str, Any]:
        """Undo a restore."""
        with self._alone():
            kept = _inside(self.replaced, run)
            if not os.path.isdir(kept):
                return {"put_back": 0}
            places = json.loads(_text(os.path.join(kept, _JOURNAL)))["was"]
            for place, was in places.items():
                target = os.path.join(self.root, place)
                _move(os.path.join(kept, place), target)
                if not was:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(target)
                    with contextlib.suppress(OSError):
                        os.rmdir(os.path.dirname(target))  # a seal of which nothing is left
            shutil.rmtree(kept)
            os.sync()
        return {"put_back": len(places)}

    def _was(self, place: str) -> str:
        """The SHA-256 of what is in a place; empty where nothing is."""
        hashes, failures = (
            hash_files(self.root, {place: 0}) if os.path.lexists(os.path.join(self.root, place)) else ({}, {})
        )
        return hashes.get(place, f"unreadable: {failures[place]}" if failures else "")

    def _place(self, path: str) -> None:
        """Put a received item beside the others."""
        target = _inside(self.items, path)
        os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
        source = os.path.join(self.incoming, path)
        os.chmod(source, 0o400)
        os.replace(source, target)

    def remove(self, paths: Sequence[str]) -> dict[str, Any]:
        """Delete items. Whoever asks has sealed before that and why they are deleted."""
        gone = []
        for path in paths:
            if path.startswith((*_CONTROL, "ledger/")):
                raise StoreError(f"items/{path} is never deleted")
            with contextlib.suppress(FileNotFoundError):
                os.unlink(_inside(self.items, path))
                gone.append(path)
        os.sync()
        return {"removed": gone}

    def _received(self, wanted: Mapping[str, str], without: bool = False) -> list[str]:
        """What was received as it is wanted; anything else is an error, unless others may be missing."""
        sizes = dict(self._files(self.incoming))
        missing = sorted(set(wanted) - set(sizes))
        if missing and not without:
            raise StoreError(f"{missing[0]} was not received")
        hashes, failures = hash_files(self.incoming, {path: sizes[path] for path in wanted if path in sizes})
        other = sorted(path for path in wanted if path in sizes and hashes.get(path) != wanted[path])
        if other and not without:
            raise StoreError(f"{other[0]} did not arrive as it was sent: {failures.get(other[0], 'other content')}")
        return [path for path in wanted if hashes.get(path) == wanted[path]]

    def _sealed(self) -> list[dict[str, str]]:
        """The manifests of all seals, in order."""
        names = sorted(os.listdir(self.seals)) if os.path.isdir(self.seals) else []
        return [_manifest(_text(os.path.join(self.seals, name, "manifest"))) for name in names if _SEAL.fullmatch(name)]

    def _write_seal(self, number: int, files: Mapping[str, str]) -> None:
        draft = os.path.join(self.seals, ".draft")
        shutil.rmtree(draft, ignore_errors=True)
        os.makedirs(draft, mode=0o700)
        for name, text in files.items():
            with open(os.path.join(draft, name), "wb", opener=_private) as file:
                file.write(text.encode("latin-1"))
                os.fchmod(file.fileno(), 0o400)
        # Once for all files: the items are on disk before the seal that names them gets its name.
        os.sync()
        os.rename(draft, os.path.join(self.seals, f"{number:06}"))
        os.sync()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        os.makedirs(self.root, mode=0o700, exist_ok=True)
        with open(os.path.join(self.root, ".lock"), "ab", opener=_private) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @staticmethod
    def _files(folder: str) -> Iterator[tuple[str, int]]:
        with contextlib.suppress(FileNotFoundError):
            yield from files_below(folder)


def _inside(folder: str, path: str) -> str:
    target = os.path.normpath(os.path.join(folder, path))
    if not target.startswith(os.path.normpath(folder) + os.sep):
        raise StoreError(f"{path} leads out of {folder}")
    return target


def _move(source: str, target: str) -> None:
    """Move a file, if it is there."""
    if os.path.lexists(source):
        os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
        os.replace(source, target)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _text(path: str) -> str:
    with open(path, "rb") as file:
        return file.read().decode("latin-1")


def _manifest(text: str) -> dict[str, str]:
    return {line[66:]: line[:64] for line in text.splitlines()}


def describe_folder(folder: str) -> dict[str, Any]:
    """SHA-256 and size of every file in a folder that is a source of evidence."""
    sizes = dict(files_below(folder))
    hashes, failures = hash_files(folder, sizes)
    return {"items": {path: [digest, sizes[path]] for path, digest in hashes.items()}, "failures": failures}


def send_files(folder: str, names: Sequence[str], offset: int = 0) -> Iterator[Frame]:
    """The content of files below a folder, that of the first one from the offset on."""
    for name in names:
        with open(_inside(folder, name), "rb") as file:
            file.seek(offset)
            while True:
                piece = file.read(PIECE)
                if piece or not offset:
                    yield name, offset, piece
                if len(piece) < PIECE:
                    break
                offset += len(piece)
        offset = 0


def frame(path: str, offset: int, piece: bytes) -> bytes:
    """A piece as it travels."""
    return json.dumps([path, offset, len(piece)]).encode("ascii") + b"\n" + piece


def end(**said: Any) -> bytes:
    """What is behind the last frame: why there are no more, or where to go on."""
    return json.dumps(said).encode("ascii") + b"\n"


def frames(stream: BinaryIO, ended: Callable[[Mapping[str, Any]], None]) -> Iterator[Frame]:
    """The frames of a stream, one by one. What is behind the last one is told; a stream without it was cut off."""
    while True:
        header = json.loads(stream.readline() or "null")
        if isinstance(header, dict):
            ended(header)
            return
        piece = stream.read(header[2]) if header else b""
        if not header or len(piece) < header[2]:
            raise StoreError("the transfer was cut off")
        yield header[0], header[1], piece


def _told(said: Mapping[str, Any]) -> None:
    if "error" in said:
        raise StoreError(said["error"])


def _send(found: Iterator[Frame], limit: int) -> None:
    """Send at most that many bytes (0: all), and say where to go on."""
    out = sys.stdout.buffer
    out.write(FRAMES)
    sent, done = 0, -1
    try:
        for path, offset, piece in found:
            # A name may stand there twice, so that it does not say how many of them are done.
            done += offset == 0 or done < 0
            if limit and sent >= limit:
                out.write(end(done=done, offset=offset))
                return
            out.write(frame(path, offset, piece))
            sent += len(piece)
        out.write(end())
    except (StoreError, OSError) as error:
        out.write(end(error=str(error)))


def main(job: Mapping[str, Any], further: Mapping[str, Callable[..., Any]]) -> None:
    """Do a job, and print what came of it on one line; or send, or receive, what is in frames."""
    store = Store(job.get("root", ""))
    operations: dict[str, Callable[..., Any]] = {
        **{name: getattr(store, name) for name in _ANSWERED},
        "describe_folder": describe_folder,
        "receive": lambda: store.receive(frames(sys.stdin.buffer, _told)),
        "send_items": store.send_items,
        "send_files": send_files,
        **further,
    }
    try:
        answer = operations[job["operation"]](**job.get("arguments", {}))
    except (StoreError, OSError) as error:
        answer = {"error": str(error)}
    if not isinstance(answer, dict):
        _send(answer, job.get("limit", 0))
        return
    sys.stdout.write(MARK + pack(answer) + "\n")
