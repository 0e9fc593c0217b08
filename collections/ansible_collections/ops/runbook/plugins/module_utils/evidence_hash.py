# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""SHA-256 of many files at once: hashlib works without the interpreter's lock, so threads use all processors.

The file is also part of a program that is sent to hosts: it imports nothing of the collection.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator, Mapping, Sequence

#: Read at once. A file that fits needs one system call, and hashing it one call of hashlib.
CHUNK = 1 << 20
#: Files that a thread takes at a time.
_BATCH = 64


def files_below(folder: str) -> Iterator[tuple[str, int]]:
    """Path from the folder and size of each regular file. Links are not followed."""
    waiting = [""]
    while waiting:
        inner = waiting.pop()
        with os.scandir(os.path.join(folder, inner)) as entries:
            for entry in entries:
                path = os.path.join(inner, entry.name)
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(path)
                elif entry.is_file(follow_symlinks=False):
                    yield path, entry.stat(follow_symlinks=False).st_size


def sha256(path: str, buffer: bytearray) -> str:
    """The SHA-256 of a file, read through the buffer."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        digest = hashlib.sha256()
        view = memoryview(buffer)
        while True:
            count = os.readv(descriptor, [buffer])
            digest.update(view[:count])
            if count < len(buffer):
                # Less than was asked for is the end of a regular file.
                return digest.hexdigest()
    finally:
        os.close(descriptor)


def hash_files(folder: str, sizes: Mapping[str, int], threads: int = 0) -> tuple[dict[str, str], dict[str, str]]:
    """SHA-256 of each of the files in the folder, and why there is none of the others."""
    hashes: dict[str, str] = {}
    failures: dict[str, str] = {}
    # The largest first: the last one to be finished is a small one.
    waiting = iter(_batches(sorted(sizes, key=lambda path: -sizes[path]), sizes))
    lock = threading.Lock()

    def work() -> None:
        buffer = bytearray(CHUNK)
        while True:
            with lock:
                batch = next(waiting, None)
            if batch is None:
                return
            for path in batch:
                try:
                    hashes[path] = sha256(os.path.join(folder, path), buffer)
                except OSError as error:
                    failures[path] = error.strerror or str(error)

    workers = [threading.Thread(target=work) for _number in range(threads or os.cpu_count() or 1)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return hashes, failures


def _batches(paths: Sequence[str], sizes: Mapping[str, int]) -> Iterator[list[str]]:
    batch: list[str] = []
    held = 0
    for path in paths:
        batch.append(path)
        held += sizes[path]
        if len(batch) == _BATCH or held >= CHUNK:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch
