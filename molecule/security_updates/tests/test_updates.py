"""Updates that a service cannot bear are put back; when it can, they reach every host. Clients notice nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from ansible_collections.ops.runbook.plugins.plugin_utils import change_lock
from genuine_updates import (
    HOSTS,
    PACKAGES,
    allow_update,
    assert_installed,
    candidates,
    forbid_update,
    hide_update,
    make_pending,
    versions,
)
from interruption import INVENTORIES

from tests.clients import Clients, clients
from tests.scenario import Outcome, Procedure, Untouched, on_all, same_changes, shell

#: What is updated in the first run, which fails on app2: its whole batch is put back, the canary before it stays.
CANARY, BATCH, REST = ("app1",), ("app2", "proxy1"), ("db1",)


@dataclass(frozen=True)
class Runs:
    """One platform: an update that fails in the middle, its fault removed, check mode, the update, and nothing left."""

    before: Mapping[str, Mapping[str, str]]
    wanted: Mapping[str, Mapping[str, str]]
    failed: Outcome
    put_back: Mapping[str, Mapping[str, str]]
    beyond: Mapping[str, Mapping[str, str]]
    traffic: Mapping[str, str]
    clients_of_failed: Clients
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
    hide_update("app2")
    before, wanted = on_all(versions, HOSTS), on_all(candidates, HOSTS)
    forbid_update("app2")
    untouched = Untouched.hosts(*REST)
    with clients() as seen_of_failed:
        failed = procedure.run("--limit", ",".join((*CANARY, *BATCH, *REST)))
    beyond, put_back = untouched.changes, on_all(versions, HOSTS)
    traffic = json.loads(shell("proxy1", "upstream-state evidence-api"))
    allow_update("app2")
    untouched = Untouched.hosts(*HOSTS)
    check = procedure.run("--check", "--diff")
    touched = untouched.changes
    starts = database_starts()
    with clients() as seen:
        apply = procedure.run("--diff")
    starts = database_starts() - starts
    again = procedure.run()
    return Runs(
        before, wanted, failed, put_back, beyond, traffic, seen_of_failed, check, touched, apply, starts, seen, again
    )


def database_starts() -> int:
    """How often the primary has been started."""
    journal = shell("db1", "journalctl --quiet --no-pager --identifier systemd")
    return journal.count("Started postgresql@15-main.service")


def test_failure_of_a_service_puts_the_whole_batch_back(runs: Runs) -> None:
    assert runs.failed.returncode != 0
    assert runs.failed.record["outcome"] == "rolled_back", runs.failed.output
    assert runs.failed.bad == {(host, "updates"): "critical" for host in BATCH} | {
        (host, "updates"): "warning" for host in REST
    }
    assert "evidence-api.service" in next(f["title"] for f in runs.failed.findings if f["host"] == "app2")
    assert {host: runs.put_back[host] for host in BATCH} == {host: runs.before[host] for host in BATCH}
    back = {(row[0], row[1]): (row[2], row[3]) for row in _table(runs.failed, "Put back")}
    assert back == {
        (host, name): (runs.wanted[host][name], runs.before[host][name]) for host in BATCH for name in PACKAGES[host]
    }
    assert set(runs.traffic.values()) == {"active"}


def test_failure_leaves_batches_before_updated_and_those_behind_untouched(runs: Runs) -> None:
    assert {host: runs.put_back[host] for host in CANARY} == {host: runs.wanted[host] for host in CANARY}
    left = {path for paths in runs.beyond.values() for path in paths}
    assert left <= {str(Path(change_lock.PATH).parent)}, "more than the folder of the lock that was held there"
    assert {change.host for change in runs.failed.changes} == {*CANARY, *BATCH}


def test_success_installs_the_fixed_versions_everywhere(runs: Runs) -> None:
    assert runs.apply.returncode == 0, runs.apply.output
    assert runs.apply.record["outcome"] == "succeeded"
    assert all(runs.before[host][name] != runs.wanted[host][name] for host in HOSTS for name in PACKAGES[host])
    assert_installed()


def test_newer_version_of_another_archive_hides_no_security_update(runs: Runs) -> None:
    shown = shell("app2", "apt-cache policy openssl")
    assert f"Candidate: {runs.wanted['app2']['openssl']}+other1" in shown
    assert f"Installed: {runs.wanted['app2']['openssl']}\n" in shown


def test_clients_of_the_proxy_see_no_error(runs: Runs) -> None:
    for seen in (runs.clients_of_failed, runs.clients):
        assert seen.errors == []
        assert seen.answers["GET 200"] > 100
        assert seen.answers["POST 201"] > 50
    count = "select count(*) = count(distinct content) and count(*) = {} from evidence where name = 'loop'"
    query = count.format(len(runs.clients.stored) + len(runs.clients_of_failed.stored))
    assert shell("db1", f'runuser -u postgres -- psql -XAtqc "{query}" evidence') == "t\n"


def test_primary_is_last_and_alone(runs: Runs) -> None:
    order = _order(runs.failed)
    assert (order[0], {*order[1:]}) == ("app1", {*BATCH})
    order = _order(runs.apply)
    assert (order[0], {*order[1:3]}, order[3:]) == ("app2", {"db2", "proxy1"}, ["db1"])


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
        (host, name): (runs.before[host][name], runs.wanted[host][name])
        for host in (*BATCH, *REST, "db2")
        for name in PACKAGES[host]
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


def _order(outcome: Outcome) -> list[str]:
    return [change.host for change in outcome.changes if "Install the updates" in change.task]


def _table(outcome: Outcome, title: str) -> list[list[str]]:
    tables: list[dict[str, list[list[str]]]] = outcome.report["sections"]["tables"]
    return next(table["rows"] for table in tables if table["title"] == title)
