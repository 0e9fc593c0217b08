# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The run record: who ran what where and why, and what came of it."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Optional

from ansible_collections.ops.runbook.plugins.module_utils.ledger import Ledger

SCHEMA = 1
OUTCOMES = ("succeeded", "failed", "refused", "rolled_back", "interrupted")
#: A run on another controller whose end nobody recorded counts as lost after this time.
LOST_AFTER = timedelta(days=2)


@dataclass(frozen=True)
class Process:
    """The process of a run, told apart from every other one, before and after a reboot."""

    host: str = ""
    boot_id: str = ""
    #: Process ids are only comparable within one namespace: a container has its own.
    pid_namespace: str = ""
    pid: int = 0
    #: Start time in clock ticks since boot: a process id is used again sooner or later.
    start_ticks: int = 0

    @classmethod
    def current(cls) -> Process:
        """The calling process."""
        namespace = ""
        with contextlib.suppress(OSError):
            namespace = str(Path("/proc/self/ns/pid").readlink())
        return cls(platform.node(), _boot_id(), namespace, os.getpid(), _start_ticks(os.getpid()) or 0)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Process:
        """The process from a record; unknown members are left out."""
        return cls(**{key: value for key, value in data.items() if key in cls.__dataclass_fields__})

    def is_gone(self, since: str) -> bool:
        """Whether the process is certainly dead. Of other machines nothing is certain before LOST_AFTER."""
        here = Process.current()
        if self.host == here.host and self.boot_id == here.boot_id and self.pid_namespace == here.pid_namespace:
            return _start_ticks(self.pid) != self.start_ticks if self.start_ticks else not _exists(self.pid)
        if self.host == here.host and self.boot_id != here.boot_id:
            return True
        return datetime.now(timezone.utc) - _parse(since) > LOST_AFTER


@dataclass
class HostResult:
    """How many tasks ended how on one host, in Ansible's own counting."""

    ok: int = 0
    changed: int = 0
    failed: int = 0
    unreachable: int = 0
    skipped: int = 0
    rescued: int = 0
    ignored: int = 0


