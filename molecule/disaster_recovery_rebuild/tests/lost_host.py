"""Hosts that are lost, and bare machines in their place."""

from __future__ import annotations

import os

from tests.lab import hosts as lab_hosts
from tests.lab import images
from tests.lab.state import Lab
from tests.scenario import ROOT, shell

INVENTORIES = (ROOT / "inventories/lab",)


def lose(host: str) -> None:
    """The machine is gone for good; a bare one has its name and address."""
    lab = Lab(os.environ["LAB"])
    state = lab.read()
    assert state is not None
    name = images.ensure_bare(state.release)
    ports = {known: facts.port for known, facts in state.hosts.items()} | lab_hosts.start(lab, {host: name})
    ids = {known: facts.image for known, facts in state.hosts.items()} | {host: images.image_ids()[name]}
    lab.write(lab_hosts.recorded(lab, state.release, state.source, ports, ids))


def forge(host: str) -> None:
    """Root on the host makes a snapshot that is newer than every other will ever be, and has next to nothing."""
    time = "--time '2099-01-01 00:00:00'"
    shell(
        host,
        "set -a; . /etc/restic/environment\n"
        f"restic backup --quiet --tag configuration --tag application {time} /etc/hostname",
    )


def served_by(host: str) -> str:
    """What the host's application says of itself, as the proxy hears it."""
    return shell("proxy1", f"curl -sSf http://{host}:8000/readyz")
