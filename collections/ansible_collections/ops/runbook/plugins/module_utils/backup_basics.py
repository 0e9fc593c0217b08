# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the programs that make backups on hosts have in common: running tools, one at a time, a history, findings."""

from __future__ import annotations

import calendar
import contextlib
import fcntl
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

PAGE = "backup-recovery/backup-procedures"
DAY = 86400.0
KIBI = 1024
UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
#: A backup is due a little early, so that one that is made every day at the same minute is not made every other day.
EARLY = 0.02
#: From how often its interval an age is a warning, and from how often it is critical.
LATE, TOO_LATE = 1.25, 2.0
#: How many rows the history keeps.
HISTORY_ROWS = 5000


class BackupError(Exception):
    """Why there is no backup: what is wrong, where, and what to do next. ``cause`` is one word for it."""

    def __init__(self, message: str, cause: str = "failed") -> None:
        super().__init__(message)
        self.cause = cause


@dataclass(frozen=True)
class Done:
    """How a program ended."""

    returncode: int
    output: str
    errors: str

    @property
    def said(self) -> str:
        """Everything that it printed."""
        return f"{self.output}\n{self.errors}".strip()


def run(command: Sequence[str], environment: Optional[Mapping[str, str]] = None) -> Done:
    """Run a program to its end."""
    try:
        # pylint: disable-next=ansible-bad-function
        result = subprocess.run(
            list(command),
            env={**os.environ, "LC_ALL": "C.UTF-8", **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise BackupError(f"{error.filename} is not installed: run backup_procedures.yml", "missing") from error
    return Done(result.returncode, *(text.decode("utf-8", "replace") for text in (result.stdout, result.stderr)))


@contextlib.contextmanager
def alone(state: Path, what: str, wait: float = 0.0, *, writes: bool = True) -> Iterator[None]:
    """Let one program at a time do what it stands for. The lock goes with its process.

    Who only looks leaves no name in it.
    """
    if writes:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)  # a host that was rebuilt has none yet
    with (state / "lock").open("a+", encoding="utf-8") as handle:
        deadline = time.monotonic() + wait
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    handle.seek(0)
                    holder = handle.read().strip() or "another one"
                    raise BackupError(f"{what} is being made already: {holder}. Wait for its end", "busy") from error
            time.sleep(0.5)
        if writes:
            handle.truncate(0)
            handle.write(f"process {os.getpid()} since {stamp(time.time())}")
            handle.flush()
        yield


def stamp(moment: float) -> str:
    """A time in UTC, for people."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(moment))


class History:
    """What was made and verified: a line of JSON each, oldest first."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def rows(self) -> list[dict[str, Any]]:
        """All rows. The last one of a machine that lost its power may be torn."""
        found: list[dict[str, Any]] = []
        if self._path.exists():
            for line in self._path.read_text(encoding="utf-8").splitlines():
                with contextlib.suppress(ValueError):
                    found.append(json.loads(line))
        return found

    def add(self, **row: Any) -> None:
        """Append a row with its time, and forget those that are too many."""
        rows = [*self.rows(), {"time": time.time(), **row}]
        replace(self._path, "".join(json.dumps(each) + "\n" for each in rows[-HISTORY_ROWS:]))

    def last(self, **wanted: Any) -> Optional[dict[str, Any]]:
        """The newest row with these values."""
        row: dict[str, Any]
        for row in reversed(self.rows()):
            if all(row.get(key) == value for key, value in wanted.items()):
                return row
        return None


def replace(path: Path, text: str) -> None:
    """Write a file in one step."""
    draft = path.with_name(f".{path.name}.new")
    with draft.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def finding(check: str, status: str, title: str, anchor: str, **more: Any) -> dict[str, Any]:
    """A finding, without the host, which the controller knows."""
    return {"check": check, "status": status, "title": title, "remedy": f"{PAGE}#{anchor}", **more}


def is_due(age: Optional[float], every: float) -> bool:
    """Whether something of that age has to be made anew."""
    return age is None or age >= every * (1 - EARLY)


def age_status(age: Optional[float], every: float) -> str:
    """How bad it is that the newest one is so old."""
    if age is None or age > every * TOO_LATE:
        return "critical"
    return "warning" if age > every * LATE else "ok"


def since(moment: float) -> float:
    """Seconds since then, by the clock of this host as it is now; none since what another clock puts ahead."""
    return max(0.0, time.time() - moment)


def span(seconds: float) -> str:
    """A length of time in its largest sensible unit."""
    for unit, length in (("d", DAY), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def amount(number: float) -> str:
    """A number of bytes, for people."""
    power = 0
    while number >= KIBI and power < len(UNITS) - 1:
        number, power = number / KIBI, power + 1
    return f"{number:.1f} {UNITS[power]}" if power else f"{number:.0f} B"


def growth(size: float, before: Optional[float]) -> float:
    """How much larger it is than the one before, in percent."""
    return round(100.0 * (size - before) / before, 1) if before else 0.0


def space(path: Path) -> tuple[int, int]:
    """Bytes of the file system that are free for those who are not root, and bytes in all."""
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize


def timer_finding(check: str, timer: str, without: str = "no backup is made by itself") -> dict[str, Any]:
    """Whether systemd starts the program, and how it ended the last time."""
    service = timer.replace(".timer", ".service")
    shown = run(["systemctl", "show", "--property=ActiveState,UnitFileState", timer]).output.split()
    state = dict(line.split("=", 1) for line in shown if "=" in line)
    ended = run(["systemctl", "show", "--property=Result", "--value", service]).output.strip()
    if state.get("ActiveState") != "active" or state.get("UnitFileState") != "enabled":
        said = f"{timer} is {state.get('ActiveState', 'unknown')} and {state.get('UnitFileState') or 'not installed'}"
        return finding(check, "critical", f"{said}: {without}", "timer")
    if ended not in ("success", ""):
        return finding(check, "critical", f"{service} ended with {ended}", "timer", detail=f"journalctl -u {service}")
    return finding(check, "ok", f"{timer} is active", "timer")


def certificate_finding(check: str, of: str, said: str, missing: str = "critical") -> dict[str, Any]:
    """How long a certificate is valid, going by what openssl says; ``missing`` is how bad it is if that is nothing."""
    found = re.search(r"notAfter=(\w.*) GMT", said)
    if found is None:
        return finding(check, missing, f"{of} shows no certificate", "certificate", detail=said.strip())
    ends = float(calendar.timegm(time.strptime(found[1], "%b %d %H:%M:%S %Y")))
    left = ends - time.time()
    status = "critical" if left < 7 * DAY else "warning" if left < 30 * DAY else "ok"
    title = f"{of} {'has expired' if left < 0 else 'is valid'}: {stamp(ends)}"
    return finding(check, status, title, "certificate", metrics={"left_days": round(left / DAY, 1)})


def served_certificate(address: str) -> str:
    """What openssl says of the certificate that a server shows, or of the way there.

    The time is enough for a name server to be asked three times.
    """
    script = """
shown=$(timeout 20 openssl s_client -connect "$1" </dev/null 2>&1) || ended=$?
printf '%s\\n' "$shown" | openssl x509 -noout -enddate 2>/dev/null ||
    printf 'openssl ended with status %s: %.300s\\n' "${ended:-0}" "$shown"
"""
    return run(["sh", "-c", script, "sh", address]).output


def answer(result: Mapping[str, Any]) -> int:
    """Print what the controller reads, say what is wrong to whoever reads the journal; return the exit status."""
    sys.stdout.write(json.dumps(result) + "\n")
    sys.stdout.flush()
    bad = [each for each in result.get("findings", ()) if each["status"] != "ok"]
    for each in bad:
        sys.stderr.write(f"{each['status']}: {each['check']}: {each['title']}\n")
    if result.get("failure"):
        sys.stderr.write(f"failed: {result['failure']}\n")
        return 1
    return 2 if any(each["status"] == "critical" for each in bad) else 0
