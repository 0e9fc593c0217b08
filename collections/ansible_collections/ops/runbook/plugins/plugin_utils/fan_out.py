# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs a command on many hosts at once from one action, over the connection that Ansible would use for each of them.

A task that runs on every host costs the controller a worker process, the host's variables and a copy of every result
for each callback: more than the log-in itself. What only reads, or is one command, goes out from one `run_once` action
instead. This is the only place that builds connections as ansible-core's task executor does.
"""

from __future__ import annotations

import contextvars
import os
import queue
import signal
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.errors import AnsibleError
from ansible.executor.task_executor import TaskExecutor
from ansible.playbook.play_context import PlayContext

#: What the controller grants beyond the command's own time limit, for logging in and for the way back.
MARGIN = 20.0
#: How often it looks for overdue hosts, in seconds.
_LOOK = 0.5


@dataclass(frozen=True)
class Command:
    """What is run on a host."""

    line: str
    stdin: bytes = b""


@dataclass(frozen=True)
class Reply:
    """What a host answered."""

    rc: int = 0
    stdout: str = ""
    stderr: str = ""
    #: From asking for the connection to the answer.
    seconds: float = 0.0
    #: Why there is no answer; empty where there is one, whatever its exit status.
    error: str = ""
    #: Whether that says nothing about the host: the controller failed in a way that nobody foresaw.
    unforeseen: bool = False


def _failed(error: Exception, seconds: float = 0.0) -> Reply:
    if isinstance(error, AnsibleError | OSError):
        return Reply(seconds=seconds, error=str(error))
    return Reply(seconds=seconds, error=f"{type(error).__name__}: {error}", unforeseen=True)


class _Overdue:
    """Which command each thread runs since when, and which of them took longer than its host may take."""

    def __init__(self, limits: Mapping[str, float]) -> None:
        self._limits = limits
        self._running: dict[str, tuple[int, float]] = {}
        self._lock = threading.Lock()

    def begin(self, host: str) -> None:
        with self._lock:
            self._running[host] = threading.get_native_id(), time.monotonic()

    def end(self, host: str) -> bool:
        """Whether the answer still counts."""
        with self._lock:
            return self._running.pop(host, None) is not None

    def stop(self) -> list[str]:
        """Give up what took too long: the hosts. Their programs on the controller (ssh) end."""
        now = time.monotonic()
        with self._lock:
            running = self._running.items()
            hosts = {host: thread for host, (thread, start) in running if now - start > self._limits[host]}
            for host in hosts:
                del self._running[host]
        for thread in hosts.values():
            _end_children(thread)
        return list(hosts)


def _end_children(thread: int) -> None:
    with suppress(FileNotFoundError, ProcessLookupError):
        for pid in Path(f"/proc/self/task/{thread}/children").read_text(encoding="ascii").split():
            os.kill(int(pid), signal.SIGKILL)


class FanOut:
    """The hosts of an action's play, each with its own connection, become method and variables."""

    def __init__(
        self, action: Any, task_vars: Mapping[str, Any], known: Mapping[str, dict[str, Any]] | None = None
    ) -> None:
        """``known`` are variables of hosts that somebody has looked up already; that takes some milliseconds each."""
        self._action = action
        self._known = known or {}
        self._task = action._task
        self._manager = self._task.get_variable_manager()
        self._play = self._task.get_play()
        self._forks = int(task_vars.get("ansible_forks") or constants.DEFAULT_FORKS)
        self._own = task_vars

    def interpreter(self, host: str, variables: Mapping[str, Any] | None = None) -> str:
        """The Python to use on the host."""
        known = variables if variables is not None else self.variables(host)
        chosen = known.get("ansible_python_interpreter") or constants.config.get_config_value(
            "INTERPRETER_PYTHON", variables=known
        )
        chosen = str(self._templar(known).template(chosen))
        return "/usr/bin/python3" if chosen.startswith("auto") else chosen

    def variables(self, host: str) -> dict[str, Any]:
        """All variables as a task on this host sees them, not templated."""
        if host in self._known:
            return self._known[host]
        entity = self._manager._inventory.get_host(host)
        found: dict[str, Any] = self._manager.get_vars(play=self._play, host=entity, task=self._task)
        return found

    def run_python(self, programs: Mapping[str, bytes], timeout: float | Mapping[str, float]) -> dict[str, Reply]:
        """Run a program of the standard library on each host; it comes through the pipe, so no file lands there.

        Each host may take this many seconds (and MARGIN), or those that stand there for it.
        """
        # Isolated, without site-packages (which take as long to find as Python to start), and no bytecode written.
        return self._run(
            programs,
            timeout,
            lambda host, program, variables: Command(f"{self.interpreter(host, variables)} -ISBX utf8 -", program),
        )

    def run(self, commands: Mapping[str, Command], timeout: float) -> dict[str, Reply]:
        """Run each host's command, and wait at most this many seconds (and MARGIN) for each."""
        return self._run(commands, timeout, lambda _host, command, _variables: command)

    def streamed(self, host: str, line: str) -> list[bytes] | None:
        """The command that runs this line on the host by ssh, for a `Stream`.

        None where the connection is of another kind, or is asked for a password: only Ansible can answer that.
        """
        handler = self._handler(host, self.variables(host))
        connection = handler._connection
        if connection.transport != "ssh" or connection.get_option("password"):
            return None
        if connection.become and handler.get_become_option("become_pass"):
            return None
        argv: list[bytes] = []

        def noted(command: list[bytes], *_data: Any, **_options: Any) -> tuple[int, bytes, bytes]:
            argv.extend(command)
            return 0, b"", b""

        # The connection makes the command, with all its options and become; it is only not run here.
        connection._run = noted
        handler._low_level_execute_command(line, in_data=b"-")
        return argv

    def _run(self, work: Mapping[str, Any], timeout: float | Mapping[str, float], prepare: Any) -> dict[str, Reply]:
        waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
        answers: queue.SimpleQueue[tuple[str, Reply]] = queue.SimpleQueue()
        limits = {host: (timeout[host] if isinstance(timeout, Mapping) else timeout) + MARGIN for host in work}
        overdue = _Overdue(limits)
        threads = min(self._forks, len(work))
        for _number in range(threads):
            # Daemons: one whose program cannot be ended must not keep the run from ending.
            thread = threading.Thread(target=_work, args=(waiting, answers, overdue), daemon=True)
            thread.start()
        for host, item in work.items():
            try:
                variables = self.variables(host)
                command = prepare(host, item, variables)
                waiting.put((host, self._handler(host, variables), command, contextvars.copy_context()))
            except Exception as error:  # noqa: BLE001 - one host's mistake is its answer, not the end of the others
                answers.put((host, _failed(error)))
        for _number in range(threads):
            waiting.put(None)
        return self._collect(answers, overdue, limits)

    @staticmethod
    def _collect(
        answers: queue.SimpleQueue[tuple[str, Reply]], overdue: _Overdue, limits: Mapping[str, float]
    ) -> dict[str, Reply]:
        replies: dict[str, Reply] = dict.fromkeys(limits, Reply())
        missing = set(replies)
        while missing:
            with suppress(queue.Empty):
                host, reply = answers.get(timeout=_LOOK)
                replies[host] = reply
                missing.discard(host)
            for host in overdue.stop():
                limit = limits[host]
                replies[host] = Reply(seconds=limit, error=f"the host did not answer within {limit:g} s")
                missing.discard(host)
        return replies

    def _templar(self, variables: Mapping[str, Any]) -> Any:
        return self._action._templar.copy_with_new_env(available_variables=variables)

    def _handler(self, host: str, variables: dict[str, Any]) -> Any:
        """An action of the same kind that is connected to the host."""
        templar = self._templar(variables)
        executor = TaskExecutor(
            self._manager._inventory.get_host(host),
            self._context(variables, templar, host),
            self._action._loader,
            self._action._shared_loader_obj,
            None,
            self._manager,
        )
        name = variables.get("ansible_connection") or self._play.connection or constants.DEFAULT_TRANSPORT
        executor._connection = executor._get_connection(variables, templar, templar.template(name))
        executor._set_connection_options(variables, templar)
        return type(self._action)(
            self._task,
            executor._connection,
            executor._play_context,
            self._action._loader,
            templar,
            self._action._shared_loader_obj,
        )

    def _context(self, variables: Mapping[str, Any], templar: Any, host: str) -> PlayContext:
        known = self._action._play_context
        # Passwords that were typed in are for all hosts; those that the action's own host has are for no other.
        passwords = {
            "conn_pass": "" if _has(self._own, "password") else known.password,
            "become_pass": "" if _has(self._own, "become_pass") else known.become_pass,
        }
        context = PlayContext(self._play, passwords, known.connection_lockfd)
        context = context.set_task_and_variable_override(task=self._task, variables=variables, templar=templar)
        context.post_validate(templar=templar)
        if not context.remote_addr:
            context.remote_addr = self._manager._inventory.get_host(host).address
        return context


def _has(variables: Mapping[str, Any], attribute: str) -> bool:
    return any(name in variables for name in constants.MAGIC_VARIABLE_MAPPING[attribute])


def _work(waiting: queue.SimpleQueue[Any], answers: queue.SimpleQueue[tuple[str, Reply]], overdue: _Overdue) -> None:
    while (job := waiting.get()) is not None:
        host, handler, command, context = job
        start = time.monotonic()
        overdue.begin(host)
        try:
            done = context.run(handler._low_level_execute_command, command.line, in_data=command.stdin or None)
            reply = Reply(done["rc"], done["stdout"], done["stderr"], time.monotonic() - start)
        except Exception as error:  # noqa: BLE001 - this thread has other hosts to ask
            reply = _failed(error, time.monotonic() - start)
        if overdue.end(host):
            answers.put((host, reply))
