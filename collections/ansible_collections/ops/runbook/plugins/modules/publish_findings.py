# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of ops.runbook.publish_findings; the action plugin of the same name does the work."""

from __future__ import annotations

DOCUMENTATION = r"""
module: publish_findings
short_description: Turn findings into reports
version_added: 0.1.0
description:
  - Prints the findings as a table, worst first, and writes them as C(findings.json), C(junit.xml), C(findings.prom) and
    one self-contained C(report.html) into a folder of its own below the state directory.
  - Runs on the controller and needs no connection to the host. One report covers all hosts, so use O(ignore:run_once).
  - Reports are no part of the managed system, so they are written in check mode too, and the task is never changed.
options:
  findings:
    description:
      - The findings. Each has at least the keys C(check), C(host) and C(status).
      - The status is V(ok), V(warning), V(unknown) or V(critical).
      - A list, or its JSON, which Ansible hands on without looking into it.
    type: raw
    required: true
  procedure:
    description: Path of the playbook below C(playbooks/) without extension, as V(monitoring_procedures/health_checks).
    type: str
    required: true
  title:
    description: Heading of the report. Made from O(procedure) where it is empty.
    type: str
    default: ''
  runbook_url:
    description:
      - Address of the published runbook, to which the report's remedies link.
      - Empty links to the pages' files beside the playbooks, where they are found.
    type: str
    default: ''
  sections:
    description:
      - What else the report shows, as M(ops.runbook.daily_outlook) returns it in C(sections).
      - C(tables) is a list of tables with C(title), C(columns), C(rows) of as many texts each, and perhaps a C(note).
    type: dict
    default: {}
  formats:
    description: What is made. C(findings.json) is always written, because later reports compare themselves with it.
    type: list
    elements: str
    choices: [console, html, junit, prometheus]
    default: [console, html, junit, prometheus]
  directory:
    description: Folder to write into instead of the state directory. The report is then no part of the history.
    type: path
  keep_days:
    description: Reports of the same procedure that are older are deleted, in days. The newest always stays.
    type: int
    default: 90
  textfile_directory:
    description: Folder of node_exporter's textfile collector, which gets a copy of C(findings.prom).
    type: path
  fail_on:
    description:
      - RV(verdict) says why the run has to fail if a finding is this or worse. The task itself does not fail, because
        Ansible prints the whole result of a task that does.
      - V(unknown) is worse than V(warning), because what is unknown may be broken.
      - No finding at all counts as V(unknown).
    type: str
    choices: [warning, unknown, critical, never]
    default: never
author: The ops.runbook authors (@ops-runbook)
"""

EXAMPLES = r"""
- name: Publish what the sweep found
  ops.runbook.publish_findings:
    procedure: monitoring_procedures/health_checks
    findings: "{{ health_check_findings_json }}"
  run_once: true
"""

RETURN = r"""
verdict:
  description: Why the run has to fail, one line a finding; empty if no finding is as bad as O(fail_on).
  returned: success
  type: str
report:
  description: Where the report is and what it says.
  returned: success
  type: dict
  contains:
    path:
      description: The HTML report, or C(findings.json) where none was asked for.
      type: str
      returned: success
    directory:
      description: The report's folder.
      type: str
      returned: success
    worst:
      description: The worst status. V(unknown) where there is no finding at all.
      type: str
      returned: success
    counts:
      description: How many findings there are of each status.
      type: dict
      returned: success
findings:
  description: The findings that are not ok. All of them stand in C(findings.json) in the report's folder.
  returned: success
  type: list
  elements: dict
"""
