"""What scenarios share: running a procedure as an operator does, ending it in the middle, and a look at its hosts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from ansible_collections.ops.runbook.plugins.module_utils.ledger import Ledger
from ansible_collections.ops.runbook.plugins.module_utils.run_record import records

from tests import host_files
from tests.host_files import HostFile, changed_files
from tests.interruptions.callback.power_cut import marked
from tests.lab.podman import environment
from tests.lab.state import Lab

__all__ = [
    "FIND",
    "LOSE",
    "ROOT",
    "Change",
    "Comparison",
    "HostFile",
    "Outcome",
    "Procedure",
    "Untouched",
    "changed_files",
    "files",
    "on_all",
    "procedure",
    "same_changes",
    "shell",
]

ROOT = Path(__file__).resolve().parents[1]
CALLBACKS = ROOT / "tests/interruptions/callback"

#: Ends all connections of a host and lets it accept none, until the second script has run.
LOSE = "systemctl mask --quiet --runtime ssh.service ssh.socket; pkill -KILL -x sshd"
FIND = "systemctl unmask --quiet --runtime ssh.service ssh.socket; systemctl restart ssh.service"


def shell(host: str, script: str) -> str:
    """Run a script as root on a host of the scenario's lab, past SSH, which is itself a subject of tests."""
    container = Lab(os.environ["LAB"]).container(host)
    result = subprocess.run(
        ["podman", "exec", "--interactive", container, "bash", "-euo", "pipefail"],
        env=environment(),
        input=script,
        capture_output=True,
        check=False,
        text=True,
    )
    assert result.returncode == 0, f"{host}: {script}\n{result.stdout}{result.stderr}"
    return result.stdout


def files(host: str, *, content: bool = True) -> dict[str, HostFile]:
    """Path → state of everything on the host's disk but what a living host writes all the time."""
    return host_files.parse(shell(host, host_files.command(content=content)))


def on_all[Answer](work: Callable[[str], Answer], hosts: Iterable[str]) -> dict[str, Answer]:
    """Do it on all hosts, side by side; what each answers."""
    names = list(hosts)
    with ThreadPoolExecutor() as pool:
        return dict(zip(names, pool.map(work, names), strict=True))


@dataclass(frozen=True)
class Untouched:
    """Hosts of which no file may be written, nor its owner or mode set: a look at them, and what is different since."""

    before: Mapping[str, Mapping[str, HostFile]]

    @classmethod
    def hosts(cls, *hosts: str) -> Untouched:
        """Look at all hosts. Without the content: whoever writes a file changes its time, with the same content too."""
        return cls(on_all(_times, hosts))

    @property
    def changes(self) -> dict[str, dict[str, str]]:
        """Host → path → what is different now; empty where nothing is."""
        now = on_all(_times, self.before)
        found = {host: changed_files(old, now[host], touched=True) for host, old in self.before.items()}
        return {host: paths for host, paths in found.items() if paths}


def _times(host: str) -> dict[str, HostFile]:
    return files(host, content=False)


class Change(NamedTuple):
    """A change as it stands in the run record."""

    host: str
    task: str
    subject: str = ""
    item: str = ""

    @property
    def essence(self) -> Change:
        """What makes it the same change in check mode, where some modules do not say which file an item is about."""
        return self._replace(subject="") if self.item else self


@dataclass(frozen=True)
class Outcome:
    """What a procedure printed, how it ended, its report and its record."""

    returncode: int
    output: str = field(repr=False)
    #: The content of findings.json; empty where no report was written.
    report: dict[str, Any] = field(repr=False)
    #: The run's newest entry in the ledger; that of a killed run ends with the outcome `interrupted`.
    record: dict[str, Any] = field(default_factory=dict, repr=False)
    #: What was changed, in order. Of a killed run: until it was killed.
    changes: tuple[Change, ...] = ()

    @property
    def findings(self) -> list[dict[str, Any]]:
        """All findings."""
        findings: list[dict[str, Any]] = self.report.get("findings", [])
        return findings

    @property
    def bad(self) -> dict[tuple[str, str], str]:
        """(host, check) → status of every finding that is not ok."""
        return {(f["host"], f["check"]): f["status"] for f in self.findings if f["status"] != "ok"}

    @property
    def killed(self) -> bool:
        """Whether the run was killed, and did not come to its end before."""
        return self.returncode == -signal.SIGKILL


