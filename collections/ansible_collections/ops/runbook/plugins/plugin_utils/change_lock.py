# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Locks all hosts of a run, or none.

The hosts decide, each for itself (module_utils/host_lock.py); this asks all of them at once and makes one decision of
their answers. Two runs that meet may each get some of the hosts: the one with the greater id gives back what it got,
the other one asks again, so that exactly one of them goes on.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.ops.runbook.plugins.module_utils import host_lock
from ansible_collections.ops.runbook.plugins.plugin_utils.change_run import Holder, leftovers
from ansible_collections.ops.runbook.plugins.plugin_utils.marked import answer_behind

PATH = "/var/lib/ops-runbook/change.lock"
BREAK_PLAYBOOK = "playbooks/operational_procedures_break_lock.yml"
#: A run that met us while it took its own locks has given them back by then, in seconds.
MEETING = 6.0
#: How long the programs of a run may need that was killed, in seconds.
LEFTOVERS = 120.0
_PAUSE = 0.3

Job = Mapping[str, Any]
#: Look at the lock, and touch nothing.
SHOW: Job = {"action": "show", "path": PATH}
#: Asks each host to do its job; a host without an answer answers {"result": "error", "error": why}.
Exchange = Callable[[Mapping[str, Job]], Mapping[str, Mapping[str, Any]]]


def program(job: Job) -> bytes:
    """The program that does the job on a host."""
    source = Path(host_lock.__file__).read_text(encoding="utf-8")
    return f"{source}\nmain(json.loads({json.dumps(job)!r}))\n".encode()


def parse(stdout: str) -> Mapping[str, Any] | None:
    """The answer in what a host printed; None where there is none."""
    answer: Mapping[str, Any] | None = answer_behind(host_lock.MARK, stdout)
    return answer


@dataclass
class Acquired:
    """What came of locking."""

    #: What speaks against it; empty where all hosts are locked.
    problems: list[str] = field(default_factory=list)
    #: Host → how it came to its lock, where an earlier run had one.
    taken_over: dict[str, str] = field(default_factory=dict)
    #: Hosts that may still be locked although the run was refused, and why.
    stuck: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Waits:
    """What unit tests replace."""

    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    leftovers: Callable[[str], list[int]] = leftovers


class Locks:
    """The locks of one run."""

    def __init__(self, exchange: Exchange, own: Holder, minutes: int = 0, waits: Waits | None = None) -> None:
        self._exchange = exchange
        self._own = own
        self._minutes = minutes
        self._waits = waits or Waits()

    def acquire(self, hosts: Iterable[str]) -> Acquired:
        """Lock all of them or none."""
        attempt = _Attempt(self._own, self._waits)
        missing = dict.fromkeys(hosts, "")
        while missing:
            jobs = {host: self._job("acquire", replace=run_id) for host, run_id in missing.items()}
            missing = attempt.next(self._exchange(jobs))
        if attempt.acquired.problems:
            attempt.acquired.taken_over.clear()
            attempt.acquired.stuck = self.release(attempt.new)
        return attempt.acquired

    def renew(self, hosts: Iterable[str]) -> list[str]:
        """Put the expiry off on all hosts. Returns what speaks against going on."""
        answers = self._exchange({host: self._job("renew") for host in hosts})
        problems = []
        for host, answer in sorted(answers.items()):
            if answer["result"] == "error":
                problems.append(f"{host}: its lock cannot be renewed: {answer['error']}")
            elif answer["result"] == "lost":
                lock = answer.get("lock")
                now = f"it is held by {Holder.from_lock(lock)}" if lock else "it is free"
                problems.append(f"{host}: this run has lost its lock, because it expired or was broken; now {now}")
        return problems

    def release(self, hosts: Iterable[str]) -> dict[str, str]:
        """Free what this run holds. Returns the hosts that could not be asked, and why."""
        jobs = {host: {"action": "release", "path": PATH, "run_id": self._own.run_id} for host in hosts}
        answers = self._exchange(jobs) if jobs else {}
        return {host: str(answer["error"]) for host, answer in answers.items() if answer["result"] == "error"}

    def _job(self, action: str, **more: Any) -> dict[str, Any]:
        return {"action": action, "path": PATH, "lock": self._own.to_lock(), "minutes": self._minutes, **more}


class _Attempt:
    """One attempt to lock, over as many questions as it needs."""

    def __init__(self, own: Holder, waits: Waits) -> None:
        self.acquired = Acquired()
        #: Hosts that are locked and were not before.
        self.new: list[str] = []
        self._own = own
        self._waits = waits
        self._begin = waits.clock()

    def next(self, answers: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
        """Take in the answers. Returns the hosts to ask again, each with the run that it may replace."""
        held = {}
        for host, answer in sorted(answers.items()):
            if answer["result"] == "error":
                self.acquired.problems.append(f"{host}: it cannot be locked: {answer['error']}")
            elif answer["result"] == "held":
                held[host] = Holder.from_lock(answer["lock"]), float(answer["age"])
            else:
                self._got(host, answer)
        again = {} if self.acquired.problems else self._again(held)
        if not again:
            runs = by_run({host: holder for host, (holder, _age) in held.items()})
            self.acquired.problems += [refusal(hosts, holder) for hosts, holder in runs]
        return again

    def _got(self, host: str, answer: Mapping[str, Any]) -> None:
        if answer["result"] != "renewed":
            self.new.append(host)
        if answer["result"] in ("expired", "taken_over"):
            why = "it has expired" if answer["result"] == "expired" else "its process is gone"
            self.acquired.taken_over[host] = f"took over the lock of {Holder.from_lock(answer['lock'])}: {why}"

    def _again(self, held: Mapping[str, tuple[Holder, float]]) -> dict[str, str]:
        """The hosts whose locks may be had; none at all if one of them may not."""
        wait = False
        again = {}
        for host, (holder, age) in held.items():
            if holder.is_gone:
                # While a program of the dead run still works on the host, nobody else does.
                busy = bool(self._waits.leftovers(holder.run_id))
                if busy and self._elapsed() > LEFTOVERS:
                    return {}
                wait = wait or busy
                again[host] = "" if busy else holder.run_id
            elif age < MEETING and self._own.run_id < holder.run_id and self._elapsed() < MEETING:
                wait = True
                again[host] = ""
            else:
                return {}
        if wait:
            self._waits.sleep(_PAUSE)
        return again

    def _elapsed(self) -> float:
        return self._waits.clock() - self._begin


def by_run(held: Mapping[str, Holder]) -> list[tuple[list[str], Holder]]:
    """The hosts that each run holds."""
    runs: dict[str, list[str]] = {}
    for host, holder in held.items():
        runs.setdefault(holder.run_id, []).append(host)
    return [(hosts, held[hosts[0]]) for hosts in runs.values()]


def refusal(hosts: list[str], holder: Holder) -> str:
    """Who holds the hosts, and what to do about it."""
    advice = "Wait for its end"
    if holder.is_gone:
        programs = ", ".join(map(str, leftovers(holder.run_id))) or "none now"
        advice = f"Its process is gone, but programs of it still run on this controller (process {programs}); end them"
    verb = "is" if len(hosts) == 1 else "are"
    return f"{', '.join(hosts)} {verb} locked: {holder}. {advice}, or break the lock: {break_command(hosts)}"


def break_command(hosts: Iterable[str]) -> str:
    """The command that frees hosts whose run is known to be over."""
    return f"ansible-playbook {BREAK_PLAYBOOK} --limit {','.join(hosts)} -e \"runbook_reason='why'\""
