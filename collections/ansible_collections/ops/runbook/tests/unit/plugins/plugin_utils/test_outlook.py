from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.ops.runbook.plugins.module_utils.finding import Finding
from ansible_collections.ops.runbook.plugins.plugin_utils.outlook import (
    Changes,
    Forecast,
    Limits,
    baseline,
    compare,
    findings,
    forecasts,
    growth_per_day,
    last_asked,
    sample,
)
from ansible_collections.ops.runbook.plugins.plugin_utils.reports import Entry, Report, ReportStore

NOW = datetime(2026, 11, 23, 7, 30, tzinfo=UTC)
MIB, DAY = 2**20, 86400.0


def report(age: float, *found: Finding, procedure: str = "operational_procedures") -> Report:
    return Report(procedure, f"run{age}", NOW - timedelta(days=age), found)


def disk(used: float, host: str = "db1", size: float = 1000, status: str = "ok", **more: Any) -> Finding:
    metrics = {"used_bytes": used * MIB, "free_bytes": (size - used) * MIB, "size_bytes": size * MIB}
    return Finding("/var", host, status, type="disk", metrics={**metrics, **more})


def only(made: Sequence[Forecast]) -> Forecast:
    (forecast,) = made
    return forecast


def test_growth_is_the_slope() -> None:
    assert growth_per_day([(0, 0), (DAY, 10), (2 * DAY, 20)], 20) == pytest.approx(10)


def test_one_odd_day_does_not_sway_the_trend() -> None:
    points = [(day * DAY, 10.0 * day) for day in range(10)]
    points[4] = (4 * DAY, 900.0)
    assert growth_per_day(points, 20) == pytest.approx(10, rel=0.05)


@pytest.mark.parametrize(
    "points",
    [[], [(0, 5)], [(0, 5), (19 * 3600, 6)], [(0, 1), (60, 2), (120, 3)]],
    ids=["none", "one", "near", "burst"],
)
def test_too_little_history_gives_no_trend(points: list[tuple[float, float]]) -> None:
    assert growth_per_day(points, 20) is None


def test_full_file_system_is_foreseen() -> None:
    history = [report(age, disk(900 - 10 * age)) for age in range(10, 0, -1)]
    forecast = only(forecasts(report(0, disk(900)), history, Limits()))
    assert forecast.days_left == pytest.approx(10)
    assert forecast.growth_bytes_per_day == pytest.approx(10 * MIB)
    assert forecast.status == "warning"
    assert forecast.note == "11 reports over 10 days"
    assert len(forecast.points) == 11


@pytest.mark.parametrize(
    ("used", "status"), [(600, "ok"), (701, "warning"), (929, "warning"), (931, "critical"), (1000, "critical")]
)
def test_forecast_crosses_its_thresholds(used: float, status: str) -> None:
    history = [report(age, disk(used - 10 * age)) for age in (3, 2, 1)]
    made = forecasts(report(0, disk(used)), history, Limits())
    assert only(made).status == status
    assert [finding.status for finding in findings(made, Limits())] == ([] if status == "ok" else [status])


def test_finding_of_a_forecast_says_what_to_expect() -> None:
    history = [report(age, disk(900 - 20 * age)) for age in (3, 2, 1)]
    (finding,) = findings(forecasts(report(0, disk(900)), history, Limits()), Limits())
    assert (finding.check, finding.host, finding.type) == ("filesystem outlook: /var", "db1", "outlook")
    assert (finding.observed, finding.unit) == (5.0, "days")
    assert finding.title == "/var on db1 is full in 5 days if it goes on growing as it does"
    assert "grows 20 MiB a day" in finding.detail


def test_without_history_nothing_is_invented() -> None:
    forecast = only(forecasts(report(0, disk(999)), [], Limits()))
    assert (forecast.days_left, forecast.growth_bytes_per_day) == (None, None)
    assert (forecast.note, forecast.status) == ("not enough history", "ok")


@pytest.mark.parametrize("slope", [0, 5])
def test_what_does_not_grow_is_never_full(slope: float) -> None:
    history = [report(age, disk(500 + slope * age)) for age in (3, 2, 1)]
    forecast = only(forecasts(report(0, disk(500)), history, Limits()))
    assert forecast.days_left is None
    assert forecast.note.startswith("not growing")


def test_history_is_that_of_the_same_host_and_check() -> None:
    other = Finding("/srv", "db1", "ok", type="disk", metrics={"used_bytes": 1.0, "size_bytes": 9.0})
    history = [report(2, disk(100, "db2"), other), report(1, Finding("/var", "db1", "ok", metrics={"used_bytes": 1.0}))]
    assert only(forecasts(report(0, disk(100)), history, Limits())).note == "not enough history"


