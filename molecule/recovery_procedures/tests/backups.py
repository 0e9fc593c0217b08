"""pgBackRest between the lab's databases, store1 and scratch1, over TLS with encryption."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.lab.state import Lab
from tests.scenario import Outcome, Procedure, shell

STANZA = "evidence"
#: What a run that changes a host holds there.
LOCK = Path("/var/lib/ops-runbook/change.lock")
_TLS = """
tls-server-address=*
tls-server-ca-file=/etc/pgbackrest/ca.pem
tls-server-cert-file=/etc/pgbackrest/own.pem
tls-server-key-file=/etc/pgbackrest/own.key
"""
_STORE = f"""
[global]
repo1-path=/var/lib/pgbackrest
repo1-retention-full=5
repo1-cipher-type=aes-256-cbc
repo1-cipher-pass=passphrase-of-this-scenario
repo1-bundle=y
compress-type=zst
start-fast=y
{_TLS}
tls-server-auth=db1=evidence
tls-server-auth=db2=evidence
tls-server-auth=scratch1=evidence
[evidence]
pg1-host=db1
pg1-host-type=tls
pg1-host-ca-file=/etc/pgbackrest/ca.pem
pg1-host-cert-file=/etc/pgbackrest/own.pem
pg1-host-key-file=/etc/pgbackrest/own.key
pg1-path=/var/lib/postgresql/15/main
"""
_DATABASE = f"""
[global]
repo1-host=store1
repo1-host-type=tls
repo1-host-ca-file=/etc/pgbackrest/ca.pem
repo1-host-cert-file=/etc/pgbackrest/own.pem
repo1-host-key-file=/etc/pgbackrest/own.key
{_TLS}
tls-server-auth=store1=evidence
[evidence]
pg1-path=/var/lib/postgresql/15/main
"""
_INSTALL = """
mkdir -p /etc/pgbackrest /var/lib/pgbackrest /var/log/pgbackrest
cat > /etc/pgbackrest/pgbackrest.conf << 'END'
{configuration}
END
cat > /etc/pgbackrest/ca.pem << 'END'
{authority}
END
cat > /etc/pgbackrest/own.pem << 'END'
{certificate}
END
cat > /etc/pgbackrest/own.key << 'END'
{key}
END
chmod 0600 /etc/pgbackrest/own.key
chown -R postgres: /etc/pgbackrest /var/lib/pgbackrest /var/log/pgbackrest
cat > /etc/systemd/system/pgbackrest.service << 'END'
[Service]
User=postgres
ExecStart=/usr/bin/pgbackrest server
Restart=on-failure
END
systemctl daemon-reload
systemctl restart pgbackrest
"""
_ARCHIVE = r"""
cat > /etc/postgresql/15/main/conf.d/zz-archive.conf << 'END'
archive_command = 'pgbackrest --stanza=evidence archive-push %p'
restore_command = 'pgbackrest --stanza=evidence archive-get %f "%p"'
END
# Not by systemd, which takes a unit that is about to start for one that has read everything.
pg_ctlcluster 15 main reload
cd /
until runuser -u postgres -- psql -XAtqc 'show archive_command' | grep -q pgbackrest; do sleep 0.1; done
"""


def await_lock(host: str) -> None:
    """Wait until a run holds the host."""
    shell(host, f"for _ in $(seq 300); do [ -e {LOCK} ] && exit 0; sleep 0.1; done; exit 1")


def sql(query: str, host: str = "db1", database: str = "evidence") -> str:
    """One query on a database's host."""
    words = f"runuser -u postgres -- psql -X --no-align --tuples-only --quiet --set=ON_ERROR_STOP=1 --dbname={database}"
    return shell(host, f"cd /; {words} << 'END'\n{query}\nEND\n").strip()


def now() -> str:
    """The database's time, between two transactions."""
    time.sleep(1.1)
    moment = sql("select to_char(clock_timestamp() at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS.MS') || '+00:00'")
    time.sleep(1.1)
    return moment


def pgbackrest(words: str) -> str:
    """A command of pgBackRest on the store."""
    return shell("store1", f"cd /; runuser -u postgres -- pgbackrest --stanza={STANZA} {words}")


def archived() -> str:
    """Have everything that was written until now in the archive; the last segment."""
    segment = sql("select pg_current_xact_id(); select pg_walfile_name(pg_switch_wal())").splitlines()[-1]
    deadline = time.monotonic() + 60
    while sql("select last_archived_wal from pg_stat_archiver")[:24] < segment:
        assert time.monotonic() < deadline, f"{segment} is not archived"
        time.sleep(0.2)
    return segment


def arrange() -> None:
    """Archive to the store, with one full backup of an application's data."""
    lab = Lab(os.environ["LAB"])
    state, authority = lab.read(), lab.authority
    assert state, f"lab {lab.name} is not up"

    def install(host: str) -> None:
        text = _STORE if host == "store1" else _DATABASE
        parts = {name: (authority / f"backup-{host}.{name}").read_text(encoding="utf-8") for name in ("pem", "key")}
        ca = (authority / "ca.pem").read_text(encoding="utf-8")
        shell(host, _INSTALL.format(configuration=text, authority=ca, certificate=parts["pem"], key=parts["key"]))

    with ThreadPoolExecutor() as pool:
        list(pool.map(install, state.hosts.keys() & {"store1", "db1", "db2", "scratch1"}))
        list(pool.map(lambda host: shell(host, _ARCHIVE), ("db1", "db2")))
    pgbackrest("stanza-create")
    rows = "select g, md5(g::text) from generate_series(1, 1000) g"
    sql(f"create table ledger (id int primary key, entry text); insert into ledger {rows}")
    pgbackrest("--type=full backup")


def lose() -> None:
    """Have all that was written in the archive, and lose the primary with its data."""
    sql("create table last_word as select 1 as id")
    archived()
    shell("db1", "systemctl kill --signal=KILL postgresql@15-main; sleep 1; rm -r /var/lib/postgresql/15/main/base")


def follows() -> bool:
    """Whether the standby comes to have all that the primary has."""
    query = "select count(*) from pg_stat_replication where state = 'streaming' and replay_lsn = pg_current_wal_lsn()"
    for _attempt in range(50):
        if sql(query) == "1":
            return True
        time.sleep(0.2)
    return False


def side_by_side(procedure: Procedure, runs: Iterable[Sequence[str]]) -> list[Outcome]:
    """Outcomes of runs that change nothing, with these options each."""
    with ThreadPoolExecutor(3) as pool:
        return list(pool.map(lambda options: procedure.run(*options), runs))
