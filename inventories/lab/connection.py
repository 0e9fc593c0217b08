#!/usr/bin/env python3
"""Inventory script: how the hosts of the lab named by LAB are reached.

The values are plain, not templates, so that every tool that lists the inventory can use them. Without a running lab the
inventory can still be read; only a connection fails, and says what to do.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

PLATFORM = ("proxy1", "app1", "app2", "db1", "db2")
#: Hosts that a lab has or has not: the inventory has them where the lab does, and without a lab.
OPTIONAL = {"store1": "store"}
#: Hosts that are no part of the platform.
SCRATCH = ("scratch1",)


def connection(folder: Path, port: int, account: str = "ops") -> dict[str, Any]:
    """The connection variables of a host behind a port, which has an administrator of its own or the platform's."""
    key = "id_ed25519" if account == "ops" else f"{account}_ed25519"
    return {
        "ansible_host": "127.0.0.1",
        "ansible_port": port,
        "ansible_ssh_private_key_file": str(folder / key),
        "ansible_ssh_common_args": f"-o UserKnownHostsFile={folder / 'known_hosts'} -o StrictHostKeyChecking=yes"
        " -o IdentitiesOnly=yes",
    }


def absent(reason: str) -> dict[str, Any]:
    """Connection variables that fail with the reason as soon as somebody connects."""
    return {"ansible_host": "{{ undef(hint=" + json.dumps(reason) + ") }}"}


def inventory(labs: Path, name: str) -> dict[str, Any]:
    """The inventory of the lab."""
    folder = labs / name
    try:
        hosts = json.loads((folder / "lab.json").read_text(encoding="utf-8"))["hosts"]
    except (FileNotFoundError, ValueError, KeyError):
        hosts, reason = {}, f"lab '{name}' is not up: run `make lab`"
    else:
        reason = f"this host is not part of the lab '{name}'"
    wanted = (*PLATFORM, *(() if hosts else OPTIONAL))
    hostvars = {host: absent(reason) for host in wanted}
    hostvars |= {host: connection(folder, facts["port"], facts.get("account", "ops")) for host, facts in hosts.items()}
    groups: dict[str, list[str]] = {"platform": [], "scratch": [], **{group: [] for group in OPTIONAL.values()}}
    for host in sorted(hostvars):
        groups["scratch" if host in SCRATCH else OPTIONAL.get(host, "platform")].append(host)
    return {**{group: {"hosts": names} for group, names in groups.items()}, "_meta": {"hostvars": hostvars}}


if __name__ == "__main__":
    labs = Path(__file__).resolve().parents[2] / ".lab"
    json.dump(inventory(labs, os.environ.get("LAB", "demo")), sys.stdout)
