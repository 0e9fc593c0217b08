"""Backups of database and files, and the files' way back, against pgBackRest, pg_basebackup, restic and tar alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.bench.contestants import ROOT
from tests.bench.maintenance import playbook, row
from tests.bench.measure import in_lab, seconds, taken
from tests.lab.commands import up
from tests.lab.images import PLATFORM_HOSTS, release
from tests.lab.state import Lab
from tests.scenario import shell

LAB = Lab("bench-backup")
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
OBJECTIVE = "configuration and secrets"
#: Set up once, before anything is measured, as it would be in service.
SETS = {
    "configuration": {"paths": ["/etc"], "objective": OBJECTIVE},
    "bench": {"paths": ["/srv/bench"], "objective": OBJECTIVE, "optional": True},
}
WANTED = {"file_restore_paths": ["/srv/bench"], "file_restore_snapshot": "latest", "file_restore_tag": "bench"}
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
restic check --no-cache > /dev/null
"""
#: The log of what was filled in is in the archive and on the standby, so that nothing shares the disks with the backup.
SETTLE = """
cd /
ask() { runuser -u postgres -- psql -XAtqc "$1"; }
ask 'select pg_switch_wal()'
until [ "$(ask "select count(*) from pg_ls_archive_statusdir() where name like '%.ready'")" = 0 ]; do sleep 0.5; done
behind='select count(*) from pg_stat_replication where replay_lsn < pg_current_wal_lsn()'
until [ "$(ask "$behind")" = 0 ]; do sleep 0.5; done
"""
TAR = "tar --create --gzip --file=/var/tmp/bench.tar.gz --directory=/ srv/bench"
EXTRACT = "tar --extract --gzip --file=/var/tmp/bench.tar.gz --directory=/"
LOSE = "rm -r /srv/bench"
RESTORE = """
set -a
. /etc/restic/environment
restic restore --quiet --no-cache --tag bench --target / {verify} latest
"""


def run(scratch: Path, *options: str, name: str = "backup_procedures", **variables: Any) -> float:
    """How long the procedure takes, in seconds."""
    given = ("-e", json.dumps({"file_backup_sets": SETS, **variables}))
    inventories = (ROOT / "inventories/lab",)
    return seconds(playbook(f"backup_recovery/{name}", inventories, scratch / "state", *options, *given))


def by_hand(host: str, script: str) -> float:
    """How long the commands take, in seconds."""
    return taken(lambda: shell(host, script))


def bench_backup(scratch: Path, megabytes: int = MEGABYTES, small: int = SMALL, large: int = LARGE) -> None:
    """Each contestant makes a whole backup of the same data, one after the other."""
    with in_lab(LAB):
        up(LAB, release(), "golden", list(PLATFORM_HOSTS), fresh=True)
        run(scratch)
        idle = run(scratch)
        shell(
            "db1",
            f"cd /; runuser -u postgres -- psql -qXd evidence <<'END'\n{FILL.format(rows=megabytes * 900)};\nEND\n",
        )
        shell("app1", FILES.format(small=small, large=large))
        shell("db1", SETTLE)
        ours = run(scratch, "--limit", "db1,db2,store1", database_backup_kind="full")
        plain = by_hand("store1", PGBACKREST)
        verified = plain + by_hand("store1", VERIFY)
        raw = by_hand("db2", BASEBACKUP)
        files = run(scratch, "--limit", "app1,store1", file_backup_kind="all")
        restic = by_hand("app1", RESTIC)
        checked = restic + by_hand("app1", CHECK)
        tar = by_hand("app1", TAR)
        shell("app1", LOSE)
        back = run(scratch, "--limit", "app1", name="recovery_procedures_files", **WANTED)
        shell("app1", LOSE)
        restored = by_hand("app1", RESTORE.format(verify=""))
        shell("app1", LOSE)
        proven = by_hand("app1", RESTORE.format(verify="--verify"))
        shell("app1", LOSE)
        extracted = by_hand("app1", EXTRACT)
    print(f"\nBackups of {len(PLATFORM_HOSTS)} hosts with nothing due: {idle:.1f} s")
    heading = "(aim: at most 10 % and 10 s beyond the bare tool with its verification)"
    print(f"\nFull backup of a database of {megabytes} MB {heading}")
    row("", "seconds", "ratio", "beyond")
    row("backup_procedures.yml", f"{ours:.1f}")
    against("pgBackRest, and its verify", verified, ours)
    against("pgBackRest, not verified", plain, ours)
    against("pg_basebackup, left as it is", raw, ours)
    print(f"\nBackup of {small} small files and {large} MB {heading}")
    row("", "seconds", "ratio", "beyond")
    row("backup_procedures.yml", f"{files:.1f}")
    against("restic, and its check", checked, files)
    against("restic, not verified", restic, files)
    against("tar, left as it is", tar, files)
    print(f"\nRestore of these files {heading}")
    row("", "seconds", "ratio", "beyond")
    row("recovery_procedures_files.yml", f"{back:.1f}")
    against("restic, and its verification", proven, back)
    against("restic, not verified", restored, back)
    against("tar extraction", extracted, back)


def against(name: str, theirs: float, ours: float) -> None:
    """One line of the comparison; beyond is what is left when a tenth is allowed."""
    row(name, f"{theirs:.1f}", f"{ours / theirs:.2f}", f"{ours - theirs * 1.1:.1f} s")
