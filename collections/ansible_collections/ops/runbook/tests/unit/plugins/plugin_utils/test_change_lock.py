"""Locking many hosts: all or nothing, takeover of dead runs only, and one winner when two meet."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.ops.runbook.plugins.module_utils.host_lock import ACTIONS, HostLock
from ansible_collections.ops.runbook.plugins.module_utils.run_record import Process
from ansible_collections.ops.runbook.plugins.plugin_utils.change_lock import Acquired, Job, Locks, Waits
from ansible_collections.ops.runbook.plugins.plugin_utils.change_run import Holder

GONE = vars(replace(Process.current(), start_ticks=1))
ALIVE = vars(Process.current())
ELSEWHERE = vars(replace(Process.current(), host="another-controller", boot_id="x"))


class Hosts:
    """Hosts whose locks lie in folders of this machine."""

    def __init__(self, folder: Path, delay: float = 0.0) -> None:
        self.folder = folder
        self.delay = delay
        self.down: set[str] = set()
        self.questions: list[dict[str, Job]] = []
        self.now = datetime.now(UTC)

    def lock(self, host: str) -> HostLock:
        return HostLock(str(self.folder / host / "change.lock"))

    def exchange(self, jobs: Mapping[str, Job]) -> Mapping[str, Mapping[str, Any]]:
        self.questions.append(dict(jobs))
        found: dict[str, Mapping[str, Any]] = {}
        order = list(jobs)
        random.shuffle(order)
        for host in order:
            time.sleep(random.random() * self.delay)
            if host in self.down:
                found[host] = {"result": "error", "error": "the host cannot be reached: no route"}
            else:
                found[host] = ACTIONS[jobs[host]["action"]](self.lock(host), jobs[host], self.now)
        return found

    def holders(self) -> dict[str, str]:
        return {path.name: (self.lock(path.name).read() or {}).get("run_id", "") for path in self.folder.iterdir()}


@pytest.fixture
def hosts(tmp_path: Path) -> Hosts:
    return Hosts(tmp_path)


def holder(run_id: str, process: Mapping[str, Any] = ALIVE) -> Holder:
    return Holder(run_id, "maintenance/x", {"user": "ops", "sudo_user": "alice", "controller": "ctl"}, process)


class Clock(Waits):
    """Time that only passes when somebody sleeps."""

    def __init__(self, busy: int = 0) -> None:
        self.time = 0.0
        self.busy = busy
        super().__init__(self._sleep, lambda: self.time, self._leftovers)

    def _sleep(self, seconds: float) -> None:
        self.__dict__["time"] += seconds

    def _leftovers(self, run_id: str) -> list[int]:
        self.__dict__["busy"] -= 1
        return [4711] if self.busy >= 0 else []

    def __setattr__(self, name: str, value: Any) -> None:
        self.__dict__[name] = value


def take(hosts: Hosts, own: Holder, names: str = "app1 app2", clock: Clock | None = None) -> Acquired:
    return Locks(hosts.exchange, own, 60, clock or Clock()).acquire(names.split())


def test_all_hosts_in_one_round_trip(hosts: Hosts) -> None:
    assert take(hosts, holder("b")).problems == []
    assert hosts.holders() == {"app1": "b", "app2": "b"}
    assert len(hosts.questions) == 1


def test_refusal_gives_back_what_was_taken_and_says_who_holds_it(hosts: Hosts) -> None:
    take(hosts, holder("a"), "app2")
    acquired = take(hosts, holder("b"))
    [problem] = acquired.problems
    assert hosts.holders() == {"app1": "", "app2": "a"}
    for word in (
        "app2 is locked",
        "maintenance/x",
        "alice on ctl",
        "since",
        "until",
        "run a",
        "break_lock.yml --limit app2",
    ):
        assert word in problem
    assert "app1" not in problem


def test_renewed_locks_are_not_given_back(hosts: Hosts) -> None:
    take(hosts, holder("b"), "app1")
    take(hosts, holder("a"), "app2")
    assert take(hosts, holder("b")).problems
    assert hosts.holders() == {"app1": "b", "app2": "a"}


def test_unreachable_host_refuses_all(hosts: Hosts) -> None:
    hosts.down = {"app2"}
    assert take(hosts, holder("b")).problems == ["app2: it cannot be locked: the host cannot be reached: no route"]
    assert hosts.holders() == {"app1": ""}


def test_host_that_gets_lost_keeps_its_lock_and_is_named(hosts: Hosts) -> None:
    take(hosts, holder("a"), "app2")
    answer = hosts.exchange

    def lost(jobs: Mapping[str, Job]) -> Mapping[str, Mapping[str, Any]]:
        found = answer(jobs)
        hosts.down = {"app1"}
        return found

    acquired = Locks(lost, holder("b"), 60, Clock()).acquire(["app1", "app2"])
    assert acquired.stuck == {"app1": "the host cannot be reached: no route"}


def test_dead_run_is_taken_over_at_once(hosts: Hosts) -> None:
    take(hosts, holder("dead", GONE), "app2")
    acquired = take(hosts, holder("b"))
    assert acquired.problems == []
    assert list(acquired.taken_over) == ["app2"]
    assert "took over the lock of maintenance/x, started by alice on ctl" in acquired.taken_over["app2"]
    assert "its process is gone" in acquired.taken_over["app2"]
    assert hosts.holders() == {"app1": "b", "app2": "b"}


@pytest.mark.parametrize("process", [ALIVE, ELSEWHERE, {}], ids=["alive", "elsewhere", "unknown"])
def test_run_that_may_go_on_is_not_taken_over(hosts: Hosts, process: Mapping[str, Any]) -> None:
    take(hosts, holder("a", process))
    assert take(hosts, holder("b")).problems
    assert hosts.holders() == {"app1": "a", "app2": "a"}


def test_takeover_of_one_is_given_back_when_another_refuses(hosts: Hosts) -> None:
    take(hosts, holder("dead", GONE), "app1")
    take(hosts, holder("a"), "app2")
    acquired = take(hosts, holder("b"))
    assert "app2 is locked" in acquired.problems[-1]
    assert hosts.holders()["app2"] == "a"
    assert hosts.holders()["app1"] in ("", "dead")


def test_programs_of_a_dead_run_are_waited_for(hosts: Hosts) -> None:
    take(hosts, holder("dead", GONE))
    clock = Clock(busy=9)
    assert take(hosts, holder("b"), clock=clock).problems == []
    assert clock.time > 1


def test_programs_of_a_dead_run_that_do_not_end_refuse(hosts: Hosts) -> None:
    take(hosts, holder("dead", GONE))
    [problem] = take(hosts, holder("b"), clock=Clock(busy=10**6)).problems
    assert "programs of it still run on this controller" in problem
    assert hosts.holders() == {"app1": "dead", "app2": "dead"}


def test_expired_lock_is_taken_over_and_said(hosts: Hosts) -> None:
    take(hosts, holder("a", ELSEWHERE))
    hosts.now += timedelta(minutes=61)
    acquired = take(hosts, holder("b"))
    assert "it has expired" in acquired.taken_over["app1"]
    assert hosts.holders() == {"app1": "b", "app2": "b"}


def test_renewal_tells_what_was_lost(hosts: Hosts) -> None:
    take(hosts, holder("b"))
    locks = Locks(hosts.exchange, holder("b"), 60)
    assert locks.renew(["app1", "app2"]) == []
    hosts.lock("app1").remove()
    hosts.down = {"app2"}
    first, second = locks.renew(["app1", "app2"])
    assert first.startswith("app1: this run has lost its lock")
    assert second == "app2: its lock cannot be renewed: the host cannot be reached: no route"


@pytest.mark.parametrize("names", [("app1 app2 app3", "app1 app2 app3"), ("app1 app2 app3", "app2 app3 app4")])
def test_of_two_runs_that_meet_exactly_one_goes_on(tmp_path: Path, names: tuple[str, str]) -> None:
    for number in range(25):
        hosts = Hosts(tmp_path / str(number), delay=0.004)
        hosts.folder.mkdir()
        found: dict[str, Acquired] = {}

        def run(run_id: str, wanted: str, hosts: Hosts, found: dict[str, Acquired]) -> None:
            hurry = Waits(lambda seconds: time.sleep(seconds / 10), lambda: time.monotonic() * 10)
            found[run_id] = Locks(hosts.exchange, holder(run_id), 60, hurry).acquire(wanted.split())

        threads = [
            threading.Thread(target=run, args=(run_id, wanted, hosts, found))
            for run_id, wanted in zip("ab", names, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        [winner] = [run_id for run_id, acquired in found.items() if not acquired.problems]
        locked = {host for host, run_id in hosts.holders().items() if run_id}
        assert locked == set(names["ab".index(winner)].split())
        assert set(hosts.holders().values()) <= {winner, ""}
