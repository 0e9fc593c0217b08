"""A lab of two hosts, and a small change under the guard, run from one controller or from several."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.scenario import ROOT, Outcome, Procedure, shell

HOSTS = ("app1", "app2")
LOCK = "/var/lib/ops-runbook/change.lock"
#: A process namespace and connections of its own: what another machine is for this one.
ELSEWHERE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")


@pytest.fixture(scope="session")
def changes_lab() -> Iterator[None]:
    """Two hosts. Those who use it belong to the xdist group `lab`."""
    command = [sys.executable, "-m", "tests.lab"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAB", "changes")
        subprocess.run([*command, "up", "--name", "changes", *HOSTS], cwd=ROOT, check=True)
        yield
        subprocess.run([*command, "down", "--name", "changes"], cwd=ROOT, check=True)


@dataclass(frozen=True)
class Controller:
    """A machine that changes are made from."""

    folder: Path
    prefix: tuple[str, ...] = ()

    def promises(self, **values: Any) -> None:
        """What the inventory says from now on."""
        path = self.folder / "inventory/group_vars/all.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values), encoding="utf-8")
        (self.folder / "inventory/hosts.yml").write_text("app: {hosts: {app1: , app2: }}\n", encoding="utf-8")

    def change(self, *options: str, content: str = "new", command: str = "true") -> Outcome:
        """Run the small change on both hosts."""
        variables = json.dumps({"guarded_content": content, "guarded_command": command})
        return self._run("tests/change", Path(__file__).with_name("change.yml"), "--extra-vars", variables, *options)

    def break_lock(self, *options: str) -> Outcome:
        """Run the procedure that breaks locks, on both hosts."""
        return self._run("operational_procedures_break_lock", None, "--limit", ",".join(HOSTS), *options)

    def _run(self, name: str, playbook: Path | None, *options: str) -> Outcome:
        own = self.folder / "inventory"
        inventories = (ROOT / "inventories/lab", *([own] if own.exists() else []))
        procedure = Procedure(name, inventories, self.folder / "state", playbook)
        # Connections of its own, at a path that is short enough for a socket.
        with tempfile.TemporaryDirectory(prefix="guard-") as sockets:
            return procedure.run(*options, prefix=self.prefix, extra={"ANSIBLE_SSH_CONTROL_PATH_DIR": sockets})


@pytest.fixture
def controllers(tmp_path: Path, changes_lab: None) -> Iterator[Callable[..., Controller]]:
    """Makes controllers; each has a ledger of its own. The hosts are as new before and after."""
    clean()
    made = []

    def make(prefix: tuple[str, ...] = ()) -> Controller:
        made.append(Controller(tmp_path / str(len(made)), prefix))
        made[-1].folder.mkdir()
        return made[-1]

    yield make
    clean()


@pytest.fixture
def here(controllers: Callable[..., Controller]) -> Controller:
    """This machine."""
    return controllers()


@pytest.fixture
def elsewhere(controllers: Callable[..., Controller]) -> Controller:
    """Another machine, of which nothing is known here."""
    return controllers(ELSEWHERE)


@pytest.fixture
def background() -> Iterator[Callable[..., Future[Outcome]]]:
    """Runs something meanwhile."""
    with ThreadPoolExecutor() as pool:
        yield pool.submit


def clean() -> None:
    """No lock, no change."""
    for host in HOSTS:
        shell(host, f"rm -rf /srv/guarded {Path(LOCK).parent}")


def on_app1(command: str) -> str:
    """A command that only the first host runs."""
    return "{{ " + f"{command!r} if inventory_hostname == 'app1' else 'true'" + " }}"


def content(host: str) -> str:
    """What the small change has left on the host; empty where it was not."""
    return shell(host, "cat /srv/guarded 2>/dev/null || true").strip()


def lock(host: str) -> dict[str, Any]:
    """The host's lock; empty where there is none."""
    text = shell(host, f"cat {LOCK} 2>/dev/null || true")
    found: dict[str, Any] = json.loads(text) if text else {}
    return found


def until(condition: Callable[[], Any], running: Future[Outcome] | None = None, seconds: float = 60) -> Any:
    """Wait for what has to come, in the middle of a run that goes on meanwhile."""
    limit = time.monotonic() + seconds
    while not (found := condition()):
        assert running is None or not running.done(), running.result().output
        assert time.monotonic() < limit, "it did not come"
        time.sleep(0.2)
    return found


def window(seconds: float, name: str = "just now") -> dict[str, str]:
    """A window that began a minute ago and closes in so many seconds."""
    now = datetime.now(UTC)
    limits = {"from": now - timedelta(minutes=1), "until": now + timedelta(seconds=seconds)}
    return {"name": name, **{key: value.isoformat(sep=" ", timespec="seconds") for key, value in limits.items()}}
