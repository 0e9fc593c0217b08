"""Updates reach every host; check mode says so before; the clients notice nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pytest
from clients import Clients, clients
from genuine_updates import HOSTS, PACKAGES, assert_installed, candidates, make_pending, versions
from interruption import INVENTORIES

from tests.scenario import Outcome, Procedure, Untouched, on_all, same_changes, shell


@dataclass(frozen=True)
class Runs:
    """One platform, looked at in check mode, updated, and looked at again."""

    before: Mapping[str, Mapping[str, str]]
    wanted: Mapping[str, Mapping[str, str]]
    check: Outcome
    touched: Mapping[str, Mapping[str, str]]
    apply: Outcome
    starts: int
    clients: Clients
    again: Outcome


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    procedure = Procedure("maintenance/security_updates", INVENTORIES, tmp_path_factory.mktemp("state"))
    make_pending()
    before, wanted = on_all(versions, HOSTS), on_all(candidates, HOSTS)
    untouched = Untouched.hosts(*HOSTS)
    check = procedure.run("--check", "--diff")
    touched = untouched.changes
    starts = database_starts()
    with clients() as seen:
        apply = procedure.run("--diff")
    starts = database_starts() - starts
    return Runs(before, wanted, check, touched, apply, starts, seen, procedure.run())


def database_starts() -> int:
    """How often the primary has been started."""
    journal = shell("db1", "journalctl --quiet --no-pager --identifier systemd")
    return journal.count("Started postgresql@15-main.service")


def test_success_installs_the_fixed_versions_everywhere(runs: Runs) -> None:
    assert runs.apply.returncode == 0, runs.apply.output
    assert runs.apply.record["outcome"] == "succeeded"
    assert all(runs.before[host][name] != runs.wanted[host][name] for host in HOSTS for name in PACKAGES[host])
    assert_installed()


def test_clients_of_the_proxy_see_no_error(runs: Runs) -> None:
    assert runs.clients.errors == []
    assert runs.clients.bad == {}
    assert runs.clients.answers["GET 200"] > 100
    assert runs.clients.answers["POST 201"] > 50
    count = "select count(*) = count(distinct content) and count(*) = {} from evidence where name = 'loop'"
    query = count.format(len(runs.clients.stored))
    assert shell("db1", f'runuser -u postgres -- psql -XAtqc "{query}" evidence') == "t\n"


def test_primary_is_last_and_alone(runs: Runs) -> None:
    order = [change.host for change in runs.apply.changes if "Install the updates" in change.task]
    assert order[-1] == "db1"
    assert order.index("db2") < order.index("db1")
    assert order[0] == "app1"


def test_primary_is_restarted_only_once(runs: Runs) -> None:
    assert runs.starts == 1


def test_services_run_on_what_was_installed(runs: Runs) -> None:
    assert "15.20" in shell("db1", "runuser -u postgres -- psql -XAtqc 'show server_version'")
    started = shell("proxy1", "journalctl --unit nginx --output cat --no-pager")
    assert "Stopped nginx" not in started.rpartition("Reloaded")[2]


def test_check_mode_predicts_and_touches_nothing(runs: Runs) -> None:
    assert same_changes(runs.check, runs.apply)
    assert runs.touched == {}
    predicted = {(row[0], row[1]): (row[2], row[3]) for row in _table(runs.check, "Would be updated")}
    applied = {(row[0], row[1]): (row[2], row[3]) for row in _table(runs.apply, "Updated")}
    assert predicted == applied
    assert applied == {
        (host, name): (runs.before[host][name], runs.wanted[host][name]) for host in HOSTS for name in PACKAGES[host]
    }


def test_report_names_the_cves(runs: Runs) -> None:
    fixed = {name: int(row[2]) for row in _table(runs.apply, "Fixed") for name in row[0].split(", ")}
    assert {"libssl3", "nginx", "postgresql-15"} <= set(fixed)
    assert min(fixed.values()) > 0
    detail = next(finding["detail"] for finding in runs.apply.findings if finding["host"] == "proxy1")
    assert detail.count("CVE-20") >= max(fixed["nginx"], fixed["libssl3"])
    assert runs.apply.bad == {}


def test_second_run_changes_nothing(runs: Runs) -> None:
    assert runs.again.returncode == 0, runs.again.output
    assert runs.again.changes == ()
    assert "TASK [traffic" not in runs.again.output


def _table(outcome: Outcome, title: str) -> list[list[str]]:
    tables: list[dict[str, list[list[str]]]] = outcome.report["sections"]["tables"]
    return next(table["rows"] for table in tables if table["title"] == title)
