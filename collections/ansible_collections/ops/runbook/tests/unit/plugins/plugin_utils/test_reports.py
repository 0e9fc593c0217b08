from __future__ import annotations

import json
import stat
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from ansible_collections.ops.runbook.plugins.module_utils.finding import Finding
from ansible_collections.ops.runbook.plugins.plugin_utils.reports import (
    Report,
    ReportError,
    ReportStore,
    natural,
    parse_findings,
    parse_time,
    reading_order,
    write_atomically,
)

NOW = datetime(2026, 11, 23, 7, 30, tzinfo=UTC)
REPORT = Report(
    procedure="monitoring_procedures/health_checks",
    run_id="5f0c2b9e",
    time=NOW,
    findings=(Finding("disk", "app1", "warning", metrics={"used_bytes": 5.0}), Finding("disk", "db1", "ok")),
    title="Health checks",
)


def test_report_survives_the_store(tmp_path: Path) -> None:
    store = ReportStore(tmp_path)
    folder = store.write(REPORT, {"report.html": "<!doctype html>"})
    assert folder == tmp_path / "reports/monitoring_procedures/health_checks/20261123T073000Z-5f0c2b9e"
    assert (folder / "report.html").read_text(encoding="utf-8") == "<!doctype html>"
    (entry,) = store.entries("monitoring_procedures/health_checks")
    assert entry.load() == REPORT
    assert entry.time == NOW


def test_findings_json_says_what_is_in_it(tmp_path: Path) -> None:
    data = json.loads((ReportStore(tmp_path).write(REPORT, {}) / "findings.json").read_text(encoding="utf-8"))
    assert data["schema"] == 1
    assert data["time"] == "2026-11-23T07:30:00+00:00"
    assert data["worst"] == "warning"
    assert data["counts"] == {"ok": 1, "warning": 1, "unknown": 0, "critical": 0}
    assert [finding["host"] for finding in data["findings"]] == ["app1", "db1"]


def test_pointer_names_the_newest(tmp_path: Path) -> None:
    store = ReportStore(tmp_path)
    store.write(REPORT, {})
    newest = store.write(replace(REPORT, time=NOW + timedelta(hours=1), run_id="second"), {})
    pointer = newest.parent / "latest.json"
    assert json.loads(pointer.read_text(encoding="utf-8"))["path"] == newest.name
    last = store.last(REPORT.procedure)
    assert last is not None
    assert last.path == newest


def test_reports_are_not_for_everybody(tmp_path: Path) -> None:
    """They name people who logged in."""
    folder = ReportStore(tmp_path).write(REPORT, {})
    assert stat.S_IMODE(folder.stat().st_mode) & 0o007 == 0
    assert stat.S_IMODE((folder / "findings.json").stat().st_mode) == 0o640


def test_second_report_within_a_second_gets_a_folder_of_its_own(tmp_path: Path) -> None:
    store = ReportStore(tmp_path)
    folders = [store.write(replace(REPORT, run_id=run), {}) for run in ("b", "a", "c", "a")]
    assert len(set(folders)) == 4
    assert [entry.path for entry in store.entries()] == folders


def test_run_id_cannot_leave_the_store(tmp_path: Path) -> None:
    folder = ReportStore(tmp_path).write(replace(REPORT, run_id="../../../etc"), {})
    assert folder.parent == tmp_path / "reports/monitoring_procedures/health_checks"


@pytest.mark.parametrize("procedure", ["", "../etc", "/etc", "a/../b", "maintenance/Updates", "a//b", "a.yml"])
def test_procedure_is_a_path_below_playbooks(procedure: str) -> None:
    with pytest.raises(ReportError, match="path of a playbook below playbooks/"):
        replace(REPORT, procedure=procedure)


def test_entries_of_all_procedures_come_oldest_first(tmp_path: Path) -> None:
    store = ReportStore(tmp_path)
    store.write(REPORT, {})
    store.write(replace(REPORT, procedure="operational_procedures", time=NOW - timedelta(days=1)), {})
    store.write(replace(REPORT, time=NOW - timedelta(days=2)), {})
    found = [(entry.procedure, entry.time) for entry in store.entries()]
    assert found == [
        ("monitoring_procedures/health_checks", NOW - timedelta(days=2)),
        ("operational_procedures", NOW - timedelta(days=1)),
        ("monitoring_procedures/health_checks", NOW),
    ]
    assert store.entries("nothing") == []
    assert store.last("nothing") is None


def test_half_written_folder_is_no_report(tmp_path: Path) -> None:
    """What a killed run leaves behind does not disturb the next one."""
    store = ReportStore(tmp_path)
    scratch = tmp_path / "reports/operational_procedures/.new-x/20261123T073000Z-5f0c2b9e"
    scratch.mkdir(parents=True)
    store.write(replace(REPORT, procedure="operational_procedures"), {})
    assert len(store.entries("operational_procedures")) == 1


def test_prune_deletes_what_is_older_than_the_retention(tmp_path: Path) -> None:
    store = ReportStore(tmp_path)
    for age in (200, 91, 89, 0):
        store.write(replace(REPORT, time=NOW - timedelta(days=age)), {})
    assert len(store.prune(REPORT.procedure, 90, NOW)) == 2
    assert [(NOW - entry.time).days for entry in store.entries()] == [89, 0]


def test_prune_never_deletes_the_newest(tmp_path: Path) -> None:
    store = ReportStore(tmp_path)
    for age in (400, 300):
        store.write(replace(REPORT, time=NOW - timedelta(days=age)), {})
    store.prune(REPORT.procedure, 0, NOW)
    assert [(NOW - entry.time).days for entry in store.entries()] == [300]


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"schema": 2}', '{"schema": 1}', '{"schema": 1, "procedure": "a", "run_id": "", "time": "x"}'],
)
def test_broken_report_is_named(tmp_path: Path, text: str) -> None:
    store = ReportStore(tmp_path)
    file = store.write(REPORT, {}) / "findings.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ReportError, match=str(file)):
        store.entries()[0].load()


def test_finding_that_is_none_is_named_by_its_place() -> None:
    good = {"check": "disk", "host": "app1", "status": "ok"}
    with pytest.raises(ReportError, match=r"Finding 2 is not a finding: .*'broken'.* It needs the keys check, host"):
        parse_findings([good, {**good, "status": "broken"}])
    with pytest.raises(ReportError, match="Finding 1"):
        parse_findings([{**good, "colour": "red"}])


def test_report_without_findings_is_unknown() -> None:
    assert replace(REPORT, findings=()).worst == "unknown"


def test_natural_order() -> None:
    assert sorted(["app10", "app2", "db1", "10.0.0.2", "10.0.0.10", "app"], key=natural) == [
        "10.0.0.2", "10.0.0.10", "app", "app2", "app10", "db1",
    ]  # fmt: skip


def test_reading_order_is_worst_first() -> None:
    made = [Finding("a", host, status) for host, status in (("n10", "ok"), ("n10", "critical"), ("n2", "critical"))]
    assert [(f.host, f.status) for f in reading_order(made)] == [("n2", "critical"), ("n10", "critical"), ("n10", "ok")]


def test_time_without_zone_is_utc() -> None:
    assert parse_time("2026-11-23T07:30:00") == NOW
    assert parse_time("2026-11-23T08:30:00+01:00") == NOW


def test_atomic_write_leaves_the_old_text_when_it_fails(tmp_path: Path) -> None:
    file = tmp_path / "latest.json"
    write_atomically(file, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(file, "\ud800")
    assert file.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [file]