@dataclass(frozen=True)
class Comparison:
    """What check mode predicted against what was applied; true where both are the same."""

    not_applied: tuple[Change, ...]
    not_predicted: tuple[Change, ...]
    #: Changes whose predicted difference is not the one that was made: (change, predicted, made).
    otherwise: tuple[tuple[Change, str, str], ...] = ()

    def __bool__(self) -> bool:
        return not (self.not_applied or self.not_predicted or self.otherwise)

    def __repr__(self) -> str:
        rows = [f"predicted, not applied: {change}" for change in self.not_applied]
        rows += [f"applied, not predicted: {change}" for change in self.not_predicted]
        rows += [f"{change}: predicted\n{old}\nmade\n{new}" for change, old, new in self.otherwise]
        return "\n".join(rows) or "as predicted"


def same_changes(check: Outcome, apply: Outcome) -> Comparison:
    """Compare the changes of a check run with those of the run that followed, and the difference of each.

    Raises ValueError for other runs, and where only one of them was asked for differences.
    """
    for outcome, expected in ((check, True), (apply, False)):
        where: Mapping[str, Any] = outcome.record["where"]
        if bool(where.get("check")) is not expected or outcome.record["outcome"] != "succeeded":
            kind = "check run" if expected else "run"
            raise ValueError(f"not a {kind} that succeeded: {outcome.record['outcome']}\n{outcome.output[-4000:]}")
    if bool(check.record["where"].get("diff")) is not bool(apply.record["where"].get("diff")):
        raise ValueError("only one of the runs shows differences: give --diff to both or to neither")
    if not apply.changes:
        raise ValueError("the run changed nothing: there is nothing to compare")
    predicted, applied = (Counter(change.essence for change in outcome.changes) for outcome in (check, apply))
    return Comparison(
        tuple((predicted - applied).elements()),
        tuple((applied - predicted).elements()),
        tuple(_otherwise(_differences(check.record), _differences(apply.record))),
    )


def _differences(record: Mapping[str, Any]) -> dict[Change, list[str]]:
    """The differences of each change, without their headings: those name temporary files."""
    found: dict[Change, list[str]] = {}
    for change, row in zip(_changes(record), record["changes"], strict=True):
        lines = [line for line in row.get("diff", "").splitlines() if not line.startswith(("--- ", "+++ "))]
        found.setdefault(change.essence, []).append("\n".join(lines))
    return found


def _otherwise(
    predicted: Mapping[Change, list[str]], made: Mapping[Change, list[str]]
) -> Iterator[tuple[Change, str, str]]:
    """Changes that were made with another difference than was predicted, or one of the two without any."""
    for change in predicted.keys() & made.keys():
        for old, new in zip(sorted(predicted[change]), sorted(made[change]), strict=False):
            if old != new:
                yield change, old, new


