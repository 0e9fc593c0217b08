"""Which run holds a lock, and when it is certainly over."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from ansible_collections.ops.runbook.plugins.module_utils.ledger import Ledger
from ansible_collections.ops.runbook.plugins.module_utils.run_record import Process
from ansible_collections.ops.runbook.plugins.plugin_utils import change_run
from ansible_collections.ops.runbook.plugins.plugin_utils.change_run import (
    Holder,
    UnrecordedRunError,
    leftovers,
    machine,
    this_run,
)

HERE = Process.current()


def held_by(process: Process, machine: str = "") -> Holder:
    return Holder("r", "x", {}, vars(process), machine, datetime.now(UTC).isoformat())


def test_this_process_is_alive() -> None:
    assert held_by(HERE).is_alive
    assert not held_by(HERE).is_gone


def test_process_that_has_ended_is_gone() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        ticks = int(Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[19])
        holder = held_by(replace(HERE, pid=process.pid, start_ticks=ticks))
        assert holder.is_alive
        process.kill()
    assert holder.is_gone


def test_process_id_that_is_used_again_is_another_process() -> None:
    assert held_by(replace(HERE, start_ticks=HERE.start_ticks + 1)).is_gone


@pytest.mark.parametrize(
    "process",
    [
        replace(HERE, pid=999_999_999, host="other", boot_id="other"),
        replace(HERE, pid=999_999_999, pid_namespace="pid:[1]"),
        replace(HERE, pid=999_999_999, boot_id="other"),
        Process(),
    ],
    ids=["another machine", "another container", "another machine of this name", "unknown"],
)
def test_of_others_nothing_is_certain(process: Process) -> None:
    assert not held_by(process).is_gone
    assert not held_by(process).is_alive


def test_run_from_before_this_machine_was_booted_is_gone() -> None:
    assert machine()
    assert held_by(replace(HERE, boot_id="before"), machine()).is_gone


def test_hidden_processes_may_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """With hidepid, /proc shows nobody the processes of others."""
    exists = Path.exists
    monkeypatch.setattr(Path, "exists", lambda path: str(path) != "/proc/1" and exists(path))
    assert not held_by(replace(HERE, start_ticks=1)).is_gone


def test_programs_of_a_run_are_found(tmp_path: Path) -> None:
    environment = {**os.environ, "RUNBOOK_RUN_ID": "0123abcd"}
    with (
        subprocess.Popen(["sleep", "60"], env=environment) as program,
        subprocess.Popen(["sh", "-c", "sleep 60; true", "ssh: x [mux]"], env=environment) as master,
    ):
        time.sleep(0.2)
        found = leftovers("0123abcd")
        assert program.pid in found
        assert master.pid not in found
        subprocess.run(["pkill", "-P", str(master.pid)], check=True)
        program.kill()
    assert leftovers("0123abcd") == []


def start(state: Path, process: Process) -> None:
    Ledger(state / "ledger").append(
        "started", "r1", {"started": datetime.now(UTC).isoformat(), "process": vars(process)}
    )


def test_run_of_this_process(tmp_path: Path) -> None:
    start(tmp_path, HERE)
    found = this_run(tmp_path, "maintenance/x", {"awx_user_name": "alice"}, {"RUNBOOK_RUN_ID": "r1"})
    assert (found.run_id, found.procedure, found.is_alive) == ("r1", "maintenance/x", True)
    assert found.person.startswith("alice on ")
    assert Holder.from_lock({**found.to_lock(), "until": "y", "later": 1}) == replace(found, until="y")


@pytest.mark.parametrize("run_id", ["", "r2"])
def test_unrecorded_run(tmp_path: Path, run_id: str) -> None:
    start(tmp_path, HERE)
    with pytest.raises(UnrecordedRunError, match=r"RUNBOOK_RUN_ID is not set|knows no run r2"):
        this_run(tmp_path, "x", {}, {"RUNBOOK_RUN_ID": run_id})


def test_run_without_a_ledger(tmp_path: Path) -> None:
    with pytest.raises(UnrecordedRunError, match="knows no run"):
        this_run(tmp_path, "x", {}, {"RUNBOOK_RUN_ID": "r1"})


def test_inherited_run(tmp_path: Path) -> None:
    """A playbook without the callback that another run starts is not that run."""
    start(tmp_path, replace(HERE, pid=1))
    with pytest.raises(UnrecordedRunError, match=r"another process \(1\)"):
        this_run(tmp_path, "x", {}, {"RUNBOOK_RUN_ID": "r1"})


def test_run_that_has_ended(tmp_path: Path) -> None:
    start(tmp_path, HERE)
    Ledger(tmp_path / "ledger").append("finished", "r1", {})
    with pytest.raises(UnrecordedRunError, match="knows no run"):
        this_run(tmp_path, "x", {}, {"RUNBOOK_RUN_ID": "r1"})


def test_damaged_lock_is_shown_as_one() -> None:
    assert "cannot be understood" in str(Holder.from_lock({"run_id": "sha256:1", "damaged": "{"}))


def test_worker_is_a_child_of_its_run(tmp_path: Path) -> None:
    start(tmp_path, HERE)
    script = (
        "import os, sys; from pathlib import Path\n"
        "from ansible_collections.ops.runbook.plugins.plugin_utils.change_run import this_run\n"
        "print(this_run(Path(sys.argv[1]), 'x', {}, {'RUNBOOK_RUN_ID': 'r1'}).process['pid'])\n"
    )
    collections = str(Path(change_run.__file__).parents[5])
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": collections},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) == os.getpid()
