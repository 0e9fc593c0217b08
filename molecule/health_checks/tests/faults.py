"""Real faults: what an operator might find at three in the morning, and the one finding that each has to give."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.lab import authority
from tests.lab.state import Lab
from tests.scenario import shell

PSQL = "runuser -u postgres -- psql -XAtqc"


@dataclass(frozen=True)
class Fault:
    """Shell scripts that make a fault and take it away, and the finding that it gives."""

    name: str
    host: str
    check: str
    statuses: frozenset[str]
    make: str
    mend: str
    #: The host that reports it, where that is another one.
    seen_by: str = ""
    #: Traffic is taken from the host first, so that its fault stays its own.
    drained: bool = False

    @property
    def row(self) -> tuple[str, str]:
        """Host and check of the finding."""
        return self.seen_by or self.host, self.check

    @contextmanager
    def present(self) -> Iterator[None]:
        """Make the fault, and mend it afterwards, whatever happens."""
        if self.drained:
            shell("proxy1", f"upstream-state evidence-api {self.host} drained")
        try:
            shell(self.host, self.make)
            yield
        finally:
            shell(self.host, self.mend)
            if self.drained:
                shell("proxy1", f"upstream-state evidence-api {self.host} active")


CRITICAL, UNKNOWN, WARNING = frozenset({"critical"}), frozenset({"unknown"}), frozenset({"warning"})

_APP_ANSWERS = """
ask="import urllib.request as u; u.urlopen('http://localhost:8000/healthz', timeout=5)"
for i in $(seq 100); do python3 -c "$ask" 2>/dev/null && exit; sleep 0.1; done; exit 1"""
_STREAMS = f"""
for i in $(seq 300); do
    [ "$({PSQL} "select status from pg_stat_wal_receiver")" = streaming ] && exit; sleep 0.1
done; exit 1"""
_CAUGHT_UP = f"""
for i in $(seq 300); do
    [ "$({PSQL} 'select pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn()')" = t ] && exit; sleep 0.1
done; exit 1"""

FAULTS = (
    Fault(
        "stopped unit",
        "app2",
        "scheduled jobs",
        CRITICAL,
        "systemctl stop nightly-export.timer",
        "systemctl start nightly-export.timer",
    ),
    Fault(
        "failed unit",
        "app2",
        "failed units",
        CRITICAL,
        "systemd-run --quiet --wait --unit=weekly-export false || true",
        "systemctl reset-failed weekly-export",
    ),
    Fault(
        "stopped service",
        "app1",
        "application",
        CRITICAL,
        "systemctl stop evidence-api",
        f"systemctl start evidence-api; {_APP_ANSWERS}",
    ),
    Fault(
        "full disk",
        "app2",
        "inbox space",
        CRITICAL,
        "dd if=/dev/zero of=/srv/inbox/filler bs=1M 2>/dev/null || test -s /srv/inbox/filler",
        "rm /srv/inbox/filler",
    ),
    Fault(
        "full inodes",
        "app2",
        "inbox inodes",
        CRITICAL,
        "i=0; while touch /srv/inbox/empty$i 2>/dev/null; do i=$((i + 1)); done; test $i -gt 100",
        "rm /srv/inbox/empty*",
    ),
    Fault(
        "broken replication",
        "db2",
        "replication",
        CRITICAL,
        # The password that the primary expects has changed, and the connection is lost once.
        """
        sed -i.kept 's/:replicator:.*/:replicator:wrong/' /var/lib/postgresql/.pgpass
        pkill -f 'postgres.*walreceiver'; sleep 1""",
        f"mv /var/lib/postgresql/.pgpass.kept /var/lib/postgresql/.pgpass; {_STREAMS}",
        seen_by="db1",
    ),
    Fault(
        "failing endpoint",
        "proxy1",
        "web server",
        CRITICAL,
        """
        sed -i.kept 's#proxy_pass http://evidence-api;#return 503;#' /etc/nginx/sites-available/default
        nginx -s reload; sleep 1""",
        """
        mv /etc/nginx/sites-available/default.kept /etc/nginx/sites-available/default
        nginx -s reload; sleep 1""",
    ),
    Fault(
        "slow endpoint",
        "app1",
        "application",
        WARNING,
        """
        cat > /opt/evidence-api/current/slow.py <<'SLOW'
