"""One mutating run a host: two that meet, one that died, one that expired, and one whose lock is broken."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import pytest

from tests.guard.conftest import ELSEWHERE, HOSTS, LOCK, Controller, content, lock, on_app1, until
from tests.scenario import Outcome, files, shell

pytestmark = [pytest.mark.xdist_group("lab"), pytest.mark.usefixtures("changes_lab")]

Background = Callable[..., Future[Outcome]]
REASON = ("-e", "runbook_reason='its controller was switched off'")


def test_second_run_is_refused_at_once_and_told_who_holds_the_hosts(
    here: Controller, elsewhere: Controller, background: Background
) -> None:
    first = background(here.change, content="first", command=on_app1("sleep 12"))
    until(lambda: content("app1"), first)
    second = elsewhere.change(content="second")
    assert not first.done(), "the second run was to come in the middle of the first"
    assert (second.returncode, second.record["outcome"]) == (2, "refused"), second.output
    for words in ("app1, app2 are locked: tests/change, started by", "locked since", "until", "break_lock.yml"):
        assert words in second.record["refusal"]
    assert lock("app1")["run_id"][:12] in second.record["refusal"]
    done = first.result()
    assert done.record["outcome"] == "succeeded", done.output
    assert [content(host) for host in HOSTS] == ["first", "first"]
    assert [lock(host) for host in HOSTS] == [{}, {}]


def test_of_two_that_start_at_once_exactly_one_wins(
    controllers: Callable[..., Controller], background: Background
) -> None:
    runners = [controllers(ELSEWHERE), controllers(ELSEWHERE)]
    for number in range(3):
        started = [
            background(runner.change, "-e", "guarded_serial=2", content=f"{number}{name}", command="sleep 4")
            for name, runner in zip("ab", runners, strict=True)
        ]
        outcomes = dict(zip("ab", [one.result() for one in started], strict=True))
        ends = sorted(one.record["outcome"] for one in outcomes.values())
        assert ends == ["refused", "succeeded"], "\n".join(one.output for one in outcomes.values())
        [winner] = [name for name, one in outcomes.items() if one.record["outcome"] == "succeeded"]
        assert {content(host) for host in HOSTS} == {f"{number}{winner}"}
        assert [lock(host) for host in HOSTS] == [{}, {}]


def test_dead_run_is_taken_over_once_its_last_program_has_ended(here: Controller, background: Background) -> None:
    """Only the controller's main process is killed: its worker finishes on app1 what it is at."""
    first = background(here.change, content="first", command="sh -c 'sleep 12; echo late > /srv/guarded'")
    until(lambda: content("app1"), first)
    os.kill(lock("app1")["process"]["pid"], signal.SIGKILL)
    second = here.change(content="second")
    assert first.result().killed
    assert second.record["outcome"] == "succeeded", second.output
    assert [content(host) for host in HOSTS] == ["second", "second"], "the dead run's program came after the new run"
    taken = [finding for finding in second.record["findings"] if finding["check"] == "change lock"]
    assert [finding["host"] for finding in taken] == list(HOSTS)
    assert "took over the lock of tests/change" in taken[0]["title"]
    assert "its process is gone" in taken[0]["title"]
    assert [lock(host) for host in HOSTS] == [{}, {}]


def test_lock_of_another_controller_outlives_it_and_a_reboot_until_it_expires(
    here: Controller, elsewhere: Controller, background: Background
) -> None:
    lost = background(elsewhere.change, content="lost", command="sleep 300")
    until(lambda: content("app1"), lost)
    _kill(elsewhere)
    lost.result()
    shell("app1", "systemctl reboot")
    until(lambda: here.break_lock("--check").returncode == 0)
    refused = here.change(content="second")
    assert refused.record["outcome"] == "refused", refused.output
    assert lock("app2")["run_id"][:12] in refused.record["refusal"]
    assert content("app2") == ""
    for host in HOSTS:
        shell(host, f'sed -i \'s/"until": "2/"until": "1/\' {LOCK}')
    taken = here.change(content="second")
    assert taken.record["outcome"] == "succeeded", taken.output
    assert "it has expired" in taken.record["findings"][0]["title"]
    assert [content(host) for host in HOSTS] == ["second", "second"]


