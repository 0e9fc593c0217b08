# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which run holds a lock: identity, owner, and whether it still goes on.

A lock is taken from a run only when that run is certainly over, so everything here errs on the side of "it goes on".
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible_collections.ops.runbook.plugins.module_utils.ledger import Ledger
from ansible_collections.ops.runbook.plugins.module_utils.ledger_entry import LedgerError
from ansible_collections.ops.runbook.plugins.module_utils.run_record import Process
from ansible_collections.ops.runbook.plugins.plugin_utils.change_window import moment
from ansible_collections.ops.runbook.plugins.plugin_utils.run_record_context import who

RUN_ID = "RUNBOOK_RUN_ID"
#: Characters of a run's id that messages show; the ledger's commands take so many.
SHORT = 12


class UnrecordedRunError(Exception):
    """The process is no run that the ledger knows."""


@dataclass(frozen=True)
class Holder:
    """A run that holds a lock, or wants to."""

    run_id: str
    procedure: str = ""
    owner: Mapping[str, Any] | None = None
    process: Mapping[str, Any] | None = None
    #: The controller, told apart from others of the same name.
    machine: str = ""
    since: str = ""
    until: str = ""
    #: Content of a lock file that is none.
    damaged: str = ""

    @classmethod
    def from_lock(cls, lock: Mapping[str, Any]) -> Holder:
        """The holder that a host's lock names; unknown members are left out."""
        known = {key: value for key, value in lock.items() if key in cls.__dataclass_fields__}
        for key in ("owner", "process"):
            if not isinstance(known.get(key), Mapping):
                known[key] = None
        return cls(**known)

    def to_lock(self) -> dict[str, Any]:
        """What the host's lock says; the host itself adds since and until."""
        return {
            "run_id": self.run_id,
            "procedure": self.procedure,
            "owner": dict(self.owner or {}),
            "process": dict(self.process or {}),
            "machine": self.machine,
        }

    @property
    def person(self) -> str:
        """Who started the run, and where."""
        owner = self.owner or {}
        user = owner.get("awx_user") or owner.get("sudo_user") or owner.get("user") or "somebody"
        return f"{user} on {owner.get('controller') or 'an unknown controller'}"

    @property
    def is_here(self) -> bool:
        """Whether this process would see the run's: same machine, same boot, same container."""
        here, there = Process.current(), Process.from_dict(self.process or {})
        return (there.boot_id, there.pid_namespace, there.host) == (
            here.boot_id,
            here.pid_namespace,
            here.host,
        ) and bool(there.pid)

    @property
    def is_alive(self) -> bool:
        """Whether the run certainly goes on."""
        return self.is_here and not self.is_gone

    @property
    def is_gone(self) -> bool:
        """Whether the run's process is certainly over."""
        there = Process.from_dict(self.process or {})
        if self.is_here:
            # Where /proc hides the processes of others, one that is not seen may well go on.
            return there.is_gone(self.since) and Path("/proc/1").exists()
        # The same machine, booted since. Its name alone would not do: many controllers are called localhost.
        return bool(self.machine) and self.machine == machine() and there.boot_id != Process.current().boot_id

    def __str__(self) -> str:
        if self.damaged:
            return f"a lock file that cannot be understood ({self.damaged[:60]!r})"
        return (
            f"{self.procedure or 'a procedure'}, started by {self.person}, locked since {shown(self.since)}, "
            f"until {shown(self.until)}, run {self.run_id[:SHORT]}"
        )


def shown(time: str) -> str:
    """A lock's time as a person reads it."""
    with suppress(ValueError):
        return moment(datetime.fromisoformat(time), UTC)
    return time or "an unknown time"


def machine() -> str:
    """A fingerprint of this machine; empty where it has no identity, as in most containers."""
    with suppress(OSError):
        identity = Path("/etc/machine-id").read_bytes().strip()
        return hashlib.sha256(b"ops-runbook " + identity).hexdigest()[:32] if identity else ""
    return ""


def this_run(state_dir: Path, procedure: str, extra_vars: Mapping[str, Any], environment: Mapping[str, str]) -> Holder:
    """The run that this process is a worker of.

    Raises UnrecordedRunError unless the ledger knows it as going on, and as this process.
    """
    run_id = environment.get(RUN_ID, "")
    if not run_id:
        raise UnrecordedRunError(f"{RUN_ID} is not set")
    try:
        head = Ledger(state_dir / "ledger").head()
    except LedgerError as error:
        raise UnrecordedRunError(str(error)) from error
    known = head.open.get(run_id) if head else None
    if known is None:
        raise UnrecordedRunError(f"the ledger in {state_dir / 'ledger'} knows no run {run_id[:SHORT]} that goes on")
    process = Process.from_dict(known)
    # A worker is a child of the run. The variable alone may have been inherited from another run.
    if process.pid not in (os.getpid(), os.getppid()) or process.pid_namespace != Process.current().pid_namespace:
        raise UnrecordedRunError(f"{RUN_ID} is that of another process ({process.pid})")
    return Holder(run_id, procedure, who(extra_vars, environment), vars(process), machine())


def leftovers(run_id: str) -> list[int]:
    """Programs of the run that still work on hosts: Ansible's workers outlive a controller that is killed.

    OpenSSH's connections that wait to be used again do no work.
    """
    wanted = f"{RUN_ID}={run_id}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                command = (folder / "cmdline").read_bytes()
                if command and b"[mux]" not in command:
                    found.append(int(folder.name))
    return sorted(found)
