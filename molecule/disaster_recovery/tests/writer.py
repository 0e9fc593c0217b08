"""A client that writes evidence through the proxy without a pause, and one that reads; both say what they were told."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.lab.podman import environment
from tests.lab.state import Lab

_PROGRAM = """
import functools, json, socket, sys, threading, time, urllib.error, urllib.request
# One look-up, as from a client's cache: the lab's name server pauses when another lab comes up.
socket.getaddrinfo = functools.cache(socket.getaddrinfo)
token, stop = sys.argv[1], threading.Event()
said = {"acknowledged": [], "refused": 0, "failed": [], "reads": {}}
def ask(body):
    headers = {"Authorization": "Bearer " + token, "Content-Type": "application/json"}
    request = urllib.request.Request("https://evidence.lab/evidence", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=25) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except OSError as error:
        return 0, repr(error).encode()
def write():
    while not stop.is_set():
        status, text = ask(json.dumps({"name": "live", "content": str(time.time())}).encode())
        if status == 201:
            said["acknowledged"].append(json.loads(text)["id"])
        elif status == 503 and b"read-only" in text:
            said["refused"] += 1
        else:
            said["failed"].append([status, text.decode(errors="replace")[:200]])
        time.sleep(0.02)
def read():
    while not stop.is_set():
        status, text = ask(None)
        said["reads"][str(status)] = said["reads"].get(str(status), 0) + 1
        time.sleep(0.1)
threads = [threading.Thread(target=work) for work in (write, read)]
for thread in threads:
    thread.start()
sys.stdin.read()
stop.set()
for thread in threads:
    thread.join()
print(json.dumps(said))
"""


@dataclass
class Seen:
    """What the clients were told."""

    #: Documents whose acceptance was acknowledged.
    acknowledged: list[str] = field(default_factory=list)
    #: Writes that were refused because the application was read-only.
    refused: int = 0
    #: Other answers to writes.
    failed: list[tuple[int, str]] = field(default_factory=list)
    #: Status of reads → number.
    reads: dict[str, int] = field(default_factory=dict)


@contextmanager
def live_clients(head_start: float = 1.0) -> Iterator[Seen]:
    """Clients that work as long as the block lasts; what they saw is complete after it."""
    lab = Lab(os.environ["LAB"])
    token = json.loads(lab.secrets.read_text(encoding="utf-8"))["tokens"]["collector"]
    process = subprocess.Popen(
        ["podman", "exec", "--interactive", lab.container("proxy1"), "python3", "-c", _PROGRAM, token],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    seen = Seen()
    try:
        time.sleep(head_start)
        yield seen
    finally:
        output, _ = process.communicate(timeout=90)
    vars(seen).update(json.loads(output))