def _kill(controller: Controller) -> None:
    """End everything of a controller whose processes are in a namespace of their own."""
    mark = f"RUNBOOK_STATE_DIR={controller.folder / 'state'}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (folder / "environ").read_bytes():
                os.kill(int(folder.name), signal.SIGKILL)
        except (OSError, ProcessLookupError):
            continue


def test_broken_lock_is_recorded_with_its_reason(here: Controller) -> None:
    """The lock of a controller that nobody knows any more."""
    lost = {"run_id": "ab" * 16, "procedure": "maintenance/x", "owner": {"user": "alice", "controller": "lost"}}
    lost |= {"since": "2026-01-01T00:00:00+00:00", "until": "2999-01-01T00:00:00+00:00", "process": {"host": "lost"}}
    shell("app1", f"install -d -m 700 {Path(LOCK).parent}; echo '{json.dumps(lost)}' > {LOCK}")

    without_reason = here.break_lock()
    assert without_reason.record["outcome"] == "refused", without_reason.output
    assert "runbook_reason is missing" in without_reason.record["refusal"]

    before = files("app1")
    shown = here.break_lock("--check", *REASON)
    assert "app1: locked: maintenance/x, started by alice on lost" in shown.output
    assert "app2: free" in shown.output
    assert files("app1") == before

    broken = here.break_lock(*REASON)
    assert broken.record["outcome"] == "succeeded", broken.output
    assert broken.record["why"] == {"reason": "its controller was switched off"}
    assert [(change.host, change.task) for change in shown.changes] == [(c.host, c.task) for c in broken.changes]
    assert [change.host for change in broken.changes] == ["app1"]
    assert '-  "user": "alice"' in broken.record["changes"][0]["diff"]
    assert lock("app1") == {}

    again = here.break_lock(*REASON)
    assert (again.record["outcome"], again.changes) == ("succeeded", ())
    assert here.change().record["outcome"] == "succeeded"


def test_lock_of_a_run_that_goes_on_is_not_broken_unless_forced(here: Controller, background: Background) -> None:
    running = background(here.change, command=on_app1("sleep 20"))
    until(lambda: content("app1"), running)
    refused = here.break_lock(*REASON)
    assert refused.record["outcome"] == "refused", refused.output
    assert "app1, app2: the run still works on this controller" in refused.record["refusal"]
    assert all(lock(host) for host in HOSTS)
    forced = here.break_lock(*REASON, "-e", "runbook_force=true")
    assert forced.record["outcome"] == "succeeded", forced.output
    done = running.result()
    assert "app2: this run has lost its lock" in done.output
    assert done.record["outcome"] == "failed"
    assert [content(host) for host in HOSTS] == ["new", ""]


def test_damaged_lock_refuses_until_it_is_broken(here: Controller) -> None:
    shell("app2", f"install -d -m 700 {Path(LOCK).parent}; echo '{{' > {LOCK}")
    refused = here.change()
    assert refused.record["outcome"] == "refused"
    assert "app2 is locked: a lock file that cannot be understood" in refused.record["refusal"]
    assert here.break_lock(*REASON).record["outcome"] == "succeeded"
    assert here.change().record["outcome"] == "succeeded"


def test_failure_puts_back_and_frees_all_hosts(here: Controller) -> None:
    failed = here.change(command="false")
    assert (failed.returncode, failed.record["outcome"]) == (2, "rolled_back"), failed.output
    assert [lock(host) for host in HOSTS] == [{}, {}]
    assert [content(host) for host in HOSTS] == ["", ""]


@pytest.mark.parametrize("options", [(), ("--check",)], ids=["apply", "check"])
def test_host_that_is_lost_refuses_all_hosts(here: Controller, options: tuple[str, ...]) -> None:
    shell("app2", "systemctl stop ssh.socket ssh.service")
    try:
        start = time.monotonic()
        refused = here.change(*options)
        assert time.monotonic() - start < 60
    finally:
        shell("app2", "systemctl start ssh.service")
    assert refused.record["outcome"] == "refused", refused.output
    assert "app2: it cannot be locked: the host cannot be reached" in refused.record["refusal"]
    assert lock("app1") == {}
    assert content("app1") == ""
