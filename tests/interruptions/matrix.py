"""A procedure is killed after every change in turn; after each, the next run has to converge."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from unittest import mock

from ansible_collections.ops.runbook.plugins.plugin_utils import change_lock

from tests.lab.images import SERVING_HOSTS
from tests.scenario import ROOT, Outcome, Procedure, shell

#: The guard's task after which the hosts are locked, and nothing is changed yet.
LOCKED = "acquire | Lock all hosts"
#: A run that only looks.
CHECK = ("--check",)


@dataclass(frozen=True)
class Case:
    """A procedure, the state that it starts from, and what it makes of it."""

    name: str
    inventories: tuple[Path, ...]
    #: From a fresh platform to one on which there is work to do.
    arrange: Callable[[], None]
    #: Fails where the hosts are not as the procedure wants them.
    assert_converged: Callable[[], None]
    options: tuple[str, ...] = ()
    hosts: tuple[str, ...] = SERVING_HOSTS
    #: How a run that nobody kills ends, and the one after the kill.
    outcome: str = "succeeded"
    #: How one ends that finds nothing left to do.
    settled: str = "succeeded"
    #: Takes away what makes the run fail; the options of the next one, which then succeeds.
    mend: Callable[[], tuple[str, ...]] | None = None
    playbook: Path | None = None

    def procedure(self, state: Path) -> Procedure:
        """The procedure, with records of its own."""
        return Procedure(self.name, self.inventories, state, self.playbook)

    def prepare(self) -> None:
        """A fresh platform with work to do."""
        command = [sys.executable, "-m", "tests.lab", "up", "--fresh", *self.hosts]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        self.arrange()


def from_scenario(name: str, module: ModuleType) -> Case:
    """The case that a scenario's module `interruption` describes."""
    return Case(
        name=name,
        inventories=module.INVENTORIES,
        arrange=module.arrange,
        assert_converged=module.assert_converged,
        options=module.OPTIONS,
        hosts=getattr(module, "HOSTS", SERVING_HOSTS),
        outcome=getattr(module, "OUTCOME", "succeeded"),
        settled=getattr(module, "SETTLED", "succeeded"),
        mend=getattr(module, "mend", None),
    )


def title(module: Path) -> str:
    """The name of a module's case: its scenario, and what stands behind `interruption` in its own name."""
    return module.parts[-3] + module.stem.removeprefix("interruption")


def of(path: Path) -> Case:
    """The case of a scenario's module."""
    module = load(path)
    return from_scenario(getattr(module, "PROCEDURE", "") or procedure_of(path), module)


def procedure_of(module: Path) -> str:
    """The procedure that a module is about, unless it says `PROCEDURE`: the playbook with its scenario's name."""
    (playbook,) = (ROOT / "playbooks").rglob(f"{module.parts[-3]}.yml")
    return str(playbook.relative_to(ROOT / "playbooks").with_suffix(""))


def load(path: Path) -> ModuleType:
    """A scenario's module, which belongs to no package; it imports its neighbours."""
    known = set(sys.modules)
    sys.path.insert(0, str(path.parent))
    try:
        spec = importlib.util.spec_from_file_location(f"{path.parts[-3]}_{path.stem}", path)
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
        # Another scenario may call a neighbour the same.
        for name in set(sys.modules) - known:
            if str(getattr(sys.modules[name], "__file__", "")).startswith(str(path.parent)):
                del sys.modules[name]
    return module


def after_lock(case: Case, state: Path) -> None:
    """Kill the run when all hosts are locked and nothing is changed."""
    with records_in(state):
        case.prepare()
        procedure = case.procedure(state)
        killed = procedure.killed_at(LOCKED, *case.options)
        assert killed.killed, f"there is no task {LOCKED!r}\n{killed.output[-4000:]}"
        assert killed.changes == (), f"changed before the hosts were locked: {killed.changes}"
        judge(case, procedure, killed)


def after_change(case: Case, number: int, state: Path) -> bool:
    """Kill the run after that change; false where it makes fewer."""
    with records_in(state):
        case.prepare()
        procedure = case.procedure(state)
        killed = procedure.killed_after(number, *case.options)
        if not killed.killed:
            assert killed.record["outcome"] == case.outcome, killed.output[-4000:]
            assert number > 1, f"the run had nothing to change: {killed.output[-4000:]}"
            if not case.mend:
                case.assert_converged()
            return False
        judge(case, procedure, killed)
        return True


def records_in(state: Path) -> AbstractContextManager[object]:
    """What a case runs besides keeps its records beside those of the procedure: both then know the same evidence."""
    return mock.patch.dict(os.environ, RUNBOOK_STATE_DIR=str(state))


def judge(case: Case, procedure: Procedure, killed: Outcome) -> None:
    """The next run ends as one that nobody killed, nothing is left to do, and nothing stays behind."""
    last = f"killed after {killed.changes[-1] if killed.changes else 'the lock was taken'}"
    assert killed.record["outcome"] == "interrupted", f"{last}: the record says {killed.record['outcome']}"
    options, outcome = (case.mend(), "succeeded") if case.mend else (case.options, case.outcome)
    again = procedure.run(*options)
    # One that was killed after all of its work has left nothing to do.
    ends = (outcome, case.settled) if outcome == "succeeded" else (outcome,)
    assert again.record.get("outcome") in ends, f"{last}:\n{again.output[-6000:]}"
    assert procedure.record(killed.record["run_id"])["outcome"] == "interrupted", last
    left = left_behind(case)
    assert not left, f"{last}: {'; '.join(left)}"
    case.assert_converged()
    if outcome == "succeeded":
        check = procedure.run(*options, *CHECK)
        assert check.record["outcome"] == case.settled, f"{last}:\n{check.output[-4000:]}"
        assert check.changes == (), f"{last}, and the next run left work to do: {check.changes}"


def left_behind(case: Case) -> list[str]:
    """Locks that somebody holds, and servers that get no requests."""
    locks = f"! test -e {change_lock.PATH} || cat {change_lock.PATH}"
    found = [f"{host}: locked: {lock}" for host in case.hosts if (lock := shell(host, locks))]
    states = "cat /etc/nginx/upstreams/*.conf"
    drained = "proxy1" in case.hosts and " down;" in shell("proxy1", states)
    return found + (["proxy1: an upstream server is drained"] if drained else [])


def explained(error: AssertionError) -> str:
    """Which assertion it was, and what it saw: outside of test files, pytest does not make it say so."""
    where = traceback.TracebackException.from_exception(error, capture_locals=True).stack[-1]
    seen = [f"    {name} = {value[:500]}" for name, value in (where.locals or {}).items()]
    return "\n".join([f"{where.line} ({where.filename}:{where.lineno})", str(error), *([] if str(error) else seen)])


def points(case: Case, state: Path, numbers: Iterable[int]) -> Iterator[tuple[int, str]]:
    """Each of these kill points with what was wrong there, if anything, until there are no more changes.

    0 is the moment after the lock.
    """
    for number in numbers:
        folder = state / str(number)
        try:
            if number == 0:
                after_lock(case, folder)
            elif not after_change(case, number, folder):
                return
        except AssertionError as error:
            yield number, explained(error)
        else:
            yield number, ""
