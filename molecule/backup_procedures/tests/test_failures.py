"""Whatever can go wrong says what it is, and the next run is as if it had not been."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from stored import DATABASE, FILES, HOSTS, PSQL, REPOSITORY, altered, bad, history, labels, program, undone
from test_backups import given

from tests.lab.state import Lab
from tests.scenario import ROOT, Procedure, Untouched, shell

RELOAD = f"{PSQL} 'select pg_reload_conf()'"
#: Wait until the standby gets its log from the primary.
FOLLOWS = f"""
for i in $(seq 60); do
    [ "$({PSQL} 'select count(*) from pg_stat_wal_receiver' || true)" = 1 ] && break
    sleep 1
done
"""
UNSENT = "select count(*) from pg_ls_archive_statusdir() where name like '%.ready'"


def eventually(query: str, wanted: str) -> None:
    """Wait until the primary answers so."""
    deadline = time.monotonic() + 120
    while (said := shell("db1", f'{PSQL} "{query}"').strip()) != wanted:
        assert time.monotonic() < deadline, said
        time.sleep(1)


def history_of(event: str) -> dict[str, Any]:
    """What was noted of the last one."""
    return [row for row in history() if row["event"] == event][-1]


def touched(before: Untouched) -> list[str]:
    """What was written since, but for the log that the database sends."""
    own = f"{REPOSITORY}/archive"
    return [f"{host}:{path}" for host, paths in before.changes.items() for path in paths if not path.startswith(own)]


def test_bad_input_is_refused_before_any_host_is_touched(backup: Procedure) -> None:
    before = Untouched.hosts(*HOSTS)
    outcome = backup.run(
        *given(
            database_backup_cipher_passphrase="short",
            database_backup_certificate="/no/such/file.pem",
            file_backup_sets={"lost": {"paths": ["etc"], "objective": "no such"}},
            objectives_backups={"database full": {"every": "soon", "keep": "35d"}},
        )
    )
    assert outcome.returncode != 0
    assert outcome.record["outcome"] == "refused", outcome.output
    said = " ".join(outcome.output.replace("\\n", " ").split())
    for words in ("objectives_backups", "file_backup_sets['lost']", "no host was touched"):
        assert words in said, outcome.output
    kind = backup.run(*given(database_backup_kind="everything"))
    assert kind.record["outcome"] == "refused", kind.output
    assert "database_backup_kind" in kind.output
    promised = {"every": "1d", "restore_test": "7d"}
    shorter = {name: {**promised, "keep": "2d"} for name in ("configuration and secrets", "evidence files")}
    shorter |= {f"database {name}": {**promised, "keep": "35d"} for name in ("full", "differential", "log")}
    earlier = backup.run("--limit", "store1", *given(objectives_backups=shorter))
    assert earlier.record["outcome"] == "refused", earlier.output
    assert "evidence is kept for 365.0 d, and would be for 2.0 d" in " ".join(earlier.output.split())
    assert "backup_procedures_shorter_retention" in earlier.output
    confirmed = given(objectives_backups=shorter, backup_procedures_shorter_retention=True)
    decided = backup.run("--check", "--limit", "store1", *confirmed)
    assert decided.record["outcome"] != "refused", decided.output
    assert decided.changes
    assert touched(before) == []


def test_failure_to_reach_the_store_touches_no_host(backup: Procedure) -> None:
    """Nobody can log in there."""
    before = Untouched.hosts(*HOSTS[:-1])
    with undone("store1", "systemctl stop ssh.socket ssh; pkill -KILL -x sshd || true", "systemctl start ssh"):
        outcome = backup.run()
    assert outcome.returncode not in (0, 1), outcome.output
    assert outcome.record["outcome"] in ("failed", "refused"), outcome.output
    assert "store1" in outcome.output
    assert touched(before) == []


def test_failure_of_two_backups_at_once() -> None:
    answers = shell(
        "store1", f"cd /; ({DATABASE} run --kind full 2>&1 || true) & sleep 1; {DATABASE} run --kind diff || true; wait"
    )
    said = [json.loads(line) for line in answers.splitlines() if line.startswith("{")]
    assert sorted(answer.get("cause", "") for answer in said) == ["", "busy"], answers
    assert "is being made already: process" in next(a["failure"] for a in said if a.get("cause"))


def test_failure_of_a_wrong_cipher_says_so() -> None:
    wrong = r"sed -i 's/^\(repo1-cipher-pass\|RESTIC_PASSWORD\)=.*/\1=wrong/' $file"
    with altered("/etc/pgbackrest/pgbackrest.conf", wrong):
        answer = program(f"{DATABASE} run --kind diff")
    assert answer["cause"] == "cipher", answer
    assert "database_backup_cipher_passphrase" in answer["failure"]
    with altered("/etc/restic/environment", wrong, "app1"):
        answer = program(f"{FILES} run --kind all", "app1")
    assert answer["cause"] == "cipher", answer


def shrunk(folder: str, owner: str, room: int) -> tuple[str, str]:
    """Scripts that leave a folder of the store so many MiB of room, and that give it back with what came meanwhile."""
    owned = f"mode=0700,uid=$(id -u {owner}),gid=$(id -g {owner})"
    small = f"""
        cp -a {folder} /root/repository
        mount -t tmpfs -o size=$(( $(du -sm {folder} | cut -f1) + {room} ))m,{owned} full {folder}
        cp -a /root/repository/. {folder}/
    """
    # Log that came meanwhile belongs into the archive: without it there would be a gap.
    large = f"""
        cp -a {folder}/. /root/repository/
        umount {folder}
        cp -an /root/repository/. {folder}/
        rm -r /root/repository
    """
    return small, large


def test_failure_of_a_store_that_does_not_answer_or_is_full() -> None:
    with undone("store1", "systemctl stop rclone-restic", "systemctl start rclone-restic"):
        answer = program(f"{FILES} run --kind all", "app1")
    assert answer["cause"] == "unreachable", answer
    assert "rclone-restic.service" in answer["failure"]

    settings = "/etc/ops-runbook/database_backup.json"
    with undone("store1", *shrunk(REPOSITORY, "postgres", 2)):
        foreseen = program(f"{DATABASE} run --kind full")
        with altered(settings, 'sed -i \'s/"headroom": [0-9.]*/"headroom": 0/\' "$file"'):
            answer = program(f"{DATABASE} run --kind full")
    assert foreseen["cause"] == "full", foreseen
    assert "are needed" in foreseen["failure"]
    assert answer["cause"] == "full", answer
    assert REPOSITORY in answer["failure"]


def test_failure_of_a_full_repository_of_files() -> None:
    """Of one host; what it has stored before stays, and what was cut off is no damage when there is room again."""
    own = "/var/lib/restic/app1"
    large, stored = "/etc/evidence-api/large", f"ls {own}/snapshots"
    # The lock of who was ended in the middle does not belong to the repository.
    smaller, larger = shrunk(own, "restic", 4)
    restart = "systemctl restart rclone-restic"
    small, back = f"{smaller}\n{restart}", f"rm -f {own}/locks/*\n{larger}\n{restart}"
    with undone("app1", f"head -c 20M /dev/urandom > {large}", f"rm {large}"), undone("store1", small, back):
        before = shell("store1", stored).split()
        answer = program(f"{FILES} run --kind all", "app1")
        assert set(before) <= set(shell("store1", stored).split())
        assert answer["cause"] == "full", answer
        assert "/var/lib/restic" in answer["failure"]
        cut = shell("store1", f"mount -o remount,size=500m {own}; find {own}/data -size 0").strip()
        assert cut
        assert "cause" not in program(f"{FILES} run --kind all", "app1")
        assert bad(program(f"{FILES} verify", "app1")) == {}
        assert "stored files" not in bad(program(f"{FILES} verify"))
        program(f"{FILES} expire")
        shell("store1", f"test -e {cut}; touch -d '2 hours ago' {cut}")
        assert (
            f"app1: {cut.rsplit('/', 1)[-1][:8]} removed, it was never finished" in program(f"{FILES} expire")["made"]
        )
        shell("store1", f"! test -e {cut}")


@contextmanager
def certified(host: str, stem: str, unit: str, port: int, *, days: float, name: str = "") -> Iterator[None]:
    """A host shows a certificate that ends in so many days, or another host's, as long as the block lasts."""
    name = name or host
    command = [sys.executable, "-m", "tests.lab", "certificate", "--client", f"--ends={days}", "--stem", "late", name]
    subprocess.run(command, cwd=ROOT, check=True)
    late = Lab(os.environ["LAB"]).authority / "late"
    with ExitStack() as kept:
        listens = f"timeout 30 bash -c 'until : < /dev/tcp/localhost/{port}; do sleep 0.1; done'"
        serve = f"systemctl restart {unit}; {listens}"
        kept.callback(shell, host, serve)
        for suffix in (".pem", ".key"):
            content = late.with_suffix(suffix).read_text(encoding="utf-8")
            kept.enter_context(altered(f"{stem}{suffix}", f"cat > \"$file\" <<'END'\n{content}END\n", host))
        shell(host, serve)
        yield


