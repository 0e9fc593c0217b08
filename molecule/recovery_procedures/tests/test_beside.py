"""One table as it was, beside the one that serves; and the way back from a restore that nobody wants to finish."""

from __future__ import annotations

import json
from typing import Any

from backups import follows, now, side_by_side, sql

from tests.scenario import ROOT, Procedure, shell

INVENTORIES = (ROOT / "inventories/lab",)
DATABASES = "select string_agg(datname, ' ' order by datname) from pg_database where not datistemplate"


def given(**values: Any) -> tuple[str, str]:
    """Options of a run: the role's variables."""
    return "--extra-vars", json.dumps({f"database_restore_{name}": value for name, value in values.items()})


def test_success_of_a_lost_primary() -> None:
    """Nothing was left of its data when it was restored, at the beginning: all that was archived came back."""
    assert sql("select count(*) from last_word") == "1"
    assert sql("select count(*) from ledger") == "1000"
    assert sql("select timeline_id from pg_control_checkpoint()") == "2"
    assert follows()


def test_success_of_one_table_beside_the_one_that_serves(beside: Procedure) -> None:
    """The table has its old rows in a database of its own; the one that serves keeps its new ones and keeps running."""
    sql("create table shelf (id int); insert into shelf select generate_series(1, 40)")
    sql("create table other (id int)")
    moment = now()
    sql("delete from shelf where id > 5")
    started = sql("select pg_postmaster_start_time()")
    options = given(to=moment, database="evidence", tables=["shelf"], into="then")
    outcome = beside.run(*options)
    assert outcome.returncode == 0, outcome.output
    assert sql("select count(*) from shelf", database="then") == "40"
    assert sql("select count(*) from pg_tables where tablename = 'other'", database="then") == "0"
    assert sql("select count(*) from shelf") == "5"
    assert sql("select pg_postmaster_start_time()") == started
    assert shell("db1", "ls /var/lib/postgresql").split() == ["15", "archive"]
    cases: dict[str, dict[str, Any]] = {
        "the target is not empty: there is a database 'then'": {},
        "it has to be of small letters": {"into": "x; drop"},
        "there is no database 'nobody' in the backup, only evidence, postgres": {"into": "later", "database": "nobody"},
    }
    wanted = {"to": moment, "database": "evidence", "tables": ["shelf"], "into": "then"}
    options = [given(**{**wanted, "tables": [], **values}) for values in cases.values()]
    known = sql(DATABASES)
    *outcomes, looked = side_by_side(beside, [*options, ("--check", *given(**{**wanted, "into": "later"}))])
    for words, refused in zip(cases, outcomes, strict=True):
        assert refused.record["outcome"] == "refused"
        assert words in refused.output
    # Check mode predicts what the run above did, and makes nothing of it.
    assert [(change.host, change.task) for change in looked.changes] == [
        (change.host, change.task) for change in outcome.changes
    ], looked.output
    assert (sql(DATABASES), shell("db1", "ls /var/lib/postgresql").split()) == (known, ["15", "archive"])


def test_failure_beside_leaves_nothing_behind(beside: Procedure) -> None:
    known = sql(DATABASES)
    """One of two names is mistyped: a restore without that table would look like one that has worked."""
    outcome = beside.run(*given(to="latest", database="evidence", tables=["shelf", "shef"], into="nothing"))
    assert outcome.record["outcome"] == "rolled_back"
    assert 'no matching tables were found for pattern "shef"' in " ".join(outcome.output.split())
    assert sql(DATABASES) == known
    assert shell("db1", "ls /var/lib/postgresql").split() == ["15", "archive"]


def test_success_of_a_whole_database_beside(beside: Procedure) -> None:
    outcome = beside.run(*given(to="latest", database="evidence", into="whole"))
    assert outcome.returncode == 0, outcome.output
    tables = "select string_agg(tablename, ' ' order by tablename) from pg_tables where schemaname = 'public'"
    assert sql(tables, database="whole") == sql(tables)
    sql("drop database whole")


def test_success_of_the_way_back_from_a_killed_restore(restore: Procedure, back: Procedure) -> None:
    """The restore is killed when the database is away; going back makes the former one serve again."""
    sql("insert into shelf values (100)")
    killed = restore.killed_at("Recover, and read every row", *given(to="latest"))
    assert killed.killed
    outcome = back.run()
    assert outcome.returncode == 0, outcome.output
    assert sql("select count(*) from shelf where id = 100") == "1"
    assert sql("select timeline_id from pg_control_checkpoint()") == "2"
    again = back.run()
    assert again.record["outcome"] == "refused"
    assert "no restore is unfinished" in again.output
