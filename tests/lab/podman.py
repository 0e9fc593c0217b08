"""Podman, called so that it works on an ordinary laptop and inside a restricted virtual machine alike."""

from __future__ import annotations

import functools
import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.lab.state import LABS, write_atomically

#: For machines with cgroup v1: crun fails on the hybrid hierarchy, and without CAP_SYS_RESOURCE the default limits do.
RESTRICTED = """\
[engine]
runtime = "runc"
[containers]
default_ulimits = ["nofile=10000:10000", "nproc=30000:30000"]
"""


class LabError(Exception):
    """Something the operator of the lab has to know; the message says what to do."""


@functools.cache
def environment() -> dict[str, str]:
    """The environment for podman, with a configuration of its own only where the machine needs one."""
    if "CONTAINERS_CONF" in os.environ or Path("/sys/fs/cgroup/cgroup.controllers").exists():
        return dict(os.environ)
    configuration = LABS / "containers.conf"
    if not configuration.exists() or configuration.read_text(encoding="utf-8") != RESTRICTED:
        write_atomically(configuration, RESTRICTED)
    return {**os.environ, "CONTAINERS_CONF": str(configuration)}


def podman(*arguments: str, check: bool = True, stdin: int | None = subprocess.DEVNULL) -> str:
    """Run podman and return what it printed."""
    try:
        result = subprocess.run(
            ["podman", *arguments], env=environment(), stdin=stdin, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise LabError("podman is not installed: run `make setup`") from None
    if check and result.returncode != 0:
        raise LabError(f"podman {' '.join(arguments[:2])} failed: {result.stderr.strip()}")
    return result.stdout


def listing(*arguments: str) -> list[dict[str, Any]]:
    """Run a podman command that prints a JSON list."""
    parsed: list[dict[str, Any]] = json.loads(podman(*arguments, "--format", "json") or "null") or []
    return parsed
