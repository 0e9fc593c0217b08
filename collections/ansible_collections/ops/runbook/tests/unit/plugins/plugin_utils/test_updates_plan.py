"""Order, batches and refusals of an update."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.ops.runbook.plugins.plugin_utils import updates_plan
from ansible_collections.ops.runbook.plugins.plugin_utils.updates_plan import Host, batches

UPDATES = ({"name": "openssl", "from": "1", "to": "2"},)
PRIMARY = ({"cluster": "15/main", "role": "primary", "lag_bytes": 0, "transaction_seconds": 0},)
STANDBY = ({"cluster": "15/main", "role": "standby", "lag_bytes": 0, "transaction_seconds": 0},)
PLATFORM = (
    Host("proxy1", updates=UPDATES),
    Host("app1", "api", updates=UPDATES),
    Host("app2", "api", updates=UPDATES),
    Host("db1", updates=UPDATES, databases=PRIMARY),
    Host("db2", updates=UPDATES, databases=STANDBY),
)
OPTIONS: dict[str, Any] = {
    "security_updates_batch": 1,
    "security_updates_refresh_timeout": 60,
    "security_updates_timeout": 900,
    "security_updates_keep_days": 0,
    "security_updates_replication_lag": 10,
    "security_updates_transaction_age": 15,
    "security_updates_database_wait": 0,
    "security_updates_expected_minutes": 15,
    "security_updates_canary": [],
    "security_updates_only": [],
    "security_updates_exclude": [],
}


def test_standby_before_primary_and_primary_alone() -> None:
    assert batches(PLATFORM, [], 5) == [["proxy1"], ["app1"], ["app2", "db2"], ["db1"]]


def test_nothing_is_changed_together_with_a_primary() -> None:
    others = [Host(name, updates=UPDATES) for name in ("cache1", "web1")]
    assert batches([*others, PLATFORM[3]], [], 5) == [["cache1"], ["web1"], ["db1"]]


def test_canary_is_first_and_alone() -> None:
    assert batches(PLATFORM, ["app2"], 5)[0] == ["app2"]
    assert batches(PLATFORM, ["app2", "proxy1"], 5)[:2] == [["proxy1"], ["app2"]]


def test_a_primary_is_no_canary() -> None:
    assert batches(PLATFORM, ["db1"], 5)[-1] == ["db1"]
    assert batches([PLATFORM[3], PLATFORM[4]], [], 5) == [["db2"], ["db1"]]


def test_never_more_than_half_of_a_tier() -> None:
    hosts = [Host(f"app{number}", "api", updates=UPDATES) for number in range(6)]
    made = batches(hosts, [], 5)
    assert [len(batch) for batch in made] == [1, 3, 2]
    pair = [Host(f"app{number}", "api", updates=UPDATES) for number in range(2)]
    assert batches(pair, ["app0"], 5) == [["app0"], ["app1"]]


def test_hosts_without_work_count_for_their_tier_and_are_left_out() -> None:
    hosts = [Host(f"app{number}", "api", updates=UPDATES if number < 3 else ()) for number in range(4)]
    assert batches(hosts, [], 5) == [["app0"], ["app1", "app2"]]


def test_an_interrupted_host_has_work() -> None:
    assert batches([Host("app1", interrupted=True), Host("app2")], [], 2) == [["app1"]]


def test_what_was_interrupted_is_finished_first_and_alone() -> None:
    half = [Host("app2", "api", interrupted=True), Host("proxy1", updates=UPDATES, interrupted=True)]
    assert batches([PLATFORM[1], *half], ["app1"], 5) == [["app2"], ["proxy1"], ["app1"]]
    primary = Host("db1", updates=UPDATES, databases=PRIMARY, interrupted=True)
    assert batches([primary, PLATFORM[4], half[0]], [], 5) == [["app2"], ["db2"], ["db1"]]


def test_hosts_that_are_entered_or_locked_are_locked_with_their_proxies() -> None:
    hosts = [
        Host("app1", updates=UPDATES, proxies=("proxy1",)),
        Host("app2", proxies=("proxy2",)),
        Host("app3", locked=True, proxies=("proxy1", "proxy3")),
    ]
    assert updates_plan.to_lock(hosts) == ["app1", "app3", "proxy1", "proxy3"]
    assert updates_plan.to_lock([hosts[1]]) == []


def test_nothing_to_do() -> None:
    assert batches([Host("app1")], [], 2) == []


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_no_batch_is_too_large_and_none_is_lost(size: int) -> None:
    hosts = [Host(f"h{number}", updates=UPDATES) for number in range(9)]
    made = batches(hosts, [], size)
    assert sorted(name for batch in made for name in batch) == sorted(host.name for host in hosts)
    assert max(len(batch) for batch in made[1:]) <= size


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"security_updates_batch": 0}, "security_updates_batch is 0"),
        ({"security_updates_timeout": -3}, "security_updates_timeout is -3"),
        ({"traffic_timeout": -1}, "traffic_timeout is -1"),
        ({"security_updates_canary": ["app9"]}, "security_updates_canary names 'app9'"),
        ({"service_restart_methods": {"x.service": "kill"}}, "service_restart_methods: 'x.service' has 'kill'"),
        ({"security_updates_only": ["a"], "security_updates_exclude": ["a"]}, "both name 'a'"),
    ],
)
def test_wrong_options_name_their_variable(changes: dict[str, Any], said: str) -> None:
    errors = updates_plan.wrong_options({**OPTIONS, **changes}, ["app1"])
    assert len(errors) == 1
    assert said in errors[0]


def test_good_options() -> None:
    assert updates_plan.wrong_options(OPTIONS, ["app1"]) == []


def test_a_package_is_unknown_where_no_host_knows_it() -> None:
    options = {"app1": {**OPTIONS, "security_updates_exclude": ["nginxx", "nginx"]}, "proxy1": OPTIONS}
    some = {"app1": {"unknown": ["nginx"]}, "proxy1": {"unknown": []}}
    assert updates_plan.unknown_packages(some, options) == []
    every = {"app1": {"unknown": ["nginxx"]}, "proxy1": {"unknown": ["nginxx"]}, "db1": {"error": "lost"}}
    assert updates_plan.unknown_packages(every, options) == [
        "security_updates_exclude names 'nginxx', which is a package of no host"
    ]


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({}, ""),
        ({"lag_bytes": 11 * 2**20}, "replication is 11.0 MiB behind, at most 10 MiB"),
        ({"transaction_seconds": 16}, "a transaction is 16 s old, at most 15 s"),
        ({"error": "refused"}, "cannot be asked: refused"),
    ],
)
def test_busy_databases(state: dict[str, Any], said: str) -> None:
    host = Host("db1", updates=UPDATES, databases=({**PRIMARY[0], **state},))
    reasons = updates_plan.busy(host, OPTIONS)
    assert said in "".join(reasons)
    assert bool(reasons) is bool(said)
    assert updates_plan.busy(Host("db1", databases=host.databases), OPTIONS) == []