import time
exec(open("gunicorn.conf.py").read())
def pre_request(worker, request):
    time.sleep(6)
SLOW
        mkdir -p /run/systemd/system/evidence-api.service.d
        cat > /run/systemd/system/evidence-api.service.d/slow.conf <<'UNIT'
[Service]
ExecStart=
ExecStart=/opt/evidence-api/current/venv/bin/gunicorn --config slow.py "evidence_api:create_app()"
UNIT
        systemctl daemon-reload; systemctl restart evidence-api""",
        f"""
        rm -r /run/systemd/system/evidence-api.service.d /opt/evidence-api/current/slow.py
        systemctl daemon-reload; systemctl restart evidence-api; {_APP_ANSWERS}""",
        drained=True,
    ),
    Fault(
        "clock not synchronised",
        "app2",
        "clock",
        CRITICAL | UNKNOWN,
        "systemctl stop chrony",
        "systemctl start chrony; chronyc -h 127.0.0.1,/run/chrony/chronyd.sock waitsync 600 0 0 0.1 >/dev/null",
    ),
    Fault(
        "time server lost",
        "app2",
        "clock",
        WARNING,
        "chronyc offline",
        "chronyc online; until chronyc -c sources | grep -q '*'; do sleep 0.1; done",
    ),
    Fault(
        "hung service",
        "app1",
        "application",
        CRITICAL,
        # The kernel goes on accepting connections for it.
        "systemctl kill --signal=STOP evidence-api",
        f"systemctl kill --signal=CONT evidence-api; {_APP_ANSWERS}",
        drained=True,
    ),
    Fault(
        "unreachable host",
        "app2",
        "reachable",
        CRITICAL,
        "systemctl stop ssh.socket ssh.service 2>/dev/null || systemctl stop ssh.service; pkill sshd || true",
        "systemctl start ssh.service",
    ),
    Fault(
        "plugin that times out",
        "app2",
        "backlog",
        UNKNOWN,
        "touch /run/backlog.lock; systemd-run --quiet --unit=backlog-lock flock /run/backlog.lock sleep 600; sleep 0.5",
        "systemctl stop backlog-lock; rm /run/backlog.lock",
    ),
)


@contextmanager
def lagging_standby() -> Iterator[None]:
    """The standby receives the log, but does not apply it."""
    shell("db2", f"{PSQL} 'select pg_wal_replay_pause()'")
    try:
        megabyte = (
            "select count(pg_logical_emit_message(true, 'test', repeat('x', 1000000))) from generate_series(1, 20)"
        )
        shell("db1", f'{PSQL} "{megabyte}" >/dev/null')
        yield
    finally:
        shell("db2", f"{PSQL} 'select pg_wal_replay_resume()'; {_CAUGHT_UP}")


@contextmanager
def proxy_certificate(*names: str, ends_in_days: float) -> Iterator[None]:
    """The proxy serves another certificate of the same authority."""
    folder = Lab(os.environ["LAB"]).folder / "ca"
    authority.issue(folder, "other", names, begins_in_days=-30, ends_in_days=ends_in_days)
    script = "cd /etc/nginx/tls; cp -p server.pem server.pem.kept; cp -p server.key server.key.kept\n"
    for kind in ("pem", "key"):
        script += f"cat > server.{kind} <<'END'\n{(folder / f'other.{kind}').read_text(encoding='ascii')}END\n"
    shell("proxy1", f"{script}nginx -s reload; sleep 1")
    try:
        yield
    finally:
        shell(
            "proxy1", "cd /etc/nginx/tls; mv server.pem.kept server.pem; mv server.key.kept server.key; nginx -s reload"
        )
