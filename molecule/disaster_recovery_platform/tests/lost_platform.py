"""A platform with rows in it that is lost with all its machines; bare ones have their names and addresses."""

from __future__ import annotations

import os
import time

from tests.lab import hosts as lab_hosts
from tests.lab import images
from tests.lab.state import Lab
from tests.scenario import ROOT, on_all, shell

INVENTORIES = (ROOT / "inventories/lab",)
PLATFORM = ("proxy1", "app1", "app2", "db1", "db2")
#: What has to be on a rebuilt host as it was: numbers of accounts, packages, files with owners, modes and content.
LIKENESS = """
cd /
getent passwd | cut -d: -f1,3,4,6,7 | sort; getent group | sort
dpkg-query -W -f '${Package} ${Version}\\n'; apt-mark showmanual | sort
for folder in etc/nginx etc/postgresql etc/pgbackrest etc/restic etc/evidence-api etc/chrony etc/systemd/system \\
    etc/ops-runbook usr/local opt/evidence-api var/lib/postgresql/.pgpass; do
  test -e $folder || continue
  find $folder \\( -path '*/venv' -o -name __pycache__ \\) -prune -o -printf '%p %U %G %m %l\\n' | sort
  find $folder \\( -path '*/venv' -o -name __pycache__ \\) -prune -o -type f -exec sha256sum {} + | sort -k2
done
"""


def sql(host: str, query: str) -> str:
    """The answer of the host's own database server."""
    return shell(host, f'cd /; runuser -u postgres -- psql -XAtq -d evidence -c "{query}"').strip()


def write(name: str, number: int) -> None:
    """Rows that are known by their name."""
    sql(
        "db1",
        "INSERT INTO evidence (name, content, sha256, submitter)"
        f" SELECT '{name}', 'row ' || i, encode(sha256(('row ' || i)::bytea), 'hex'), 'collector'"
        f" FROM generate_series(1, {number}) AS i",
    )


def archive() -> None:
    """Have everything that was written until now in the store."""
    segment = sql("db1", "SELECT pg_walfile_name(pg_switch_wal())")
    query = f"SELECT last_archived_wal >= '{segment}' FROM pg_stat_archiver"
    deadline = time.monotonic() + 60
    while sql("db1", query) != "t":
        assert time.monotonic() < deadline, f"{segment} is not archived"
        time.sleep(0.2)


def rows(host: str, name: str) -> str:
    """Number and digest of the rows of that name."""
    return sql(host, f"SELECT count(*), md5(string_agg(content, ',' ORDER BY id)) FROM evidence WHERE name = '{name}'")


def lose_everything() -> None:
    """The machines are gone for good, but for the store's."""
    lab = Lab(os.environ["LAB"])
    state = lab.read()
    assert state is not None
    name = images.ensure_bare(state.release)
    started = lab_hosts.start(lab, dict.fromkeys(PLATFORM, name))
    ports = {known: facts.port for known, facts in state.hosts.items()} | started
    ids = {known: facts.image for known, facts in state.hosts.items()} | dict.fromkeys(
        PLATFORM, images.image_ids()[name]
    )
    lab.write(lab_hosts.recorded(lab, state.release, state.source, ports, ids))


def likeness() -> dict[str, str]:
    """What each host has."""
    return on_all(lambda host: shell(host, LIKENESS), PLATFORM)


def served() -> str:
    """What a client hears."""
    return shell("proxy1", "curl -sSf https://evidence.lab/readyz")
