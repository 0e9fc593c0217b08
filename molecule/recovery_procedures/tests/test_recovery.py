"""What is restored is exactly what was there at that moment; what goes wrong on the way changes nothing in the end."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from backups import LOCK, archived, await_lock, follows, now, pgbackrest, side_by_side, sql

from tests.scenario import Outcome, Procedure, changed_files, files, on_all, same_changes, shell

DATABASES = ("db1", "db2")
STARTED = "select pg_postmaster_start_time()"
#: Overwrites four entries of an index.
TEAR = """
systemctl stop postgresql@15-main
cd /var/lib/postgresql/15/main
runuser -u postgres -- /usr/lib/postgresql/15/bin/pg_checksums -D . --disable
dd if=/dev/zero of={path} bs=1 count=64 seek=$((8192 + 7000)) conv=notrunc status=none
runuser -u postgres -- /usr/lib/postgresql/15/bin/pg_checksums -D . --enable
systemctl start postgresql@15-main
"""


def given(**values: Any) -> tuple[str, str]:
    """Options of a run: the role's variables."""
    return "--extra-vars", json.dumps({f"database_restore_{name}": value for name, value in values.items()})


def entries(host: str = "db1") -> int:
    return int(sql("select count(*) from ledger", host))


def timelines() -> list[str]:
    """The timelines that the archive has a history of."""
    return sorted(word for word in pgbackrest("repo-ls archive/evidence/15-1").split() if word.endswith(".history"))


def finding(outcome: Outcome, check: str) -> dict[str, Any]:
    return next(found for found in outcome.findings if found["check"] == check)


@pytest.fixture(scope="module")
def mistake() -> str:
    """A time; what was there then is dropped after it, and other things are written."""
    sql("insert into ledger select g, 'second' from generate_series(1001, 1500) g")
    moment = now()
    sql("drop table ledger")
    sql("create table later (id int)")
    sql("insert into later values (1)")
    return moment


def test_check_mode_predicts_and_success_gives_exactly_the_rows_of_that_time(
    restore: Procedure, drill: Procedure, mistake: str
) -> None:
    """Estimate, check run and run to a time before the mistake; rows, standby, archive and application afterwards.

    A drill meanwhile, which has nothing to compare with, is refused, and told who restores.
    """
    untouched = on_all(files, DATABASES)
    predicted = restore.run("--check", *given(to=mistake))
    after = on_all(files, DATABASES)
    assert [changed_files(untouched[host], after[host]) for host in DATABASES] == [{}, {}]
    assert "What this restore costs" in predicted.output
    with ThreadPoolExecutor() as pool:
        running = pool.submit(restore.run, *given(to=mistake))
        await_lock("db1")
        meanwhile = drill.run()
        applied = running.result()
    assert meanwhile.record["outcome"] == "refused", meanwhile.output
    assert f"run {applied.record['run_id'][:12]}. Wait for its end" in " ".join(meanwhile.output.split())
    assert applied.returncode == 0, applied.output
    assert same_changes(predicted, applied), repr(same_changes(predicted, applied))
    assert entries() == 1500
    assert sql("select count(*) from pg_tables where tablename = 'later'") == "0"
    assert sql("select count(*) from pg_extension where extname = 'amcheck'") == "0"
    assert follows()
    assert entries("db2") == 1500
    assert "ok" in shell("proxy1", "curl -sSf https://proxy1/readyz")
    assert archived()[:8] == "00000003"
    settings = shell("db1", "cat /var/lib/postgresql/15/main/postgresql.auto.conf")
    assert not [line for line in settings.splitlines() if line and not line.startswith("#")]
    for check in ("recovery time (RTO)", "recovery point (RPO)"):
        found = finding(applied, check)
        assert (found["unit"], found["status"]) == ("s", "ok"), found


def test_second_run_changes_nothing(restore: Procedure, mistake: str) -> None:
    started = sql(STARTED)
    outcome = restore.run(*given(to=mistake))
    assert outcome.returncode == 0, outcome.output
    assert outcome.changes == ()
    assert sql(STARTED) == started


def test_interruption_in_the_middle_and_success_from_a_restore_point(restore: Procedure) -> None:
    """The primary is lost as a whole, and the restore of its last restore point is killed; the next run goes on."""
    sql("select pg_create_restore_point('end of the day')")
    sql("delete from ledger where id > 10")
    killed = restore.killed_at("Move the database aside", *given(point="end of the day"))
    assert killed.killed
    other = restore.run(*given(to="latest"))
    assert other.record["outcome"] == "refused"
    assert "unfinished" in other.output
    outcome = restore.run(*given(point="end of the day"))
    assert outcome.returncode == 0, outcome.output
    assert restore.record(killed.record["run_id"])["outcome"] == "interrupted"
    assert entries() == 1500
    assert follows()
    assert entries("db2") == 1500


