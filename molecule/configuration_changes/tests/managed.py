"""What the scenario manages, and where it is seen on the hosts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.scenario import shell

HOSTS = ("proxy1", "app1", "app2", "db1", "db2")
NGINX = "/etc/nginx/conf.d/limits.conf"
LOGGING = "/etc/postgresql/15/main/conf.d/logging.conf"
ACCESS = "/etc/evidence-api/partner/access.conf"
DROP_IN = "/etc/systemd/system/evidence-api.service.d/limits.conf"
STORE = "/var/lib/ops-runbook/configuration"
PLANTED = "Zq7-planted-9Xk2LmPq"
#: The limit that the service's main process has.
LIMITS = "cat /proc/$(systemctl show --property=MainPID --value evidence-api)/limits | grep 'open files'"
_WRITABLE = """
grep -q ' /proc/sys/net ' /proc/self/mounts && exit
mount --bind /proc/sys/net /proc/sys/net
mount -o remount,rw,bind /proc/sys/net
"""


def arrange() -> None:
    """Let the hosts change kernel settings of their own network; everything else differs already."""
    for host in HOSTS:
        shell(host, _WRITABLE)


def setting(host: str, name: str) -> str:
    """A setting of the running PostgreSQL."""
    return shell(host, f"runuser -u postgres -- psql -XAtqc 'show {name}'").strip()


def given(**values: Any) -> tuple[str, str]:
    """Options that change variables of the scenario's entries."""
    return "--extra-vars", json.dumps(values)


def versions(host: str) -> list[Mapping[str, Any]]:
    """The versions that the host has recorded, oldest first."""
    script = f"cd {STORE}/versions; for file in *.json; do cat $file | tr -d '\\n'; echo; done"
    return [json.loads(line) for line in shell(host, script).splitlines()]


def unfinished(host: str) -> list[str]:
    """Versions that are neither confirmed nor rolled back."""
    return [version["id"] for version in versions(host) if version["state"] not in ("confirmed", "rolled_back")]


def half_written(host: str) -> str:
    """Files that a change has left on its way."""
    return shell(host, "find /etc /opt /var/lib/ops-runbook -name '*.ops-runbook-new'")


def states(host: str) -> dict[str, str]:
    """Who gets requests, as the proxy says."""
    found: dict[str, str] = json.loads(shell(host, "upstream-state evidence-api"))
    return found
