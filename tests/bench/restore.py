"""A restore of the database in place against bare commands: the same work by hand, pgBackRest alone, and tar."""

from __future__ import annotations

import json
from pathlib import Path

from tests.bench.backup import against
from tests.bench.contestants import ROOT
from tests.bench.maintenance import playbook, row
from tests.bench.measure import in_lab, seconds, taken
from tests.interruptions import matrix
from tests.lab.commands import up
from tests.lab.images import PLATFORM_HOSTS, release
from tests.lab.state import Lab
from tests.scenario import shell

LAB = Lab("bench-restore")
MEGABYTES = 1024
DATA = "/var/lib/postgresql/15/main"
FILL = """
create table bulk (id bigint, entry text);
insert into bulk select g, repeat(md5(g::text), 32) from generate_series(1, {rows}) g;
create index on bulk (id);
checkpoint
"""
#: What nobody can leave out: the server stops, the backup is fetched, the log is replayed.
PLAIN = f"""
systemctl stop postgresql@15-main
rm -r {DATA}
install -d -m 0700 -o postgres -g postgres {DATA}
cd /
runuser -u postgres -- pgbackrest --stanza=evidence --log-level-console=error restore
systemctl start postgresql@15-main
until [ "$(runuser -u postgres -- psql -XAtqc 'select pg_is_in_recovery()')" = f ]; do sleep 0.2; done
"""
#: What a careful operator does before: count, and have everything until now in the archive.
KEEP = """
cd /
ask() { runuser -u postgres -- psql -XAtqd evidence -c "$1"; }
ask 'select count(*) from bulk' > /dev/null
ask 'select count(*) from ledger' > /dev/null
ask "select pg_create_restore_point('before'), pg_current_xact_id()" > /dev/null
segment=$(ask 'select pg_walfile_name(pg_switch_wal())')
until [ "$(ask "select left(last_archived_wal, 24) >= '$segment' from pg_stat_archiver")" = t ]; do sleep 0.2; done
"""
#: And afterwards: count, read every page, and remove what that needs again.
VERIFY = """
cd /
runuser -u postgres -- psql -XAtqd evidence -c 'select count(*) from bulk' -c 'select count(*) from ledger'
runuser -u postgres -- /usr/lib/postgresql/15/bin/pg_amcheck --install-missing --all --heapallindexed
runuser -u postgres -- psql -XAtqd evidence -c 'drop extension amcheck'
runuser -u postgres -- psql -XAtqd postgres -c 'drop extension amcheck' \
    -c "select pg_create_physical_replication_slot('db2', true)"
"""
FOLLOW = f"""
systemctl stop postgresql@15-main
rm -r {DATA}
install -d -m 0700 -o postgres -g postgres {DATA}
cd /
source=$(runuser -u postgres -- /usr/lib/postgresql/15/bin/postgres -C primary_conninfo -D /etc/postgresql/15/main)
runuser -u postgres -- pg_basebackup --dbname="$source" --pgdata={DATA} --slot=db2 --wal-method=stream --checkpoint=fast
install -m 0600 -o postgres -g postgres /dev/null {DATA}/standby.signal
systemctl start postgresql@15-main
"""
#: An archive of the stopped server's files, on the same disk: neither encrypted, nor fetched, nor of a chosen moment.
ARCHIVE = f"""
systemctl stop postgresql@15-main
tar --create --gzip --file=/var/tmp/bench.tar.gz --directory={DATA} .
"""
EXTRACT = f"""
rm -r {DATA}
install -d -m 0700 -o postgres -g postgres {DATA}
tar --extract --gzip --file=/var/tmp/bench.tar.gz --directory={DATA}
systemctl start postgresql@15-main
until runuser -u postgres -- psql -XAtqc 'select 1' > /dev/null 2>&1; do sleep 0.2; done
"""


def arrange(megabytes: int) -> None:
    """A database of that size, with a backup of all of it."""
    up(LAB, release(), "golden", list(PLATFORM_HOSTS), fresh=True)
    backups = matrix.load(ROOT / "molecule/recovery_procedures/tests/backups.py")
    backups.arrange()
    backups.sql(FILL.format(rows=megabytes * 900))
    backups.archived()
    backups.pgbackrest("--type=full backup")


def bench_restore(scratch: Path, megabytes: int = MEGABYTES) -> None:
    """The procedure against bare commands, on one database, one after the other."""
    scratch.mkdir(parents=True, exist_ok=True)
    with in_lab(LAB):
        arrange(megabytes)
        size = int(shell("db1", f"du -sm {DATA}/base").split()[0])
        options = ("-e", json.dumps({"database_restore_to": "latest"}))
        ours = seconds(
            playbook("backup_recovery/recovery_procedures", (ROOT / "inventories/lab",), scratch / "state", *options)
        )
        kept = taken(lambda: shell("db1", KEEP))
        plain = taken(lambda: shell("db1", PLAIN))
        careful = kept + plain + taken(lambda: shell("db1", VERIFY)) + taken(lambda: shell("db2", FOLLOW))
        shell("db1", ARCHIVE)
        tar = taken(lambda: shell("db1", EXTRACT))
    print(f"\nRestore of a database of {size} MB in place (aim: at most 10 % and 10 s beyond the same work by hand)")
    row("", "seconds", "ratio", "beyond")
    row("recovery_procedures.yml", f"{ours:.1f}")
    against("the same work by hand", careful, ours)
    against("pgBackRest alone, nothing verified", plain, ours)
    against("tar extraction, nothing verified", tar, ours)