@dataclass(frozen=True)
class Procedure:
    """A procedure with its inventories and a state directory."""

    name: str
    inventories: tuple[Path, ...]
    state: Path
    #: Where it lies, if not at the place that its name says.
    playbook: Path | None = None

    def run(self, *options: str, prefix: Sequence[str] = (), extra: Mapping[str, str] | None = None) -> Outcome:
        """Run it, under another program if there is a prefix, with further environment variables if there are any."""
        reports = self.state / "reports" / self.name
        before = set(reports.glob("*/findings.json"))
        known = set(self._records())
        # A file, because a pipe stays open as long as any process that was started holds it.
        with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
            process = subprocess.Popen(
                [*prefix, *self._command(), *options],
                cwd=ROOT,
                env={**os.environ, "RUNBOOK_STATE_DIR": str(self.state), **(extra or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
            )
            returncode = process.wait()
            output.seek(0)
            text = output.read()
        new = sorted(set(reports.glob("*/findings.json")) - before)
        report = json.loads(new[-1].read_text(encoding="utf-8")) if new else {}
        record = _own(process.pid, {key: body for key, body in self._records().items() if key not in known})
        return Outcome(returncode, text, report, record, _changes(record))

    def killed_after(self, number: int, *options: str) -> Outcome:
        """Run it and kill every process of the controller right after that many changes, like a power cut.

        `killed` of the outcome is false where the run came to its end before; `changes` says how far it came.
        """
        return self._killed({"POWER_CUT_AFTER": str(number)}, *options)

    def killed_at(self, task: str, *options: str) -> Outcome:
        """Run it and kill it right after the first result of a task with these words in its name."""
        return self._killed({"POWER_CUT_AT": task}, *options)

    def losing(self, host: str, task: str, *options: str) -> Outcome:
        """Run it, and let the host not answer from the begin of the first task with these words on, until the end."""
        container = Lab(os.environ["LAB"]).container(host)
        extra = {
            "ANSIBLE_CALLBACK_PLUGINS": str(CALLBACKS),
            "ANSIBLE_CALLBACKS_ENABLED": "ops.runbook.run_record,lost_host",
            "LOST_HOST_AT": task,
            "LOST_HOST_COMMAND": json.dumps(["podman", "exec", container, "sh", "-c", LOSE]),
        }
        try:
            further = {name: value for name, value in environment().items() if name not in os.environ}
            outcome = self.run(*options, extra=further | extra)
            state = shell(host, "systemctl is-enabled ssh.service || true").strip()
            assert state == "masked-runtime", f"no task {task!r} began\n{outcome.output}"
        finally:
            shell(host, FIND)
        return outcome

    def _killed(self, point: Mapping[str, str], *options: str) -> Outcome:
        # Sockets of its own: a power cut leaves no ssh master behind, and takes none of another run away.
        with tempfile.TemporaryDirectory(prefix="cut-") as folder:
            log, mark = Path(folder) / "changes", uuid.uuid4().hex
            extra = {
                "ANSIBLE_CALLBACK_PLUGINS": str(CALLBACKS),
                "ANSIBLE_CALLBACKS_ENABLED": "ops.runbook.run_record,power_cut",
                "ANSIBLE_SSH_CONTROL_PATH_DIR": folder,
                "POWER_CUT_LOG": str(log),
                "POWER_CUT_MARK": mark,
                **point,
            }
            outcome = self.run(*options, extra=extra)
            assert not (outcome.killed and marked(mark)), "some of the controller's processes live on"
            rows = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
        changes = tuple(Change(*json.loads(row)) for row in rows)
        return Outcome(outcome.returncode, outcome.output, outcome.report, outcome.record, changes)

    def _command(self) -> list[str]:
        inventories = [word for path in self.inventories for word in ("--inventory", str(path))]
        return ["ansible-playbook", str(self.playbook or f"playbooks/{self.name}.yml"), *inventories]

    def record(self, run_id: str) -> dict[str, Any]:
        """What the ledger says of a run by now."""
        return self._records()[run_id]

    def _records(self) -> dict[str, dict[str, Any]]:
        return records(Ledger(self.state / "ledger"))


def _own(pid: int, new: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """The record of the process among those that appeared meanwhile: another run may have shared the ledger."""
    bodies = list(new.values())
    return next((body for body in bodies if body["process"]["pid"] == pid), bodies[-1] if bodies else {})


def _changes(record: Mapping[str, Any]) -> tuple[Change, ...]:
    rows: Iterable[Mapping[str, str]] = record.get("changes", ())
    return tuple(Change(row["host"], row["task"], row.get("subject", ""), row.get("item", "")) for row in rows)


def procedure(name: str, inventories: tuple[Path, ...]) -> Any:
    """The fixture that is a procedure on these inventories, with the state directory of all tests of a scenario."""

    @pytest.fixture(scope="session")
    def made(state: Path) -> Procedure:
        return Procedure(name, inventories, state)

    return made
