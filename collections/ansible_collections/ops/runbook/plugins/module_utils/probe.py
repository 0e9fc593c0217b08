# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The health-check probe: the program that runs on a managed host.

The action plugin ``ops.runbook.health_sweep`` joins this file and the probe_*.py files that the host's checks need into
one program and sends it to ``python3 -``. Nothing is installed or written on the host. Hence the rules for these
files: Python 3.9, the standard library alone, one-line imports between them, rare imports inside the functions.

A check is a function from its options to a Result. It measures; the controller judges the values by the thresholds.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from typing import Any, Callable, Iterator, Optional, Union

#: Prefix of the lines that belong to the probe, among whatever else a login prints.
MARK = "@ops.runbook.probe "
#: The most that is kept of a program's output.
OUTPUT_LIMIT = 1 << 20
#: Checks that run at the same time.
PARALLEL = 16
#: What a check gets beyond its timeout to say so itself, in seconds.
GRACE = 0.5
KIBI = 1024
NOBODY = 65534

Options = dict[str, Any]
Check = Callable[[Options], "Result"]
CHECKS: dict[str, Check] = {}


class UnobservableError(Exception):
    """What the check looks at cannot be seen; its text says why."""


class Result:
    """What a check saw: values to be judged by thresholds, and faults that are bad by themselves."""

    def __init__(self, title: str = "", detail: str = "") -> None:
        self.title = title
        self.detail = detail
        self.values: dict[str, float] = {}
        self.metrics: dict[str, float] = {}
        self.faults: list[tuple[str, str]] = []

    def fault(self, status: str, text: str) -> Result:
        """Add a state that is bad whatever the thresholds are."""
        self.faults.append((status, text))
        return self


def check(name: str) -> Callable[[Check], Check]:
    """Register a function as the check of that type."""

    def register(function: Check) -> Check:
        CHECKS[name] = function
        return function

    return register


class Cancellation:
    """What has to be ended when the time of a check is over: process groups and sockets."""

    def __init__(self, timeout: float) -> None:
        self.deadline = time.monotonic() + timeout
        self.timeout = timeout
        self.expired = False
        self._actions: list[Callable[[], None]] = []
        self._lock = threading.Lock()

    def add(self, action: Callable[[], None]) -> None:
        """Run the action when the time is over; at once if it is over already."""
        with self._lock:
            if not self.expired:
                self._actions.append(action)
                return
        action()

    def expire(self) -> None:
        """End everything."""
        with self._lock:
            self.expired = True
            actions, self._actions = self._actions, []
        for action in actions:
            try:
                action()
            except OSError:
                continue  # ended by itself meanwhile

    def remaining(self) -> float:
        """Seconds that are left."""
        return max(0.001, self.deadline - time.monotonic())


_current = threading.local()


def time_limit() -> Cancellation:
    """The time limit of the check that runs in this thread."""
    limit = getattr(_current, "limit", None)
    return limit if limit is not None else Cancellation(10.0)


def timed_out() -> str:
    """The sentence for what did not answer in time."""
    return f"did not answer within {time_limit().timeout:g} s"


class Finished:
    """A program's exit status and output."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err


def _kill_group(pid: int) -> None:
    os.killpg(pid, signal.SIGKILL)


def _keep_head(stream: Any, kept: list[bytes]) -> None:
    """Read to the end so that the writer never blocks, and keep the first OUTPUT_LIMIT bytes."""
    size = 0
    while True:
        chunk = stream.read1(65536)
        if not chunk:
            return
        if size < OUTPUT_LIMIT:
            kept.append(chunk[: OUTPUT_LIMIT - size])
            size += len(chunk)


def _start(
    argv: Union[list[str], str], stdin: int, env: Optional[dict[str, str]] = None, harmless: bool = False
) -> subprocess.Popen[bytes]:
    """A program in a process group of its own, which ends with the check's time."""
    account: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    try:
        # pylint: disable-next=ansible-bad-function
        process = subprocess.Popen(
            argv,
            shell=isinstance(argv, str),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            cwd="/",
            **(account if harmless and os.geteuid() == 0 else {}),
            env={**os.environ, "LC_ALL": "C.UTF-8", **(env or {})},
        )
    except OSError as error:
        raise UnobservableError(f"{argv if isinstance(argv, str) else argv[0]}: {error.strerror}") from error
    time_limit().add(lambda: _kill_group(process.pid))
    return process


def _errors_of(process: subprocess.Popen[bytes]) -> tuple[threading.Thread, list[bytes]]:
    """What the program says on stderr, complete when the thread has ended."""
    err: list[bytes] = []
    reader = threading.Thread(target=_keep_head, args=(process.stderr, err), daemon=True)
    reader.start()
    return reader, err


def run(
    argv: Union[list[str], str], stdin: str = "", env: Optional[dict[str, str]] = None, harmless: bool = False
) -> Finished:
    """Run a program and keep what it says.

    A harmless program runs as nobody if the probe is root, so that it can write nothing.
    """
    limit = time_limit()
    process = _start(argv, subprocess.PIPE if stdin else subprocess.DEVNULL, env, harmless)
    out: list[bytes] = []
    reader, err = _errors_of(process)
    if stdin and process.stdin:
        try:
            process.stdin.write(stdin.encode())
            process.stdin.close()
        except BrokenPipeError:
            pass  # it ended without reading: its exit status tells
    _keep_head(process.stdout, out)
    reader.join()
    code = process.wait()
    if limit.expired:
        raise UnobservableError(timed_out())
    return Finished(code, b"".join(out).decode(errors="replace"), b"".join(err).decode(errors="replace"))


