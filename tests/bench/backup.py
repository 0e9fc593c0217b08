"""Backups of database and files against pgBackRest, pg_basebackup, restic and tar alone."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench.contestants import ROOT
from tests.bench.maintenance import playbook, row
from tests.bench.measure import seconds
from tests.lab.commands import remove
from tests.lab.state import Lab
from tests.scenario import shell

LAB = Lab("bench-backup")
HOSTS = ("proxy1", "app1", "app2", "db1", "db2", "store1")
MEGABYTES, SMALL, LARGE = 1024, 10_000, 2048
FILL = """
create table bulk (id bigint, entry text);
insert into bulk select g, repeat(md5(g::text), 32) from generate_series(1, {rows}) g;
checkpoint
"""
FILES = """
mkdir -p /srv/bench/small
for folder in $(seq 0 99); do mkdir -p /srv/bench/small/$folder; done
for number in $(seq {small}); do head -c 2000 /dev/urandom > /srv/bench/small/$((number % 100))/$number; done
head -c {large}M /dev/urandom > /srv/bench/large
"""
SETS = {"bench": {"paths": ["/srv/bench"], "objective": "configuration and secrets", "optional": True}}
PGBACKREST = "cd /; runuser -u postgres -- pgbackrest --stanza=evidence --log-level-console=error --type=full backup"
VERIFY = "cd /; runuser -u postgres -- pgbackrest --stanza=evidence --log-level-console=error verify"
BASEBACKUP = """
cd /
source=$(runuser -u postgres -- /usr/lib/postgresql/15/bin/postgres -C primary_conninfo -D /etc/postgresql/15/main)
runuser -u postgres -- pg_basebackup --dbname="$source" --pgdata=/var/lib/postgresql/bench --wal-method=stream \
    --checkpoint=fast
rm -r /var/lib/postgresql/bench
"""
RESTIC = """
set -a
. /etc/restic/environment
RESTIC_REPOSITORY=${RESTIC_REPOSITORY}plain/
restic init > /dev/null
restic backup --quiet --no-cache /srv/bench
"""
CHECK = """
set -a
. /etc/restic/environment
RESTIC_REPOSITORY=${RESTIC_REPOSITORY}plain/
restic check --read-data --no-cache > /dev/null
"""
TAR = "tar --create --gzip --file=/var/tmp/bench.tar.gz /srv/bench 2> /dev/null; rm /var/tmp/bench.tar.gz"


def run(scratch: Path, *options: str, **variables: Any) -> float:
    """How long the procedure takes, in seconds."""
    given = ("-e", json.dumps(variables)) if variables else ()
    inventories = (ROOT / "inventories/lab",)
    return seconds(playbook("backup_recovery/backup_procedures", inventories, scratch / "state", *options, *given))


def by_hand(host: str, script: str) -> float:
    """How long the commands take, in seconds."""
    start = time.perf_counter()
    shell(host, script)
    return time.perf_counter() - start


def bench_backup(scratch: Path, megabytes: int = MEGABYTES, small: int = SMALL, large: int = LARGE) -> None:
    """Each contestant makes a whole backup of the same data, one after the other."""
    before = os.environ.get("LAB")
    os.environ["LAB"] = LAB.name
    try:
        command = [sys.executable, "-m", "tests.lab", "up", "--fresh", "--name", LAB.name, *HOSTS]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        run(scratch)
        shell(
            "db1",
            f"cd /; runuser -u postgres -- psql -qXd evidence <<'END'\n{FILL.format(rows=megabytes * 900)};\nEND\n",
        )
        shell("app1", FILES.format(small=small, large=large))
        ours = run(scratch, "--limit", "db1,db2,store1", database_backup_kind="full")
        plain = by_hand("store1", PGBACKREST)
        verified = plain + by_hand("store1", VERIFY)
        raw = by_hand("db2", BASEBACKUP)
        files = run(scratch, "--limit", "app1,store1", file_backup_sets=SETS, file_backup_kind="all")
        restic = by_hand("app1", RESTIC)
        checked = restic + by_hand("app1", CHECK)
        tar = by_hand("app1", TAR)
    finally:
        remove(LAB)
        if before is not None:
            os.environ["LAB"] = before
    heading = "(aim: at most 10 % and 10 s beyond the bare tool with its verification)"
    print(f"\nFull backup of a database of {megabytes} MB {heading}")
    row("", "seconds", "ratio", "beyond")
    row("backup_procedures.yml", f"{ours:.1f}")
    row("pgBackRest, and its verify", f"{verified:.1f}", f"{ours / verified:.2f}", f"{ours - verified * 1.1:.1f} s")
    row("pgBackRest, not verified", f"{plain:.1f}", f"{ours / plain:.2f}", f"{ours - plain * 1.1:.1f} s")
    row("pg_basebackup, neither encrypted nor sent away", f"{raw:.1f}", f"{ours / raw:.2f}")
    print(f"\nBackup of {small} small files and {large} MB {heading}")
    row("", "seconds", "ratio", "beyond")
    row("backup_procedures.yml", f"{files:.1f}")
    row(
        "restic, and its check of all data",
        f"{checked:.1f}",
        f"{files / checked:.2f}",
        f"{files - checked * 1.1:.1f} s",
    )
    row("restic, not verified", f"{restic:.1f}", f"{files / restic:.2f}", f"{files - restic * 1.1:.1f} s")
    row("tar, neither encrypted nor sent away", f"{tar:.1f}", f"{files / tar:.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=MEGABYTES, help="size of the database")
    parser.add_argument("--small", type=int, default=SMALL, help="number of small files")
    parser.add_argument("--large", type=int, default=LARGE, help="size of the large file in megabytes")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="runbook-bench-") as folder:
        bench_backup(Path(folder), chosen.megabytes, chosen.small, chosen.large)
