"""Clients of the proxy, who read and write all the time."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.lab.podman import environment
from tests.lab.state import Lab

#: Runs on the proxy until its standard input ends, or for ten minutes.
_LOOP = """
import json, select, ssl, sys, time, urllib.request
trust, token = ssl._create_unverified_context(), sys.argv[1]
body = json.dumps({"name": "client", "content": "seen by a client"}).encode()
write = {"Authorization": "Bearer " + token, "Content-Type": "application/json"}
served, errors, end = {}, [], time.monotonic() + 600
while time.monotonic() < end and not select.select([sys.stdin], [], [], 0.05)[0]:
    for path, data, headers in (("/readyz", None, {}), ("/evidence", body, write)):
        try:
            request = urllib.request.Request("https://localhost" + path, data, headers)
            with urllib.request.urlopen(request, timeout=20, context=trust) as answer:
                upstream = answer.headers["X-Upstream"]
                served[upstream] = served.get(upstream, 0) + 1
        except OSError as error:
            errors.append(time.strftime("%H:%M:%S ") + path + ": " + repr(error))
print(json.dumps({"served": served, "errors": errors}))
"""


@dataclass
class Seen:
    """What the clients got: answers by upstream, and errors. Filled in when they have stopped."""

    served: dict[str, int] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)


@contextmanager
def clients() -> Iterator[Seen]:
    """Clients at work meanwhile."""
    lab, seen = Lab(os.environ["LAB"]), Seen()
    token = json.loads(lab.secrets.read_text(encoding="utf-8"))["tokens"]["collector"]
    process = subprocess.Popen(
        ["podman", "exec", "--interactive", lab.container("proxy1"), "python3", "-c", _LOOP, token],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield seen
    finally:
        output, _nothing = process.communicate("\n", timeout=60)
    found = json.loads(output)
    seen.served, seen.errors = found["served"], found["errors"]
