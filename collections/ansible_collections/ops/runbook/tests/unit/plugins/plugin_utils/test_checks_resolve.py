from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.ops.runbook.plugins.plugin_utils.checks_resolve import merge_layers, resolve, resolve_all
from ansible_collections.ops.runbook.plugins.plugin_utils.checks_values import OptionValueError


def merged(*layers: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The resolved checks by name; the layers have to be without fault."""
    checks, errors = merge_layers((f"layer {number}", layer) for number, layer in enumerate(layers))
    resolved, wrong = resolve_all(checks)
    assert errors + wrong == []
    return {check["name"]: check for check in resolved}


def limits(check: dict[str, Any]) -> dict[str, float]:
    return {f"{limit['aspect']} {limit['level']}".strip(): limit["number"] for limit in check["limits"]}


def test_contributions_add_up() -> None:
    checks = merged({"root": {"disk": "/"}}, {"api": {"tcp": "localhost:80"}})
    assert set(checks) == {"root", "api"}


def test_a_higher_layer_changes_one_key_and_keeps_the_others() -> None:
    checks = merged({"root": {"disk": "/", "warning": "70%"}}, {"root": {"critical": "95%"}})
    assert limits(checks["root"]) == {"warning": 70, "critical": 95}


def test_mappings_within_a_check_are_merged_too() -> None:
    low = {"api": {"http": "http://localhost/", "headers": {"A": "1", "B": "1"}}}
    checks = merged(low, {"api": {"headers": {"B": "2"}}})
    assert checks["api"]["options"]["headers"] == {"A": "1", "B": "2"}


@pytest.mark.parametrize("off", [False, None])
def test_false_and_null_switch_a_check_off(off: object) -> None:
    assert merged({"root": {"disk": "/"}}, {"root": off}) == {}


@pytest.mark.parametrize("on", [True, {"critical": "95%"}])
def test_a_check_can_be_switched_on_again(on: object) -> None:
    assert list(merged({"root": {"disk": "/"}}, {"root": False}, {"root": on})) == ["root"]


def test_the_name_of_a_type_without_subject_is_a_check() -> None:
    assert merged({"memory": "memory"})["memory"]["type"] == "memory"


def test_defaults_are_filled_in() -> None:
    check = resolve("root", {"disk": "/"})
    assert check["options"] == {"subject": "/", "mount": False, "writable": True}
    assert limits(check) == {"warning": 80, "critical": 90}
    assert (check["timeout"], check["remedy"]) == (10, "monitoring-procedures/health-checks#disk")


def test_the_unit_of_a_threshold_chooses_its_quantity() -> None:
    check = resolve("root", {"disk": "/", "warning": "80%", "critical": "1GiB"})
    assert [(limit["value"], limit["falling"]) for limit in check["limits"]] == [
        ("used_percent", False),
        ("free_bytes", True),
    ]


def test_a_plain_number_has_the_unit_of_the_finding() -> None:
    assert limits(resolve("c", {"certificate": "localhost:443", "warning": 30, "critical": 7})) == {
        "warning": 30 * 86400,
        "critical": 7 * 86400,
    }


def test_a_threshold_can_be_switched_off() -> None:
    assert limits(resolve("root", {"disk": "/", "warning": False})) == {"critical": 90}
    assert "lag_bytes warning" not in limits(resolve("r", {"replication": True, "lag_bytes": False}))


def test_aspects_have_thresholds_of_their_own() -> None:
    check = resolve("db", {"postgresql": True, "connections": {"warning": "50%"}})
    assert limits(check)["connections warning"] == 50
    assert limits(check)["connections critical"] == 95


def test_durations_back_and_points_in_time_are_seconds_back() -> None:
    assert resolve("x", {"failed_logins": "24h"})["options"]["subject"] == 86400
    assert resolve("x", {"failed_logins": True})["options"]["subject"] == 86400
    assert resolve("x", {"failed_logins": "2020-01-01T00:00:00+00:00"})["options"]["subject"] > 86400 * 365


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"dsk": "/"}, r"unknown check type 'dsk' \(did you mean 'disk'\?\); known types are certificate, clock, disk"),
        ({"warning": "80%"}, "has no check type; known types are"),
        ({"disk": "/", "http": "http://x/"}, "has the types disk and http; a check has one type"),
        (
            {"disk": "/", "warnin": "80%"},
            r"unknown option 'warnin' \(did you mean 'warning'\?\); options of disk are disk, warn",
        ),
        ({"unit": "cron", "warning": 1}, "unknown option 'warning'"),
        (
            {"disk": "/", "warning": "80ms"},
            "wrong threshold warning: '80ms' is of another unit; it has to be a percentage such as 80% or a size",
        ),
        ({"disk": "/", "warning": "a lot"}, "wrong threshold warning: 'a lot' is not an amount"),
        ({"disk": "/", "warning": "-5%"}, "'-5%' is negative"),
        (
            {"disk": "/", "warning": "95%"},
            r"warning 95 % beyond critical 90 % \(the default\): for space used, .* below",
        ),
        ({"certificate": "h:1", "warning": "7d", "critical": "30d"}, "warning 7 days beyond critical 30 days.* above"),
        (
            {"replication": True, "lag": {"critical": "10MiB"}},
            "wrong threshold lag.critical: '10MiB' is of another unit; it has to be a duration",
        ),
        ({"replication": True, "lag": "10s"}, "has lag: '10s', which is not a mapping of warning and critical"),
        ({"replication": True, "lag": {"warn": "1s"}}, "unknown option lag.warn; known are warning and critical"),
        ({"disk": "relative"}, "disk is 'relative', not an absolute path"),
        ({"disk": True}, "disk is True, not an absolute path"),
        ({"memory": "80%"}, "memory is '80%', not true"),
        ({"tcp": "localhost"}, "tcp is 'localhost', not host:port"),
        ({"http": "localhost/"}, "http is 'localhost/', not an http:// or https:// URL"),
        ({"http": "http://x/", "method": "DELETE"}, "method is 'DELETE', not one of GET, HEAD, OPTIONS, POST"),
        ({"http": "http://x/", "matches": "("}, "matches is '\\(', which is no regular expression"),
        ({"http": "http://x/", "status": "fine"}, "status is 'fine', not a list of whole numbers"),
        ({"disk": "/", "timeout": 0}, "timeout is 0, not a duration"),
        ({"disk": "/", "timeout": "-1s"}, "timeout is '-1s', not a duration"),
        ({"disk": "/", "mount": "perhaps"}, "mount is 'perhaps', not true or false"),
        ({"failed_logins": "2999-01-01"}, "lies in the future"),
        ({"process": "x", "min": "some"}, "min is 'some', not a whole number"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_reason(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionValueError, match=message):
        resolve("x", spec)


def test_an_error_names_the_check_and_who_gave_it() -> None:
    checks, errors = merge_layers(
        [("group app", {"x": {"disk": "/"}}), ("host app1", {"x": {"warnin": 1}}), ("host app1", {"y": 5})]
    )
    assert errors == ["health_checks['y'] (set by host app1) is 5, neither a mapping of options nor false"]
    _unused, wrong = resolve_all(checks)
    assert len(wrong) == 1
    assert wrong[0].startswith("health_checks['x'] (set by group app, host app1) has the unknown option 'warnin'")
