"""Clients of the proxy, which read and write evidence through https as long as a test wants them to."""

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

#: Runs with the proxy's own Python beside its units, not in one. Each request has a connection of its own.
_PROGRAM = """
import functools, http.client, json, socket, ssl, sys, threading, time
# One look-up, as from a client's cache: the lab's name server pauses when another lab comes up.
socket.getaddrinfo = functools.cache(socket.getaddrinfo)
token, stop = sys.argv[1], threading.Event()
context = ssl.create_default_context(cafile="/etc/ssl/certs/ca-certificates.crt")
said = {"answers": {}, "served": {}, "errors": [], "stored": []}
def count(where, what):
    said[where][what] = said[where].get(what, 0) + 1
def ask(method, path, body=None):
    try:
        connection = http.client.HTTPSConnection("evidence.lab", timeout=30, context=context)
        connection.request(method, path, body, {"Authorization": "Bearer " + token, "Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        count("answers", f"{method} {answer.status}")
        count("served", answer.headers["X-Upstream"])
        if answer.status == 201:
            said["stored"].append(json.loads(text)["id"])
        elif answer.status != 200:
            said["errors"].append(f"{time.strftime('%X')} {method}: {answer.status} {text[:200]!r}")
    except Exception as error:
        said["errors"].append(f"{time.strftime('%X')} {method}: {error!r}")
def reader():
    while not stop.is_set():
        ask("GET", "/evidence?limit=5")
        time.sleep(0.05)
def writer():
    while not stop.is_set():
        ask("POST", "/evidence", json.dumps({"name": "loop", "content": str(time.time_ns())}))
        time.sleep(0.1)
threads = [threading.Thread(target=work) for work in (reader, writer)]
[thread.start() for thread in threads]
sys.stdin.read()
stop.set()
[thread.join() for thread in threads]
print(json.dumps(said))
"""


@dataclass
class Clients:
    """What the clients saw."""

    #: Method and status → how many such answers.
    answers: dict[str, int] = field(default_factory=dict)
    #: Server of the application → how many answers came from it.
    served: dict[str, int] = field(default_factory=dict)
    #: Everything that a client has to complain about, with its time.
    errors: list[str] = field(default_factory=list)
    #: The ids of the evidence that was acknowledged.
    stored: list[str] = field(default_factory=list)


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
