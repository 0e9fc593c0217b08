from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from ansible_collections.ops.runbook.plugins.module_utils.ledger import Ledger
from ansible_collections.ops.runbook.plugins.module_utils.ledger_entry import utc_now
from ansible_collections.ops.runbook.plugins.module_utils.run_record import (
    LOST_AFTER,
    Process,
    RunRecord,
    orphans,
    records,
    runs,
)


def ago(age: timedelta) -> str:
    return (datetime.now(UTC) - age).isoformat()


def record(run_id: str, process: Process) -> RunRecord:
    return RunRecord(
        run_id=run_id,
        procedure="maintenance/updates",
        started=utc_now(),
        who={"user": "root", "sudo_user": "jane"},
        what={},
        where={"check": False},
        why={},
        origin={},
        extra_vars={},
        process=vars(process),
    )


class TestProcess:
    def test_this_one_is_not_gone(self) -> None:
        assert not Process.current().is_gone(ago(timedelta(days=365)))

    def test_an_ended_one_is_gone(self) -> None:
        child = subprocess.Popen(["sleep", "60"])
        process = replace(Process.current(), pid=child.pid, start_ticks=_ticks(child.pid))
        assert not process.is_gone(utc_now())
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert process.is_gone(utc_now()), "a zombie does nothing any more"
        child.wait()
        assert process.is_gone(utc_now())

    def test_another_process_with_the_same_id_is_not_the_run(self) -> None:
        assert replace(Process.current(), start_ticks=1).is_gone(utc_now())

    def test_a_reboot_ends_everything(self) -> None:
        assert replace(Process.current(), boot_id="another boot").is_gone(utc_now())

    @pytest.mark.parametrize("change", [{"host": "elsewhere"}, {"pid_namespace": "pid:[1]"}])
    def test_of_other_places_only_age_tells(self, change: dict[str, str]) -> None:
        process = replace(Process.current(), pid=1, **change)
        assert not process.is_gone(ago(LOST_AFTER - timedelta(minutes=1)))
        assert process.is_gone(ago(LOST_AFTER + timedelta(minutes=1)))

    def test_where_there_is_no_proc_the_id_alone_counts(self) -> None:
        assert not replace(Process.current(), start_ticks=0).is_gone(utc_now())
        assert replace(Process.current(), start_ticks=0, pid=2**22 + 1).is_gone(utc_now())


def _ticks(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


class TestRuns:
    @pytest.fixture
    def ledger(self, tmp_path: Path) -> Ledger:
        return Ledger(tmp_path / "ledger")

    def test_a_run_goes_on_while_its_process_lives(self, ledger: Ledger) -> None:
        ledger.append("started", "r1", record("r1", Process.current()).start())
        (run,) = runs(ledger)
        assert (run.outcome, run.duration, run.user) == ("running", None, "jane")

    def test_a_run_whose_process_is_gone_is_interrupted(self, ledger: Ledger) -> None:
        gone = replace(Process.current(), start_ticks=1)
        ledger.append("started", "r1", record("r1", gone).start())
        ledger.append("started", "r2", record("r2", Process.current()).start())
        assert [run.outcome for run in runs(ledger)] == ["running", "interrupted"]
        head = ledger.head()
        assert head is not None
        assert orphans(head.open) == ["r1"]

    def test_the_end_wins_over_an_interruption_that_was_only_supposed(self, ledger: Ledger) -> None:
        run = record("r1", Process.current())
        ledger.append("started", "r1", run.start())
        ledger.append("interrupted", "r1", {"run_id": "r1", "outcome": "interrupted"})
        assert records(ledger)["r1"]["procedure"] == "maintenance/updates"
        run.outcome, run.duration = "succeeded", 3.0
        ledger.append("finished", "r1", run.to_dict())
        (found,) = runs(ledger)
        assert (found.outcome, found.duration) == ("succeeded", 3.0)

    def test_an_unreadable_time_counts_as_long_ago(self) -> None:
        assert replace(Process.current(), host="elsewhere").is_gone("no time")
