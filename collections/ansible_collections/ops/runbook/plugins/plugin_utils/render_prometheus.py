# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Findings as a Prometheus text file, for node_exporter's textfile collector."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ansible_collections.ops.runbook.plugins.module_utils.finding import STATUSES, Finding
from ansible_collections.ops.runbook.plugins.plugin_utils.reports import Report


@dataclass
class _Family:
    """One metric: its help text and its samples."""

    name: str
    text: str
    samples: list[tuple[dict[str, str], float]] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        if not self.samples:
            return
        yield f"# HELP {self.name} {self.text}"
        yield f"# TYPE {self.name} gauge"
        for labels, number in self.samples:
            pairs = ",".join(f'{key}="{_escape(text)}"' for key, text in labels.items())
            yield f"{self.name}{{{pairs}}} {number!r}"


def render(report: Report) -> str:
    """The report's metrics; the same check of a host appears once, with its worst finding."""
    statuses = ", ".join(f"{number} {status}" for number, status in enumerate(STATUSES))
    status = _Family("runbook_finding_status", f"How bad the finding is: {statuses}.")
    observed = _Family("runbook_finding_observed", "What the check measured, in the unit that the label names.")
    duration = _Family("runbook_finding_duration_seconds", "How long the check took.")
    metric = _Family("runbook_finding_metric", "Further numbers of the check; the label's last word is their unit.")
    for finding in _one_per_series(report.findings):
        labels = {"check": finding.check, "host": finding.host, "procedure": report.procedure}
        status.samples.append((labels, STATUSES.index(finding.status)))
        duration.samples.append((labels, float(finding.duration)))
        if isinstance(finding.observed, int | float):
            observed.samples.append(({**labels, "unit": finding.unit}, float(finding.observed)))
        for name, number in sorted(finding.metrics.items()):
            metric.samples.append(({**labels, "metric": name}, float(number)))
    whole = {"procedure": report.procedure}
    run_status = _Family("runbook_run_status", f"The worst finding of the run: {statuses}.")
    run_status.samples.append((whole, STATUSES.index(report.worst)))
    run_time = _Family("runbook_run_timestamp_seconds", "When the findings were published, in Unix time.")
    run_time.samples.append((whole, report.time.timestamp()))
    families = (run_status, run_time, status, observed, duration, metric)
    return "".join(f"{line}\n" for family in families for line in family.lines())


def _one_per_series(findings: Iterable[Finding]) -> list[Finding]:
    """The worst finding of each check and host: node_exporter drops a file that gives a series twice."""
    kept: dict[tuple[str, str], Finding] = {}
    for finding in findings:
        key = (finding.check, finding.host)
        if key not in kept or STATUSES.index(finding.status) > STATUSES.index(kept[key].status):
            kept[key] = finding
    return list(kept.values())


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
