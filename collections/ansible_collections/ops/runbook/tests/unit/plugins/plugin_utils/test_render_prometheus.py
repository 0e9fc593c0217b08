from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime

from ansible_collections.ops.runbook.plugins.module_utils.finding import Finding
from ansible_collections.ops.runbook.plugins.plugin_utils.render_prometheus import render
from ansible_collections.ops.runbook.plugins.plugin_utils.reports import Report

FULL = Finding(
    "root filesystem", "db1", "critical", observed=97.0, unit="%", duration=0.25, metrics={"used_bytes": 5e9}
)
REPORT = Report(
    "operational_procedures", "r", datetime(2026, 11, 23, 7, 30, tzinfo=UTC), (FULL, Finding("clock", "app1", "ok"))
)
#: A sample as Prometheus reads it: label values in which every quote and backslash is escaped.
SAMPLE = re.compile(r'[a-z_]+\{([a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)+\} (?:-?[0-9.e+-]+|inf|nan)')


def samples(report: Report) -> list[str]:
    return [line for line in render(report).splitlines() if not line.startswith("#")]


def test_status_is_a_number() -> None:
    made = samples(REPORT)
    labels = 'check="root filesystem",host="db1",procedure="operational_procedures"'
    assert f"runbook_finding_status{{{labels}}} 3" in made
    assert f'runbook_finding_observed{{{labels},unit="%"}} 97.0' in made
    assert f"runbook_finding_duration_seconds{{{labels}}} 0.25" in made
    assert f'runbook_finding_metric{{{labels},metric="used_bytes"}} 5000000000.0' in made
    assert 'runbook_run_status{procedure="operational_procedures"} 3' in made
    assert f'runbook_run_timestamp_seconds{{procedure="operational_procedures"}} {REPORT.time.timestamp()!r}' in made


def test_each_family_is_declared_once_before_its_samples() -> None:
    lines = render(REPORT).splitlines()
    declared = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(declared) == len(set(declared))
    for name in declared:
        block = [number for number, line in enumerate(lines) if line.startswith(f"{name}{{")]
        assert block == list(range(lines.index(f"# TYPE {name} gauge") + 1, block[-1] + 1))
    assert render(REPORT).endswith("\n")


def test_labels_are_escaped() -> None:
    evil = replace(FULL, check='a"b\\c\nd', host="h{x=1}", unit='"')
    made = samples(replace(REPORT, findings=(evil,)))
    assert any(r'check="a\"b\\c\nd"' in line for line in made)
    assert all(SAMPLE.fullmatch(line) for line in made), made


def test_a_series_is_given_once_with_its_worst() -> None:
    """node_exporter drops the whole file otherwise."""
    twice = (replace(FULL, status="ok"), FULL, replace(FULL, status="warning"))
    made = [line for line in samples(replace(REPORT, findings=twice)) if line.startswith("runbook_finding_status")]
    assert len(made) == 1
    assert made[0].endswith(" 3")


def test_words_are_no_numbers() -> None:
    made = samples(replace(REPORT, findings=(replace(FULL, observed="failed"),)))
    assert not [line for line in made if line.startswith("runbook_finding_observed")]