def test_history_of_every_procedure_counts() -> None:
    history = [report(2, disk(800), procedure="monitoring_procedures/health_checks"), report(1, disk(850))]
    assert only(forecasts(report(0, disk(900)), history, Limits())).days_left == pytest.approx(2)


def test_enlarged_file_system_counts_with_its_new_size() -> None:
    history = [report(age, disk(900 - 10 * age)) for age in (3, 2, 1)]
    assert only(forecasts(report(0, disk(900, size=2000)), history, Limits())).days_left == pytest.approx(110)


def grown(used: float, **more: float) -> Finding:
    return Finding("PostgreSQL", "db1", "ok", type="postgresql", metrics={"database_bytes": used * MIB, **more})


def test_database_is_full_when_it_has_used_up_the_space_beside_it() -> None:
    history = [report(2, grown(10)), report(1, grown(20))]
    made = forecasts(report(0, grown(30, free_bytes=50 * MIB)), history, Limits())
    assert only(made).days_left == pytest.approx(5)
    (finding,) = findings(made, Limits())
    assert (finding.check, finding.status) == ("database outlook: PostgreSQL", "critical")
    assert finding.detail.startswith("grows 10 MiB a day; 30 MiB used; 3 reports over")


def test_database_elsewhere_grows_without_an_end_of_its_own() -> None:
    made = forecasts(report(0, grown(30)), [report(2, grown(10)), report(1, grown(20))], Limits())
    assert only(made).growth_bytes_per_day == pytest.approx(10 * MIB)
    assert only(made).days_left is None
    assert findings(made, Limits()) == []


def test_certificates_and_standby_servers_are_listed() -> None:
    certificate = Finding("nginx", "proxy1", "warning", type="certificate", metrics={"left_seconds": 10 * DAY})
    primary = Finding("replication", "db1", "ok", type="replication", metrics={"lag_bytes": 5, "lag_seconds": 0.5})
    standby = Finding("replication", "db2", "ok", type="replication", metrics={"behind_bytes": 7, "behind_seconds": 2})
    made = forecasts(report(0, primary, standby, certificate), [], Limits())
    assert [(forecast.kind, forecast.host) for forecast in made] == [
        ("certificate", "proxy1"), ("replication", "db1"), ("replication", "db2"),
    ]  # fmt: skip
    assert made[0].days_left == pytest.approx(10)
    assert (made[1].now_bytes, made[1].lag_seconds, made[2].now_bytes) == (5, 0.5, 7)
    assert findings(made, Limits()) == []


def test_forecast_survives_json() -> None:
    made = only(forecasts(report(0, disk(900)), [report(1, disk(800))], Limits()))
    assert Forecast.from_dict(made.to_dict()) == made


def entry(age: float, procedure: str = "a") -> Entry:
    return Entry(procedure, NOW - timedelta(days=age), Path(f"{procedure}{age}"))


def test_sample_thins_what_is_more_than_needed() -> None:
    every_five_minutes = [entry(minutes / 1440) for minutes in range(0, 40 * 1440, 5)]
    kept = sample(every_five_minutes, NOW, 30)
    assert 38 <= len(kept) <= 41
    assert kept == sorted(kept, key=lambda one: one.time)
    assert (NOW - kept[0].time).days in (29, 30)


def test_sample_keeps_the_few() -> None:
    few = [entry(age) for age in (29, 3, 1)]
    assert sample([*few, entry(31), entry(-1)], NOW, 30) == few


def stored(tmp_path: Path, *reports: Report) -> list[Entry]:
    store = ReportStore(tmp_path)
    for one in reports:
        store.write(one, {})
    return store.entries()


def test_comparison_is_with_the_last_report_from_before_today(tmp_path: Path) -> None:
    entries = stored(tmp_path, report(2, disk(1)), report(1, disk(1)), report(0.01, disk(1)))
    chosen = baseline(entries, NOW, ["db1"])
    assert [one.time for one in chosen] == [NOW - timedelta(days=1)]


def test_comparison_is_with_today_where_there_is_nothing_older(tmp_path: Path) -> None:
    entries = stored(tmp_path, report(0.02, disk(1)), report(0.01, disk(1)))
    assert [one.time for one in baseline(entries, NOW, ["db1"])] == [NOW - timedelta(days=0.01)]
    assert baseline([], NOW, ["db1"]) == []


