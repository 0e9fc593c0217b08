"""Clients of the proxy, which read and write evidence through https until they are told to stop."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.lab.podman import environment
from tests.lab.state import Lab

#: Runs with the host's own Python beside its units, not in one. Each request has a connection of its own.
_PROGRAM = """
import http.client, json, ssl, sys, threading, time
token, stop = sys.argv[1], threading.Event()
context = ssl.create_default_context(cafile="/etc/ssl/certs/ca-certificates.crt")
answers, errors, slowest, stored = {}, [], [0.0], []
def ask(method, path, body):
    begin = time.monotonic()
    try:
        connection = http.client.HTTPSConnection("evidence.lab", timeout=30, context=context)
        connection.request(method, path, body, {"Authorization": "Bearer " + token, "Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        answers[f"{method} {answer.status}"] = answers.get(f"{method} {answer.status}", 0) + 1
        if answer.status == 201:
            stored.append(json.loads(text)["id"])
        connection.close()
    except Exception as error:
        errors.append(f"{time.strftime('%X')} {method}: {error!r}")
    slowest[0] = max(slowest[0], time.monotonic() - begin)
def reader():
    while not stop.is_set():
        ask("GET", "/evidence?limit=5", None)
        time.sleep(0.05)
def writer():
    number = 0
    while not stop.is_set():
        number += 1
        ask("POST", "/evidence", json.dumps({"name": "loop", "content": f"document {number}"}))
        time.sleep(0.1)
threads = [threading.Thread(target=work) for work in (reader, writer)]
[thread.start() for thread in threads]
sys.stdin.read()
stop.set()
[thread.join() for thread in threads]
print(json.dumps({"answers": answers, "errors": errors, "slowest": slowest[0], "stored": stored}))
"""


@dataclass
class Clients:
    """What the clients saw."""

    answers: dict[str, int] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    slowest: float = 0.0
    stored: list[str] = field(default_factory=list)

    @property
    def bad(self) -> dict[str, int]:
        """Answers that a client has to complain about."""
        return {answer: count for answer, count in self.answers.items() if answer not in ("GET 200", "POST 201")}


@contextmanager
def clients() -> Iterator[Clients]:
    """Clients that work as long as the block lasts; their view is complete after it."""
    lab = Lab(os.environ["LAB"])
    secrets: dict[str, Any] = json.loads(lab.secrets.read_text(encoding="utf-8"))
    command = ["podman", "exec", "--interactive", lab.container("proxy1"), "python3", "-c", _PROGRAM]
    process = subprocess.Popen(
        [*command, secrets["tokens"]["collector"]],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    seen = Clients()
    try:
        yield seen
    finally:
        output, _ = process.communicate(timeout=60)
    vars(seen).update(json.loads(output))
