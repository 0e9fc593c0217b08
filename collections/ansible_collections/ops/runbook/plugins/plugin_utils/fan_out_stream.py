# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A command on a host whose input and output are written and read while it runs.

Ansible's connections take all input before a command and give all output after it: what is larger than memory, or than
the patience for copies of it, goes this way.
"""

from __future__ import annotations

import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import IO, Any

#: A host that neither takes nor gives anything for so long is given up, in seconds.
PATIENCE = 600.0


class Stream:
    """Input and output of a running command."""

    def __init__(self, process: subprocess.Popen[bytes], complaints: IO[bytes], patience: float) -> None:
        self._stdin: Any = process.stdin
        self._stdout: Any = process.stdout
        self._process, self._complaints, self._patience = process, complaints, patience
        self._waiting_since = 0.0
        self._ended = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def write(self, data: bytes) -> None:
        """Give it input. Raises BrokenPipeError where it takes no more: its output says why."""
        self._waited(lambda: self._stdin.write(data))

    def finish(self) -> None:
        """Say that there is no more input. Raises BrokenPipeError."""
        self._waited(self._stdin.close)

    def readline(self) -> bytes:
        """The next line of its output; empty at the end."""
        line: bytes = self._waited(self._stdout.readline)
        return line

    def read(self, length: int = -1) -> bytes:
        """So many bytes of its output, or less at the end."""
        data: bytes = self._waited(lambda: self._stdout.read(length))
        return data

    @property
    def complaint(self) -> str:
        """What it, or the connection, has said besides."""
        self._complaints.seek(0)
        return self._complaints.read().decode("utf-8", "replace").strip()

    def end(self) -> None:
        """End the command, finished or not."""
        self._ended.set()
        self._process.kill()
        with suppress(OSError):
            self._stdin.close()

    def _waited[T](self, work: Callable[[], T]) -> T:
        self._waiting_since = time.monotonic()
        try:
            return work()
        finally:
            self._waiting_since = 0.0

    def _watch(self) -> None:
        while not self._ended.wait(min(1.0, self._patience)):
            since = self._waiting_since
            if since and time.monotonic() - since > self._patience:
                self._process.kill()


@contextmanager
def stream(argv: Sequence[Any], patience: float = PATIENCE) -> Iterator[Stream]:
    """Start a command, and end it when it is left."""
    with (
        tempfile.TemporaryFile() as complaints,
        subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints, start_new_session=True
        ) as process,
    ):
        running = Stream(process, complaints, patience)
        try:
            yield running
        finally:
            running.end()
