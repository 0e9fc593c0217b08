"""A restore of files to be interrupted: nginx has read a configuration that somebody has put something into."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.scenario import ROOT, shell

PROCEDURE = "backup_recovery/recovery_procedures_files"
INVENTORIES: tuple[Path, ...] = (ROOT / "inventories/lab",)
HOSTS = ("proxy1", "app1", "app2", "db1", "db2", "store1")
#: Snapshots in a repository of the host's own: an older one, the newest, and one that bears a time of the future.
SNAPSHOTS = """
mkdir -p /etc/restic /srv/items
printf '%s\\n' RESTIC_REPOSITORY=/var/lib/snapshots RESTIC_PASSWORD=of-this-test RESTIC_CACHE_DIR=/var/cache/restic \
    > /etc/restic/environment
set -a
. /etc/restic/environment
restic init > /dev/null
echo '{"document": 1}' > /srv/items/1.json
echo '{"draft": 2}' > /srv/items/2.json
chmod 0440 /srv/items/1.json
mkdir -m 0750 '/srv/items/folder [1]*'
echo '{"document": 3}' > '/srv/items/folder [1]*/3.json'
ln -s 3.json '/srv/items/folder [1]*/newest'
chown -R nobody '/srv/items/folder [1]*'
restic backup --quiet --tag drafts /srv/items
sleep 1.1
echo '{"document": 2}' > /srv/items/2.json
restic backup --quiet --tag configuration $(ls -d /etc/nginx || true) /srv/items
restic backup --quiet --tag configuration --time '2099-01-01 00:00:00' /etc/hostname
"""
#: What nginx reads, and answers with.
INTRUDER = """
sed -i 's|^http {|http { server { listen 127.0.0.1:8099; return 200 intruder; }|' /etc/nginx/nginx.conf
systemctl reload nginx
"""
ANSWERS = "curl -s http://127.0.0.1:8099 || true"
AS_INTRUDED = f'for _ in $(seq 50); do [ "$({ANSWERS})" = intruder ] && exit 0; sleep 0.1; done; exit 1'


def given(host: str = "proxy1", **values: Any) -> tuple[str, ...]:
    """Options of a run on hosts whose repository is their own: the role's variables."""
    own = {f"file_restore_{name}": value for name, value in {"snapshot": "latest", "store": "", **values}.items()}
    return "--limit", host, "--extra-vars", json.dumps(own)


OPTIONS = given(paths=["/etc/nginx"], tag="configuration", verify=[["nginx", "-t"]], reload=["nginx.service"])


def arrange() -> None:
    """A snapshot, and an nginx that does something else since."""
    shell("proxy1", SNAPSHOTS)
    intrude()


def intrude() -> None:
    """Nginx has another configuration than the snapshot, and has read it."""
    shell("proxy1", INTRUDER)
    shell("proxy1", AS_INTRUDED)


def assert_converged() -> None:
    """The file is that of the snapshot, nginx has read it, and nothing is left unfinished."""
    shell("proxy1", "! grep -q 8099 /etc/nginx/nginx.conf")
    shell("proxy1", f'for _ in $(seq 50); do [ -z "$({ANSWERS})" ] && exit 0; sleep 0.1; done; exit 1')
    shell("proxy1", "! test -e /var/lib/ops-runbook/file-restore/unfinished")
