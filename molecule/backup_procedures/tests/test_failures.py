"""Whatever can go wrong says what it is, and the next run is as if it had not been."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

from stored import DATABASE, FILES, PSQL, REPOSITORY, bad, history, labels, program
from test_backups import given

from tests.lab.state import Lab
from tests.scenario import ROOT, Procedure, shell


def test_bad_input_is_refused_before_any_host_is_touched(backup: Procedure, state: object) -> None:
    shell("store1", "true")
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


def test_interruption_is_finished_by_the_next_run(backup: Procedure) -> None:
    options = given(database_backup_processes=1, database_backup_kind="diff")
    cut = backup.killed_at("Install certificates, configuration and program", *options)
    assert cut.killed
    assert cut.record["outcome"] == "interrupted"
    outcome = backup.run(*options)
    assert outcome.returncode == 0, outcome.output
    assert "process-max=1" in shell("store1", "cat /etc/pgbackrest/pgbackrest.conf")
    assert shell("store1", "ls /var/lib/ops-runbook/file_sets") == ""


def test_failure_of_two_backups_at_once() -> None:
    answers = shell(
        "store1", f"cd /; ({DATABASE} run --kind full 2>&1 || true) & sleep 1; {DATABASE} run --kind diff || true; wait"
    )
    said = [json.loads(line) for line in answers.splitlines() if line.startswith("{")]
    assert sorted(answer.get("cause", "") for answer in said) == ["", "busy"], answers
    assert "is being made already: process" in next(a["failure"] for a in said if a.get("cause"))


def test_failure_of_a_wrong_cipher_says_so(backup: Procedure) -> None:
    configuration = "/etc/pgbackrest/pgbackrest.conf"
    shell(
        "store1",
        f"cp -p {configuration} /root/conf; sed -i 's/^repo1-cipher-pass=.*/repo1-cipher-pass=wrong/' {configuration}",
    )
    answer = program(f"{DATABASE} run --kind diff")
    shell("store1", f"cp -p /root/conf {configuration}")
    assert answer["cause"] == "cipher", answer
    assert "database_backup_cipher_passphrase" in answer["failure"]
    environment = "/etc/restic/environment"
    shell("app1", f"cp -p {environment} /root/env; sed -i 's/^RESTIC_PASSWORD=.*/RESTIC_PASSWORD=wrong/' {environment}")
    answer = program(f"{FILES} run --kind all", "app1")
    shell("app1", f"cp -p /root/env {environment}")
    assert answer["cause"] == "cipher", answer


def test_failure_of_a_store_that_does_not_answer_or_is_full() -> None:
    shell("store1", "systemctl stop rclone-restic")
    answer = program(f"{FILES} run --kind all", "app1")
    shell("store1", "systemctl start rclone-restic")
    assert answer["cause"] == "unreachable", answer
    assert "rclone-restic.service" in answer["failure"]

    settings = "/etc/ops-runbook/database_backup.json"
    shell(
        "store1",
        f"""
        cp {settings} /root/settings
        cp -a {REPOSITORY} /root/repository
        size=$(( $(du -sm {REPOSITORY} | cut -f1) + 2 ))
        mount -t tmpfs -o size=${{size}}m,mode=0750,uid=$(id -u postgres),gid=$(id -g postgres) full {REPOSITORY}
        cp -a /root/repository/. {REPOSITORY}/
        """,
    )
    foreseen = program(f"{DATABASE} run --kind full")
    shell("store1", f'sed -i \'s/"headroom": [0-9.]*/"headroom": 0/\' {settings}')
    answer = program(f"{DATABASE} run --kind full")
    # The log that came meanwhile belongs into the archive: without it there would be a gap.
    arrived = f"cp -a {REPOSITORY}/archive/. /root/repository/archive/; umount {REPOSITORY}"
    shell("store1", f"{arrived}; cp -an /root/repository/archive/. {REPOSITORY}/archive/; rm -r /root/repository")
    shell("store1", f"cp /root/settings {settings}")
    assert foreseen["cause"] == "full", foreseen
    assert "are needed" in foreseen["failure"]
    assert answer["cause"] == "full", answer
    assert REPOSITORY in answer["failure"]


def test_failure_of_an_expired_certificate() -> None:
    command = [sys.executable, "-m", "tests.lab", "certificate", "--client", "--ends=-0.5", "--stem", "late", "db1"]
    subprocess.run(command, cwd=ROOT, check=True)
    folder = Lab(os.environ["LAB"]).authority
    tls = "/etc/pgbackrest/tls"
    shell("db1", f"cp -rp {tls} /root/tls")
    for name in ("pem", "key"):
        content = (folder / f"late.{name}").read_text(encoding="utf-8")
        shell("db1", f"cat > {tls}/own.{name} <<'END'\n{content}END\n")
    shell("db1", "systemctl restart pgbackrest")
    answer = program(f"{DATABASE} run --kind diff")
    shell("db1", f"cp -p /root/tls/* {tls}/; systemctl restart pgbackrest")
    assert answer.get("cause") == "certificate", answer


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
    follows = f"{PSQL} 'select 1 from pg_stat_wal_receiver'"
    shell("db2", f"for i in $(seq 60); do [ $({follows} | wc -l) = 1 ] && break; sleep 1; done")
    again = program(f"{DATABASE} run --kind full")
    assert again.get("made") == ["full"], again
    assert bad(again) == {}


def test_store_that_is_stopped_loses_no_log(verification: Procedure) -> None:
    shell("store1", "systemctl stop pgbackrest")
    shell("db1", f"{PSQL} 'insert into payload values (1); select pg_switch_wal()' evidence")
    deadline = time.monotonic() + 120
    while shell("db1", f"{PSQL} 'select last_failed_time > last_archived_time from pg_stat_archiver'").strip() != "t":
        assert time.monotonic() < deadline
        time.sleep(1)
    outcome = verification.run("--limit", "db1")
    assert outcome.bad.get(("db1", "WAL archive")) == "critical", outcome.output
    shell("store1", "systemctl start pgbackrest")
    deadline = time.monotonic() + 90
    while (
        shell("db1", f"{PSQL} \"select count(*) from pg_ls_archive_statusdir() where name like '%.ready'\"").strip()
        != "0"
    ):
        assert time.monotonic() < deadline
        time.sleep(1)
    assert bad(program(f"{DATABASE} verify")) == {}
