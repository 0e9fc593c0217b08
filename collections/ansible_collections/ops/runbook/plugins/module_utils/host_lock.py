# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lock of a host: the program that takes, renews, frees and shows it, on the host itself.

The lock is a file that only root can write. It is replaced in one step and survives a reboot. Whoever reads it, decides
and writes holds the folder's flock meanwhile, so that of two runs that come at once one is first.

Stands alone: the controller sends this file's text, with a job, to the host's Python (3.9 or later).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import stat
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Optional

#: Begins the line with the answer: what a log-in prints besides is none.
MARK = "ops-runbook-lock "
#: Whoever decides about the lock needs milliseconds.
PATIENCE_SECONDS = 5.0
SCHEMA = 1


class LockError(Exception):
    """The lock cannot be read or written."""


class HostLock:
    """The lock file of this host."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.folder = self.path.parent

    def read(self) -> Optional[dict[str, Any]]:
        """The lock; None where there is none. What cannot be understood has the member ``damaged``."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            content = file.read()
        try:
            lock = json.loads(content)
            _time(lock["until"])
            _time(lock["since"])
            return dict(lock, run_id=str(lock["run_id"]))
        except (ValueError, KeyError, TypeError):
            return {"damaged": content[:200].decode("utf-8", "replace"), "run_id": _digest(content)}

    @contextlib.contextmanager
    def deciding(self) -> Iterator[None]:
        """Keep everybody else from deciding."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise LockError(f"{self.folder} can be written by others than root; correct its owner and mode (0700)")
            self._wait(descriptor)
            yield
        finally:
            os.close(descriptor)

    def _wait(self, descriptor: int) -> None:
        limit = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > limit:
                    raise LockError(f"another program has kept {self.folder} for {PATIENCE_SECONDS:g} s") from None
                time.sleep(0.02)

    def write(self, lock: Mapping[str, Any]) -> None:
        """Replace the lock in one step; when this returns, it is on disk."""
        temporary = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(lock, file, indent=1, sort_keys=True)
                file.write("\n")
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.path)
        except OSError:
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()
            raise
        self._sync()

    def remove(self) -> None:
        """Free the host."""
        self.path.unlink()
        self._sync()

    def _sync(self) -> None:
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno != errno.EINVAL:  # a file system that cannot
                raise
        finally:
            os.close(descriptor)


def acquire(lock: HostLock, job: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Take the lock where it is free, expired, our own, or that of the run that may be replaced."""
    own = job["lock"]
    with lock.deciding():
        found = lock.read()
        if found is None:
            result = "acquired"
        elif found["run_id"] == own["run_id"]:
            result = "renewed"
        elif found["run_id"] == job.get("replace"):
            result = "taken_over"
        elif "damaged" not in found and _time(found["until"]) <= now:
            result = "expired"
        else:
            return {"result": "held", "lock": found, "age": _age(found, now)}
        since = found["since"] if found and result == "renewed" else _text(now)
        until = _text(now + timedelta(minutes=job["minutes"]))
        lock.write({**own, "schema": SCHEMA, "since": since, "until": until})
    return {"result": result, "lock": found}


def renew(lock: HostLock, job: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Put the expiry off, if the lock is still our own."""
    with lock.deciding():
        found = lock.read()
        if found is None or found["run_id"] != job["lock"]["run_id"]:
            return {"result": "lost", "lock": found}
        lock.write({**found, "until": _text(now + timedelta(minutes=job["minutes"]))})
    return {"result": "renewed", "lock": found}


def release(lock: HostLock, job: Mapping[str, Any], _now: datetime) -> dict[str, Any]:
    """Free the lock of one run, and no other's."""
    if not os.path.lexists(lock.path):
        return {"result": "free", "lock": None}
    with lock.deciding():
        found = lock.read()
        if found is None or found["run_id"] != job["run_id"]:
            return {"result": "free" if found is None else "held", "lock": found}
        lock.remove()
    return {"result": "released", "lock": found}


def show(lock: HostLock, _job: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Look, and touch nothing."""
    found = lock.read()
    if found is None:
        return {"result": "free", "lock": None}
    expired = "damaged" not in found and _time(found["until"]) <= now
    return {"result": "expired" if expired else "held", "lock": found, "age": _age(found, now)}


ACTIONS = {"acquire": acquire, "renew": renew, "release": release, "show": show}


def _age(lock: Mapping[str, Any], now: datetime) -> float:
    """Seconds since the lock was taken; damaged ones are old."""
    return (now - _time(lock["since"])).total_seconds() if "since" in lock else float(10**9)


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def _time(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text} has no offset")
    return moment


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


def main(job: Mapping[str, Any]) -> None:
    """Do the job, and print the answer."""
    try:
        answer = ACTIONS[job["action"]](HostLock(job["path"]), job, datetime.now(timezone.utc))
    except PermissionError as error:
        answer = {"result": "error", "error": f"{error}; the guard needs root rights (ansible_become)"}
    except (OSError, LockError) as error:
        answer = {"result": "error", "error": str(error)}
    sys.stdout.write(MARK + json.dumps(answer) + "\n")
