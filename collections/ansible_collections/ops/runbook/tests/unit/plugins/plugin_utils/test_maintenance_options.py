from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.ops.runbook.plugins.plugin_utils.maintenance_options import Options

ROLE = Path(__file__).resolve().parents[8] / "roles/routine_maintenance"
RELEASE = {"path": "/opt/api/releases", "current": "/opt/api/current"}


def given(**changed: Any) -> dict[str, Any]:
    """The role's defaults, with some of them changed."""
    defaults: dict[str, Any] = yaml.safe_load((ROLE / "defaults/main.yml").read_text(encoding="utf-8"))
    defaults |= {"routine_maintenance_log_promise": "400d", "routine_maintenance_log_keep": "400d"}
    return defaults | {f"routine_maintenance_{name}": value for name, value in changed.items()}


def refusals(**changed: Any) -> list[str]:
    options = Options(given(**changed))
    options.job({})
    options.thresholds()
    return options.errors


def test_defaults_are_accepted() -> None:
    options = Options(given(releases={"api": {**RELEASE, "keep": 2}}))
    job = options.job({"*": "restart"})
    assert options.errors == []
    assert job["areas"]["temporary"]["paths"] == {"/tmp": 864000.0, "/var/tmp": 2592000.0}
    assert job["areas"]["releases"]["applications"]["api"]["keep"] == 2
    assert job["areas"]["logs"]["keep"] == 400 * 86400
    assert job["observe"] == {"restarts": {"*": "restart"}, "reboot": {}}
    assert job["paths"] == ["/", "/opt/api/releases", "/tmp", "/var/cache/apt/archives", "/var/log", "/var/tmp"]


def test_only_the_chosen_areas_are_looked_at() -> None:
    job = Options(given(areas=["logs", "reboot"])).job({})
    assert (list(job["areas"]), list(job["observe"])) == (["logs"], ["reboot"])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"temporary": {"/tmp": "-1d"}}, "routine_maintenance_temporary['/tmp'] is -1d; it is more than 0"),
        ({"temporary": {"/tmp": "0d"}}, "routine_maintenance_temporary['/tmp'] is 0d"),
        ({"temporary": {"/tmp": 10}}, "routine_maintenance_temporary['/tmp'] is wrong: 10 has no unit"),
        ({"temporary": {"/tmp": "10MiB"}}, "routine_maintenance_temporary['/tmp'] is wrong"),
        ({"releases_keep": 0}, "routine_maintenance_releases_keep keeps 0 releases"),
        ({"releases": {"api": {**RELEASE, "keep": 0}}}, "routine_maintenance_releases['api'] keeps 0 releases"),
        ({"releases": {"api": {**RELEASE, "keep": "all"}}}, "routine_maintenance_releases['api'] keeps all releases"),
        ({"releases": {"api": {"path": "/opt/api/releases"}}}, "routine_maintenance_releases['api'] is no mapping"),
        ({"releases": {"api": {**RELEASE, "kep": 3}}}, "routine_maintenance_releases['api'] has the unknown key kep"),
        ({"log_keep": "399d"}, "routine_maintenance_log_keep is 399 days, shorter than the 400 days"),
        ({"log_keep": "-1d"}, "routine_maintenance_log_keep is -1d; it is more than 0"),
        ({"journal_size": "0B"}, "routine_maintenance_journal_size is 0B; it is more than 0"),
        ({"areas": ["logs", "reboots"]}, "routine_maintenance_areas names 'reboots' (did you mean 'reboot'?)"),
        ({"postgresql_rows": 0}, "routine_maintenance_postgresql_rows is 0; it is at least 1"),
        ({"wraparound_warning": "-5%"}, "routine_maintenance_wraparound_warning is -5%"),
    ],
)
def test_wrong_values_are_named(changed: dict[str, Any], message: str) -> None:
    errors = refusals(**changed)
    assert len(errors) == 1
    assert errors[0].startswith(message)


@pytest.mark.parametrize(
    "path",
    ["/", "/var", "/etc", "/var/lib/postgresql", "/var/log/../lib", "relative", "/tmp/", "/opt", "/home", "//tmp", ""],
)
@pytest.mark.parametrize("option", ["temporary", "log_paths", "releases"])
def test_paths_outside_the_roots_are_refused(option: str, path: str) -> None:
    value: dict[str, Any] = {
        "temporary": {path: "10d"},
        "log_paths": [path],
        "releases": {"api": {**RELEASE, "path": path}},
    }
    errors = refusals(**{option: value[option]})
    assert len(errors) == 1
    assert errors[0].startswith(f"routine_maintenance_{option}")
    assert f"names {path}, which is no folder below" in errors[0]


@pytest.mark.parametrize("root", ["/", "/var", "/usr", "/var/lib", "/var/lib/postgresql", "/etc", "tmp", "/opt/.."])
def test_no_variable_opens_the_system(root: str) -> None:
    errors = refusals(roots=["/tmp", "/var/tmp", "/var/log", root])
    assert errors == [
        f"routine_maintenance_roots names {root}, which no maintenance may clean; name folders for left-overs only"
    ]
