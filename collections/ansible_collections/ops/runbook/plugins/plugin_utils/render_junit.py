# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Findings as JUnit XML, which CI systems show as test results."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from ansible_collections.ops.runbook.plugins.module_utils.finding import Finding
from ansible_collections.ops.runbook.plugins.plugin_utils.render_text import value
from ansible_collections.ops.runbook.plugins.plugin_utils.reports import Report

#: Characters that XML 1.0 cannot hold, not even escaped.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(report: Report) -> str:
    """One suite a host, one case a check. Warnings pass with a note, as they pass the run."""
    root = ET.Element("testsuites", _counts(report.findings) | {"name": _clean(report.title or report.procedure)})
    for host in report.hosts:
        findings = [finding for finding in report.findings if finding.host == host]
        stamp = report.time.isoformat(timespec="seconds")
        suite = ET.SubElement(root, "testsuite", _counts(findings) | {"name": _clean(host), "timestamp": stamp})
        for finding in findings:
            _case(suite, finding, report.procedure)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _case(suite: ET.Element, finding: Finding, procedure: str) -> None:
    name = f"{procedure.replace('/', '.')}.{finding.host}"
    attributes = {"name": _clean(finding.check), "classname": _clean(name), "time": f"{finding.duration:.3f}"}
    case = ET.SubElement(suite, "testcase", attributes)
    if finding.status == "ok":
        return
    told = _clean(_explanation(finding))
    if finding.status == "warning":
        ET.SubElement(case, "system-out").text = f"warning: {told}"
        return
    element = "error" if finding.status == "unknown" else "failure"
    message = _clean(finding.title or finding.check)
    ET.SubElement(case, element, {"message": message, "type": finding.status}).text = told


def _explanation(finding: Finding) -> str:
    lines = [finding.title, f"observed {value(finding.observed, finding.unit)}", finding.detail]
    if finding.expected:
        lines[1] += f", expected {finding.expected}"
    if finding.remedy:
        lines.append(f"remedy: {finding.remedy}")
    return "\n".join(line for line in lines if line)


def _counts(findings: tuple[Finding, ...] | list[Finding]) -> dict[str, str]:
    statuses = [finding.status for finding in findings]
    return {
        "tests": str(len(statuses)),
        "failures": str(statuses.count("critical")),
        "errors": str(statuses.count("unknown")),
        "time": f"{sum(finding.duration for finding in findings):.3f}",
    }


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)
