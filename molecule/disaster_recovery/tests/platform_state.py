"""What the database hosts are, seen from themselves, and power for them."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from tests.lab.hosts import eventually
from tests.lab.podman import podman
from tests.lab.state import Lab
from tests.scenario import ROOT, Outcome, shell

INVENTORIES = (ROOT / "inventories/lab",)
DATABASES = ("db1", "db2")
UNIT = "postgresql@15-main"
_ROLE = "SELECT CASE WHEN pg_is_in_recovery() THEN 'standby' ELSE 'primary' END"


def query(host: str, sql: str, database: str = "postgres") -> str:
    """What a database host answers."""
    return shell(host, f"cd /; runuser -u postgres -- psql -XAtq {database} <<'SQL'\n{sql};\nSQL").strip()


def role(host: str) -> str:
    """What a database host is: primary, standby or down."""
    state = shell(host, "pg_lsclusters --no-header").split()[3]
    return query(host, _ROLE) if state.startswith("online") else "down"


def roles() -> dict[str, str]:
    return {host: role(host) for host in DATABASES}


def refuses_writes(host: str) -> bool:
    """Whether nobody can write there, the superuser included."""
    attempt = (
        "runuser -u postgres -- psql -XAtq evidence -c 'CREATE TABLE split_brain ()' 2>&1 && echo accepted || true"
    )
    return "accepted" not in shell(host, f"cd /; {attempt}")


def stored(host: str) -> set[str]:
    """The documents that a database host has."""
    return set(query(host, "SELECT id FROM evidence", "evidence").split())


def start_attempts(host: str) -> str:
    """Try all ways to start the database by hand; what they say."""
    return shell(
        host,
        f"systemctl reset-failed {UNIT} || true; systemctl start {UNIT} 2>&1 || true;"
        " pg_ctlcluster --skip-systemctl-redirect 15 main start 2>&1 || true",
    )


def power(host: str, state: str) -> None:
    """Switch a host off without a warning, or on again."""
    container = Lab(os.environ["LAB"]).container(host)
    podman(*(("stop", "--time", "0", container) if state == "off" else ("start", container)))


def is_on(host: str) -> bool:
    """Whether a host has power."""
    (state,) = json.loads(podman("container", "inspect", Lab(os.environ["LAB"]).container(host)))
    return bool(state["State"]["Running"])


def power_switch() -> dict[str, list[str]]:
    """The variables with which the controller cuts the power of a host, and has it proven, as by a management board."""
    container = Lab(os.environ["LAB"]).container("{host}")
    call = f"import json, sys; from tests.lab.podman import podman; host = '{container}'; "
    state = "json.loads(podman('container', 'inspect', host))[0]['State']['Status']"
    return {
        "disaster_recovery_fence_command": [sys.executable, "-c", call + "podman('stop', '--time', '0', host)"],
        "disaster_recovery_fence_proof": [sys.executable, "-c", f"{call}sys.exit({state} != 'exited')"],
    }


def cut_off_from_controller(host: str) -> None:
    """Nobody can log in there any more, and all else goes on, until it is switched off and on again."""
    shell(host, "systemctl stop ssh.socket ssh; pkill -KILL -x sshd || true")


def await_boot(host: str) -> None:
    """Wait until a host that was switched on has started its database, or has decided not to."""
    state = f"systemctl show {UNIT} --property=ActiveState --value || true"
    eventually(lambda: shell(host, state).strip() in ("active", "failed"), f"the decision of {host}'s database")


def finding(outcome: Outcome, check: str) -> dict[str, Any]:
    """The one finding of that check."""
    (found,) = [row for row in outcome.findings if row["check"] == check]
    return found