def test_limited_run_does_not_hide_the_other_hosts(tmp_path: Path) -> None:
    entries = stored(tmp_path, report(3, disk(1, "db1"), disk(1, "db2")), report(2, disk(1)), report(1, disk(1)))
    chosen = baseline(entries, NOW, ["db1", "db2"])
    assert [one.time for one in chosen] == [NOW - timedelta(days=1), NOW - timedelta(days=3)]


def state(check: str, status: str, host: str = "db1", kind: str = "") -> Finding:
    return Finding(check, host, status, title=f"{check} is {status}", type=kind)


@pytest.mark.parametrize(
    ("then", "now", "group"),
    [
        ("ok", "critical", "new"),
        ("", "warning", "new"),
        ("warning", "critical", "worse"),
        ("warning", "unknown", "worse"),
        ("critical", "warning", "better"),
        ("warning", "ok", "resolved"),
        ("critical", "critical", "standing"),
        ("critical", "", "unobserved"),
        ("ok", "ok", ""),
        ("ok", "", ""),
        ("", "ok", ""),
    ],
)
def test_change_is_told_by_its_group(then: str, now: str, group: str) -> None:
    before = [state("always", "ok"), *([state("api", then)] if then else [])]
    after = [state("always", "ok"), *([state("api", now)] if now else [])]
    changes = compare(after, [report(1, *before)]).to_dict()
    found = {name: items for name, items in changes.items() if name != "since" and items}
    assert list(found) == ([group] if group else [])
    if group:
        assert found[group] == [
            {"host": "db1", "check": "api", "status": now, "was": then, "title": f"api is {now or then}"}
        ]


def test_forecast_that_no_longer_crosses_is_resolved() -> None:
    earlier = report(1, state("always", "ok"), state("filesystem outlook: /var", "warning", kind="outlook"))
    changes = compare([state("always", "ok")], [earlier])
    assert [change.check for change in changes.resolved] == ["filesystem outlook: /var"]
    assert changes.unobserved == ()


def test_hosts_outside_the_run_are_not_compared() -> None:
    changes = compare([state("api", "ok")], [report(1, state("api", "critical", "db2"), state("api", "ok"))])
    assert changes == Changes(since=(NOW - timedelta(days=1)).isoformat())


def test_each_host_is_compared_with_its_newest_report() -> None:
    newest, older = report(1, state("api", "ok")), report(2, state("api", "critical"), state("api", "critical", "db2"))
    changes = compare([state("api", "critical"), state("api", "critical", "db2")], [newest, older])
    assert [change.host for change in changes.new] == ["db1"]
    assert [change.host for change in changes.standing] == ["db2"]


def test_first_report_has_nothing_to_compare() -> None:
    assert compare([state("api", "critical")], []) == Changes()


def test_changes_survive_json() -> None:
    changes = compare([state("api", "critical")], [report(1, state("api", "ok"))])
    assert Changes.from_dict(changes.to_dict()).to_dict() == changes.to_dict()


def looked(host: str, asked: datetime | None = None, **statuses: str) -> list[Finding]:
    """What a sweep finds on a host that it reaches, with the status of each check type."""
    metrics = {"asked_timestamp_seconds": asked.timestamp()} if asked else {}
    reached = Finding("reachable", host, "ok", type="reachable", metrics=metrics)
    return [reached, *(Finding(kind, host, status, type=kind) for kind, status in statuses.items())]


def test_each_host_was_asked_when_it_last_answered() -> None:
    began = NOW - timedelta(days=2, minutes=5)
    both = {"failed_logins": "ok", "sudo_use": "warning"}
    lost = Finding("reachable", "app2", "critical", type="reachable")
    newest_first = [
        report(0, *looked("app1", NOW, failed_logins="unknown", sudo_use="ok"), lost),
        report(1, *looked("app1", NOW - timedelta(days=1, minutes=1), **both)),
        report(2, *looked("app1", began, **both), *looked("app2", began, **both)),
    ]
    wanted = [(host, kind) for host in ("app1", "app2", "app3") for kind in both]
    assert last_asked(newest_first, wanted) == {
        ("app1", "failed_logins"): NOW - timedelta(days=1, minutes=1),
        ("app1", "sudo_use"): NOW,
        ("app2", "failed_logins"): began,
        ("app2", "sudo_use"): began,
    }


def test_no_older_report_is_read_than_has_to_be() -> None:
    def reports() -> Iterator[Report]:
        yield report(1, *looked("app1", sudo_use="ok"))
        raise AssertionError

    assert last_asked(reports(), [("app1", "sudo_use")]) == {("app1", "sudo_use"): NOW - timedelta(days=1)}
