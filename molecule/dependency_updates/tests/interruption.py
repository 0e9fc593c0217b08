"""An update to be interrupted: two packages change, in releases that have to be built."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.scenario import ROOT, shell

INVENTORIES: tuple[Path, ...] = (ROOT / "inventories/lab",)
APPS = ("app1", "app2")
#: Versions before those that the platform is deployed with.
OLD = ["click<8.4", "gunicorn<27"]
#: Nobody answers there.
NOBODY = "http://127.0.0.1:9/v1/query"


def values(**given: Any) -> tuple[str, ...]:
    """Options of a run: the role's variables."""
    named = {name if "release_keep" in name else f"dependency_updates_{name}": value for name, value in given.items()}
    return "--extra-vars", json.dumps(named)


OPTIONS = values(constraints=OLD, advisory_url=NOBODY, unaudited="no advisories in this test")


def arrange() -> None:
    """Every platform has newer versions than those that are wanted."""


def versions(host: str) -> dict[str, str]:
    """The packages of the release that answers."""
    script = """
    ask="import json, urllib.request as u; print(json.load(u.urlopen('http://localhost:8000/healthz'))['release'])"
    "/opt/evidence-api/releases/$(python3 -c "$ask")/venv/bin/python" -m pip list --format json"""
    return {entry["name"].lower(): entry["version"] for entry in json.loads(shell(host, script))}


def release(host: str, link: str = "current") -> str:
    return shell(host, f"basename $(readlink /opt/evidence-api/{link})").strip()


def major(version: str) -> int:
    return int(version.partition(".")[0])


def assert_converged() -> None:
    for host in APPS:
        found = versions(host)
        assert major(found["gunicorn"]) == 26, (host, found)
        assert found["click"].startswith("8.3."), (host, found)
    assert_serving()


def assert_serving() -> None:
    """Nothing is left of a change, and both hosts get requests."""
    for host in APPS:
        entries = shell(host, "ls -A /opt/evidence-api").split()
        assert entries == ["current", "previous", "releases"], (host, entries)
        incomplete = shell(host, "find /opt/evidence-api/releases -maxdepth 2 -name .incomplete")
        assert incomplete == "", (host, incomplete)
    states = json.loads(shell("proxy1", "upstream-state evidence-api"))
    assert states == dict.fromkeys(APPS, "active"), states