@dataclass
class TaskEvent:
    """A task that changed something on a host, or failed there."""

    host: str
    task: str
    action: str
    #: The file, package or service that it was about; the loop item where there is one.
    subject: str = ""
    item: str = ""
    #: Of a change: the difference, without secrets.
    diff: str = ""
    #: Of a failure: what went wrong.
    message: str = ""
    unreachable: bool = False
    ignored: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The event without its empty members."""
        return {key: value for key, value in asdict(self).items() if value}


@dataclass
class RunRecord:
    """One run of one playbook."""

    run_id: str
    procedure: str
    started: str
    who: Mapping[str, Any]
    what: Mapping[str, Any]
    where: Mapping[str, Any]
    why: Mapping[str, Any]
    origin: Mapping[str, Any]
    extra_vars: Mapping[str, Any]
    process: Mapping[str, Any]
    outcome: str = ""
    finished: str = ""
    #: In seconds.
    duration: float = 0.0
    #: The exit code of ansible-playbook and what it means.
    exit: Mapping[str, Any] = field(default_factory=dict)
    #: Why the run was refused.
    refusal: str = ""
    hosts: dict[str, HostResult] = field(default_factory=dict)
    changes: list[TaskEvent] = field(default_factory=list)
    failures: list[TaskEvent] = field(default_factory=list)
    findings: list[Mapping[str, Any]] = field(default_factory=list)
    #: How many findings there were of each status; only those that are not ok are recorded one by one.
    finding_counts: Mapping[str, int] = field(default_factory=dict)
    #: Where the reports lie, with their SHA-256.
    reports: list[Any] = field(default_factory=list)
    #: Of a check-mode run: the plan that was saved. Of a run under an approved plan: that plan, and who approved it.
    plan: Mapping[str, Any] = field(default_factory=dict)
    approval: Mapping[str, Any] = field(default_factory=dict)
    #: Checkpoints of the evidence that the run sealed, as texts.
    checkpoints: list[str] = field(default_factory=list)
    #: Items of sealed evidence whose content the run has fetched from the store, with their SHA-256.
    evidence_read: list[Mapping[str, Any]] = field(default_factory=list)
    #: Files that the run has read back from backups: host, snapshot, its sets, how many.
    read_back: list[Mapping[str, Any]] = field(default_factory=list)
    #: Backups that the run has seen for the first time, and those that it has no longer to see.
    backups: list[Mapping[str, Any]] = field(default_factory=list)
    #: Host patterns of plays that matched no host.
    unmatched: list[str] = field(default_factory=list)
    #: How many changes and failures were left out, because a record holds a limited number.
    omitted: int = 0

    def start(self) -> dict[str, Any]:
        """What is known before the first task: the body of the ``started`` entry."""
        known = ("run_id", "procedure", "started", "who", "what", "where", "why", "origin", "extra_vars", "process")
        return {"schema": SCHEMA, **{name: getattr(self, name) for name in known}}

    def to_dict(self) -> dict[str, Any]:
        """The whole record: the body of the ``finished`` or ``interrupted`` entry."""
        return {
            **self.start(),
            "outcome": self.outcome,
            "finished": self.finished,
            "duration": self.duration,
            "exit": dict(self.exit),
            "refusal": self.refusal,
            "hosts": {host: asdict(result) for host, result in self.hosts.items()},
            "changes": [change.to_dict() for change in self.changes],
            "failures": [failure.to_dict() for failure in self.failures],
            "findings": self.findings,
            "finding_counts": dict(self.finding_counts),
            "reports": self.reports,
            "plan": dict(self.plan),
            "approval": dict(self.approval),
            "checkpoints": self.checkpoints,
            "evidence_read": self.evidence_read,
            "read_back": self.read_back,
            "backups": self.backups,
            "unmatched": self.unmatched,
            "omitted": self.omitted,
        }


@dataclass(frozen=True)
class Run:
    """What the list of runs shows of one run."""

    run_id: str
    time: str
    procedure: str
    outcome: str
    user: str
    hosts: int
    #: In seconds; None while the run goes on.
    duration: Optional[float]
    changed: int
    check: bool


def records(ledger: Ledger) -> dict[str, dict[str, Any]]:
    """The newest record of each run, in the order in which they started.

    A run without an end has the outcome ``interrupted`` when its process is gone, and ``running`` otherwise.
    """
    bodies: dict[str, dict[str, Any]] = {}
    for entry in ledger.entries():
        if entry.kind == "started":
            bodies[entry.run_id] = entry.body
        elif entry.kind in ("finished", "interrupted"):
            bodies[entry.run_id] = {**bodies.get(entry.run_id, {}), **entry.body}
    for body in bodies.values():
        if not body.get("outcome"):
            gone = Process.from_dict(body.get("process", {})).is_gone(body.get("started", ""))
            body["outcome"] = "interrupted" if gone else "running"
    return bodies


def runs(ledger: Ledger) -> Iterator[Run]:
    """All runs of the ledger, newest first."""
    for run_id, body in reversed(list(records(ledger).items())):
        who = body.get("who", {})
        hosts: Mapping[str, Mapping[str, int]] = body.get("hosts", {})
        yield Run(
            run_id=run_id,
            time=body.get("started", ""),
            procedure=body.get("procedure", ""),
            outcome=body["outcome"],
            user=who.get("awx_user") or who.get("sudo_user") or who.get("user", ""),
            hosts=len(hosts),
            duration=body.get("duration"),
            changed=sum(host["changed"] for host in hosts.values()),
            check=bool(body.get("where", {}).get("check")),
        )


def orphans(open_runs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Those of the checkpoint's open runs whose process is gone: a kill -9 or a power failure ended them."""
    return [run_id for run_id, run in open_runs.items() if Process.from_dict(run).is_gone(str(run.get("since", "")))]


def _boot_id() -> str:
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return ""


def _start_ticks(pid: int) -> Optional[int]:
    """Field 22 of /proc/PID/stat; None for a process that is gone, or a zombie, or where there is no /proc."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The name stands in parentheses and may hold spaces and parentheses itself.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in ("Z", "X") else int(fields[19])


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _parse(time: str) -> datetime:
    try:
        return datetime.fromisoformat(time.replace("Z", "+00:00"))
    except ValueError:
        return datetime.fromtimestamp(0, timezone.utc)