def test_failure_of_an_expired_certificate_of_the_database() -> None:
    with certified("db1", "/etc/pgbackrest/tls/own", "pgbackrest", 8432, days=-0.5):
        answer = program(f"{DATABASE} run --kind diff")
        said = bad(program(f"{DATABASE} status"))
    assert answer.get("cause") == "certificate", answer
    assert "db1:8432 has expired" in said["database backup certificate of db1"]
    assert "database backup certificate of db2" not in said


def test_certificate_of_an_application_host_opens_no_database_backup() -> None:
    """The authority that issued it is the right one, and its owner is none of those who may."""
    info = "cd /; runuser -u postgres -- pgbackrest --stanza=evidence info 2>&1 || true"
    assert "full backup" in shell("db1", info)
    with certified("db1", "/etc/pgbackrest/tls/own", "pgbackrest", 8432, days=1, name="app1"):
        said = shell("db1", info)
    assert "access denied" in said
    assert "full backup" not in said


def test_failure_of_an_expired_certificate_of_the_store() -> None:
    """The hosts say what it is, the store among them; before, the store says that it comes to that."""
    server = ("store1", "/etc/restic/server", "rclone-restic", 8000)
    with certified(*server, days=3):
        said = bad(program(f"{FILES} run"))
    assert "localhost:8000 is valid" in said["file backup certificate"]
    with certified(*server, days=-0.5):
        answers = [program(f"{FILES} run --kind all", host) for host in ("app1", "store1")]
    for answer in answers:
        assert answer.get("cause") == "certificate", answer
        assert "has expired" in answer["failure"]