def test_failure_of_the_verification_brings_the_former_database_back(restore: Procedure) -> None:
    """The restored database lacks what the application needs: nobody saw it, and the archive has no trace of it."""
    sql("create table newer as select 1 as id")
    known = timelines()
    last = archived()
    outcome = restore.run(
        *given(point="end of the day", queries=[{"database": "evidence", "query": "select id from newer"}])
    )
    assert outcome.returncode != 0
    assert outcome.record["outcome"] == "rolled_back"
    assert outcome.bad == {("db1", "restore of the database"): "critical"}
    assert sql("select id from newer") == "1"
    assert archived()[:8] == last[:8]
    assert timelines() == known
    assert follows()
    left = shell("db1", "ls /var/lib/postgresql/15").split()
    assert not [name for name in left if name.endswith((".partial", f"before-{outcome.record['run_id'][:8]}"))]


def test_failure_of_a_page_brings_the_former_database_back(restore: Procedure) -> None:
    """A page of an index is wrong, and its checksum is right: every row can be read, and pg_amcheck finds it."""
    sql("create table torn (id int primary key); insert into torn select generate_series(1, 1000); checkpoint")
    path = sql("select pg_relation_filepath('torn_pkey')")
    shell("db1", TEAR.format(path=path))
    pgbackrest("--type=full backup")
    known = timelines()
    outcome = restore.run(*given(to="latest"))
    assert outcome.record["outcome"] == "rolled_back", outcome.output
    assert outcome.bad == {("db1", "restore of the database"): "critical"}
    assert "pg_amcheck finds the restored database damaged" in outcome.output
    assert sql("select count(*) from torn") == "1000"
    assert timelines() == known
    assert follows()
    sql("drop table torn")
    pgbackrest("--type=full backup")


def test_failure_after_opening_brings_the_former_database_back(restore: Procedure) -> None:
    """Clients were let in already when the application turned out not to work; the standby has seen that, too."""
    sql("create table newest as select 1 as id")
    known = timelines()
    outcome = restore.run(*given(point="end of the day", requests=["https://proxy1/nowhere"]))
    assert outcome.record["outcome"] == "rolled_back"
    assert outcome.bad == {("db1", "restore of the database"): "critical"}
    assert "the application does not work with the restored database: https://proxy1/nowhere" in outcome.output
    assert sql("select id from newest") == "1"
    assert timelines() == known
    assert follows()
    shell("db2", "systemctl restart postgresql@15-main")
    assert follows()


def test_failure_by_loss_of_the_host_is_said_and_the_next_run_goes_on(restore: Procedure) -> None:
    """Nothing can be put back on a host that does not answer; the standby's is free all the same."""
    target = given(point="end of the day")
    lost = restore.losing("db1", "Recover, and read every row", *target)
    assert (lost.returncode, lost.record["outcome"]) == (2, "failed"), lost.output
    assert "db1 is in doubt" in str(lost.record["failures"])
    assert finding(lost, "restore of the database")["title"] == "The restore is unfinished."
    assert shell("db2", f"[ ! -e {LOCK} ] || echo locked") == ""
    again = restore.run(*target)
    assert again.returncode == 0, again.output
    assert entries() == 1500
    assert follows()


def test_bad_input_is_refused_with_what_is_possible(restore: Procedure) -> None:
    """Each refusal says what is wrong and which times are possible; nothing is touched."""
    archived()
    inside = now()
    gap = archived()
    archived()
    folder = f"/var/lib/pgbackrest/archive/evidence/15-1/{gap[:16]}"
    shell("store1", f"mkdir /tmp/gap; mv {folder}/{gap}-* /tmp/gap")
    started = sql(STARTED)
    cases: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
        "is in the future": ({"to": "2099-01-01 00:00:00+00:00"}, ()),
        "before the end of the oldest backup": ({"to": "2020-01-01 00:00:00+00:00"}, ()),
        f"segment {gap} is missing": ({"to": inside}, ()),
        "is no time": ({"to": "yesterday"}, ()),
        "Say where to": ({}, ()),
        "there is no restore point 'nowhere'": ({"point": "nowhere"}, ()),
        "there is no backup '20200101-000000F'": ({"to": "latest", "backup": "20200101-000000F"}, ()),
        "there is no timeline 99": ({"to": "latest", "timeline": 99}, ()),
        "stanza 'other' cannot be read": ({"to": "latest", "stanza": "other"}, ()),
        "promises nothing for 'nowhere'": ({"to": "latest", "tier": "nowhere"}, ()),
        "has no such PostgreSQL server": ({"to": "latest", "cluster": "9.6/main"}, ()),
        "none of db2 is a primary": ({"to": "latest"}, ("--limit", "db2")),
    }
    done = side_by_side(restore, [(*given(**case[0]), *case[1]) for case in cases.values()])
    outcomes = dict(zip(cases, done, strict=True))
    shell("store1", "systemctl stop pgbackrest")
    outcomes["does not answer at port 8432"] = restore.run(*given(to="latest"))
    shell("store1", f"systemctl start pgbackrest; mv /tmp/gap/* {folder}")
    for words, outcome in outcomes.items():
        assert words in outcome.output, outcome.output
        assert outcome.record["outcome"] == "refused", words
        assert outcome.changes == ()
    for words in list(outcomes)[:8]:
        assert "Possible: from " in outcomes[words].output, outcomes[words].output
    assert sql(STARTED) == started