def lines_of(argv: list[str]) -> Iterator[str]:
    """The lines that a program prints, however many; a failure that it explains makes the check unobservable."""
    limit = time_limit()
    process = _start(argv, subprocess.DEVNULL)
    reader, err = _errors_of(process)
    for line in process.stdout or ():
        yield line.decode(errors="replace").rstrip("\n")
    reader.join()
    code = process.wait()
    if limit.expired:
        raise UnobservableError(timed_out())
    reasons = b"".join(err).decode(errors="replace").strip().splitlines()
    if code and reasons:
        raise UnobservableError(f"{argv[0]} ended with {code}: {reasons[-1]}")


def output_of(argv: list[str], harmless: bool = False) -> str:
    """A program's output; a failure makes the check unobservable."""
    done = run(argv, harmless=harmless)
    if done.code:
        reason = (done.err.strip() or done.out.strip() or "no message").splitlines()[-1]
        raise UnobservableError(f"{argv[0]} ended with {done.code}: {reason}")
    return done.out


def read(path: str) -> str:
    """A small file's text."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - pathlib costs start-up time
            return file.read(OUTPUT_LIMIT)
    except OSError as error:
        raise UnobservableError(f"{path}: {error.strerror}") from error


def size(count: float) -> str:
    """Bytes for people: 1.5 GiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < KIBI:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= KIBI
    return f"{count:.1f} TiB"


def span(seconds: float) -> str:
    """A duration for people: 250 ms, 3.2 s, 5 min, 7 h, 12 days."""
    if abs(seconds) < 1:
        return f"{seconds * 1000:.3g} ms" if seconds else "0 s"
    for unit, length, limit in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172800)):
        if abs(seconds) < limit:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds / 86400:.0f} days"


def plural(count: float, noun: str) -> str:
    """'1 unit', '2 units'."""
    return f"{count:g} {noun}" + ("" if count == 1 else "s")


def shorten(texts: list[str], most: int = 10, total: int = 0) -> str:
    """The first of the texts, one a line, and how many more there are of the total, if that is not all the texts."""
    total = max(total, len(texts))
    more = [f"and {total - most} more"] if total > most else []
    return "\n".join([text[:300] for text in texts[:most]] + more)


class _Sweep:
    """Runs the checks in parallel, each for no longer than its timeout, all for no longer than the sweep's."""

    def __init__(self, checks: list[dict[str, Any]], timeout: float) -> None:
        self.waiting: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.done: queue.SimpleQueue[tuple[str, dict[str, Any]]] = queue.SimpleQueue()
        self.running: dict[str, Cancellation] = {}
        self.open = {item["name"] for item in checks}
        self.deadline = time.monotonic() + timeout
        self.timeout = timeout
        for item in checks:
            self.waiting.put(item)
        for _worker in range(min(PARALLEL, len(checks))):
            self.start_worker()

    def start_worker(self) -> None:
        """One more thread that takes checks."""
        threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        while True:
            try:
                item = self.waiting.get_nowait()
            except queue.Empty:
                return
            limit = _current.limit = Cancellation(item["timeout"])
            self.running[item["name"]] = limit
            answer = observe(item)
            answer["seconds"] = round(time.monotonic() + item["timeout"] - limit.deadline, 4)
            self.done.put((item["name"], answer))

    def _next_event(self) -> float:
        """Seconds until a time limit passes."""
        now = time.monotonic()
        moments = [limit.deadline + (GRACE if limit.expired else 0) for limit in list(self.running.values())]
        return max(0.0, min([*moments, self.deadline]) - now)

    def _enforce(self) -> None:
        """End what is over its time; give up what does not react to that."""
        now = time.monotonic()
        for name, limit in list(self.running.items()):
            if now < limit.deadline:
                continue
            if not limit.expired:
                limit.expire()
            elif now >= limit.deadline + GRACE:
                self.start_worker()  # in place of the one that hangs
                self._report(name, {"unknown": f"did not answer within {limit.timeout:g} s", "seconds": limit.timeout})

    def _report(self, name: str, answer: dict[str, Any]) -> None:
        self.running.pop(name, None)
        if name in self.open:
            self.open.remove(name)
            emit({"name": name, **answer})

    def finish(self) -> None:
        """Report every check, at the latest when the sweep's time is over."""
        while self.open and time.monotonic() < self.deadline:
            try:
                # A check may start meanwhile, so that its limit is not known yet: look again after at most 0.2 s.
                self._report(*self.done.get(timeout=min(0.2, self._next_event())))
            except queue.Empty:
                self._enforce()
        for limit in list(self.running.values()):
            limit.expire()
        for name in sorted(self.open):
            emit({"name": name, "unknown": f"the sweep was cut off after {self.timeout:g} s", "seconds": self.timeout})


def observe(item: dict[str, Any]) -> dict[str, Any]:
    """One check's answer; whatever goes wrong is part of the answer."""
    try:
        return vars(CHECKS[item["type"]](item["options"]))
    except UnobservableError as error:
        return {"unknown": str(error)}
    except Exception as error:  # noqa: BLE001 - a broken check is a finding, not the end of the sweep
        return {"unknown": f"{type(error).__name__}: {error}"}


def emit(answer: dict[str, Any]) -> None:
    """Write one answer at once, so that it survives what happens later."""
    sys.stdout.write(MARK + json.dumps(answer) + "\n")
    sys.stdout.flush()


def main(job: dict[str, Any]) -> None:
    """Run the job's checks and leave."""
    # A check that never lets go of the interpreter cannot be stopped from Python: then the kernel ends the process.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, job["timeout"] + 2 * GRACE)
    _Sweep(job["checks"], job["timeout"]).finish()
    emit({"done": True})
    # Not sys.exit: it would wait for threads that hang.
    os._exit(0)