def test_backup_without_a_standby_comes_from_the_primary() -> None:
    """And says so, also later; the standby that is back is followed by a backup of it."""
    with undone("db2", "systemctl stop postgresql@15-main", f"systemctl start postgresql@15-main; {FOLLOWS}"):
        answer = program(f"{DATABASE} run --kind incr")
    assert answer["made"] == ["incr"], answer
    assert not history_of("backup")["standby"]
    said = bad(program(f"{DATABASE} status"))
    assert "from the primary: no standby could be used" in said["database backup"]
    assert "pg2" in said["database backup"]
    assert program(f"{DATABASE} run --kind incr")["made"] == ["incr"]
    assert history_of("backup")["standby"]
    assert bad(program(f"{DATABASE} status")) == {}


def test_failure_of_an_archive_that_falls_behind() -> None:
    """The database's command fails: the backup waits for its log, and says that it does not come."""
    broken = f"{PSQL} \"alter system set archive_command to 'false; # pgbackrest'\"; {RELOAD}"
    quick = "sed -i 's/^archive-timeout=.*/archive-timeout=3/' \"$file\""
    before = labels()
    with (
        undone("db1", broken, f"{PSQL} 'alter system reset archive_command'; {RELOAD}"),
        altered("/etc/pgbackrest/pgbackrest.conf", quick),
    ):
        answer = program(f"{DATABASE} run --kind incr")
    assert answer.get("cause") == "archive", answer
    assert "pg_stat_archiver" in answer["failure"]
    assert labels() == before


def test_failure_of_the_database_during_a_backup() -> None:
    """Killed in the middle; the incomplete backup is never listed, and the next one is made."""
    before = labels()
    shell(
        "db1",
        f"{PSQL} 'create table big as select md5(a::text) from generate_series(1, 400000) a; checkpoint' evidence",
    )
    shell("db1", "(sleep 1; kill -9 $(head -1 /var/lib/postgresql/15/main/postmaster.pid)) >/dev/null 2>&1 &")
    answer = program(f"{DATABASE} run --kind full")
    assert answer["cause"] in {"database", "unreachable", "failed"}, answer
    assert labels() == before
    assert history()[-1]["event"] == "failed"
    shell("db1", "systemctl restart postgresql@15-main")
    shell("db2", FOLLOWS)
    again = program(f"{DATABASE} run --kind full")
    assert again.get("made") == ["full"], again
    assert bad(again) == {}


def test_store_that_is_stopped_loses_no_log(verification: Procedure) -> None:
    # pgBackRest itself tries for half a minute before it says that the store does not answer.
    with (
        altered("/etc/pgbackrest/pgbackrest.conf", "sed -i 's/^io-timeout=.*/io-timeout=2/' \"$file\"", "db1"),
        undone("store1", "systemctl stop pgbackrest", "systemctl start pgbackrest"),
    ):
        shell("db1", f"{PSQL} 'insert into payload values (1); select pg_switch_wal()' evidence")
        eventually("select last_failed_time > last_archived_time from pg_stat_archiver", "t")
        outcome = verification.run("--limit", "db1")
    assert outcome.bad.get(("db1", "WAL archive")) == "critical", outcome.output
    eventually(UNSENT, "0")
    assert bad(program(f"{DATABASE} verify")) == {}


STREAM = f"""
for number in $(seq 40); do
    {PSQL} 'insert into payload values (1); select pg_switch_wal()' evidence
    sleep 0.2
done
"""
#: While it takes something in; started again before PostgreSQL waits a minute until it tries once more.
KILL = """
timeout 30 bash -c 'until pgrep --parent "$(systemctl show --property=MainPID --value pgbackrest)"; do :; done'
systemctl kill --signal=KILL pgbackrest
sleep 0.3
systemctl reset-failed pgbackrest
systemctl restart pgbackrest
"""


def test_store_that_is_killed_while_log_arrives_loses_none() -> None:
    """Again and again, in the middle of a stream of it; what PostgreSQL could not send it sends later."""
    shell("db1", f"({STREAM}) >/dev/null 2>&1 &")
    for _number in range(3):
        shell("store1", KILL)
    last = shell(
        "db1", f"{PSQL} 'insert into payload values (1)' -c 'select pg_walfile_name(pg_switch_wal())' evidence"
    )
    eventually(UNSENT, "0")
    assert last.strip() in shell("store1", f"ls {REPOSITORY}/archive/evidence/15-1/*/")
    assert bad(program(f"{DATABASE} verify")) == {}
