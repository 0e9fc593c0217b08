"""Wall time and memory of a command and of everything that it starts, and the lab in which it is measured."""

from __future__ import annotations

import os
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.lab.commands import remove
from tests.lab.state import Lab


@dataclass(frozen=True)
class Command:
    """One contestant."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: Path


@contextmanager
def in_lab(lab: Lab) -> Iterator[None]:
    """Name the lab to everything that is started, and remove it at the end."""
    before = os.environ.get("LAB")
    os.environ["LAB"] = lab.name
    try:
        yield
    finally:
        remove(lab)
        if before is None:
            del os.environ["LAB"]
        else:
            os.environ["LAB"] = before


def taken(work: Callable[[], object]) -> float:
    """Wall time of some work of this process, in seconds."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def seconds(command: Command) -> float:
    """Wall time of one run in seconds. Raises RuntimeError with the output when it fails."""
    start = time.perf_counter()
    result = subprocess.run(
        command.argv,
        cwd=command.cwd,
        env={**os.environ, **command.env},
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    elapsed = time.perf_counter() - start
    if result.returncode:
        raise RuntimeError(f"{command.name} exited {result.returncode}:\n{result.stdout[-4000:]}")
    return elapsed


def median_seconds(commands: Sequence[Command], runs: int, before: Callable[[], None]) -> list[float]:
    """Median wall time of each command, which take turns, so that a slow minute of the machine is everybody's.

    `before` puts the machine into the same state before each run.
    """
    times: list[list[float]] = [[] for _command in commands]
    for _run in range(runs):
        for command, taken in zip(commands, times, strict=True):
            before()
            taken.append(seconds(command))
    return [statistics.median(taken) for taken in times]


def _proportional_bytes(pid: int) -> int:
    """Memory of one process with shared pages counted by share; 0 when it has just ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def _session_members(session: int) -> list[int]:
    members = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            stat = (folder / "stat").read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(stat.rpartition(")")[2].split()[3]) == session:
            members.append(int(folder.name))
    return members


def peak_bytes(command: Command) -> int:
    """Peak of the memory of a command and its forks, sampled ten times a second."""
    peak = 0
    process = subprocess.Popen(
        command.argv,
        cwd=command.cwd,
        env={**os.environ, **command.env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    ended = threading.Event()

    def sample() -> None:
        nonlocal peak
        while not ended.wait(0.1):
            # Ansible's workers leave the session of their parent, but stay its descendants.
            members = set(_session_members(process.pid)) | _descendants(process.pid)
            peak = max(peak, sum(map(_proportional_bytes, members)))

    sampler = threading.Thread(target=sample)
    sampler.start()
    process.wait()
    ended.set()
    sampler.join()
    return peak


def _descendants(root: int) -> set[int]:
    found, todo = {root}, [root]
    while todo:
        try:
            children = Path(f"/proc/{(pid := todo.pop())}/task/{pid}/children").read_text(encoding="ascii").split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        todo += map(int, children)
        found.update(map(int, children))
    return found
