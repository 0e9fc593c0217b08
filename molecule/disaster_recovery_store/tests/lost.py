"""The store is lost with its disk: another machine has its name and nothing else."""

from __future__ import annotations

import json
import os
from dataclasses import replace

from tests.lab import hosts, images
from tests.lab.state import Lab
from tests.scenario import ROOT, shell

INVENTORIES = (ROOT / "inventories/lab",)
HOSTS = ("proxy1", "app1", "app2", "db1", "db2", "store1")
EVIDENCE = "/var/lib/evidence"


def lose_the_store() -> None:
    """Take the machine away, with its disk."""
    hosts.remove(Lab(os.environ["LAB"]), ["store1"])


def put_a_bare_machine() -> None:
    """Another machine in its place, on which somebody has logged in once."""
    lab = Lab(os.environ["LAB"])
    state = lab.read()
    assert state is not None
    image = images.ensure_bare(state.release)
    ports = hosts.start(lab, {"store1": image})
    bare = replace(state.hosts["store1"], port=ports["store1"], image=images.image_ids()[image])
    lab.write(replace(state, hosts={**state.hosts, "store1": bare}))
    shell("store1", "install --directory --owner=storekeeper --group=storekeeper /home/storekeeper/.ansible/tmp")


def stored() -> dict[str, str]:
    """Path → SHA-256 of every sealed file on the store."""
    listed = shell("store1", f"cd {EVIDENCE} && find items seals -type f -exec sha256sum {{}} +").splitlines()
    return {line[66:]: line[:64] for line in listed}


def labels() -> list[str]:
    """The backups of the database that pgBackRest lists."""
    text = shell("store1", "cd /; runuser -u postgres -- pgbackrest --stanza=evidence info --output=json")
    return [row["label"] for row in json.loads(text)[0]["backup"]]


def tags(host: str) -> set[str]:
    """What a host has snapshots of."""
    text = shell(host, "set -a; . /etc/restic/environment; restic snapshots --json --no-lock --no-cache")
    return {tag for row in json.loads(text) for tag in row["tags"]}
