# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of ops.runbook.daily_outlook; the action plugin of the same name does the work."""

from __future__ import annotations

DOCUMENTATION = r"""
module: daily_outlook
short_description: Compare findings with earlier reports, and look ahead
version_added: 0.1.0
description:
  - Without O(findings) it tells when each host was last asked what had happened, so that checks can look back as far.
  - With O(findings) it compares them with the newest report from before today, or else with the last one, and forecasts
    from the reports of all procedures when file systems are full.
  - A forecast that crosses a threshold becomes a finding. Where there are not enough reports, nothing is forecast.
  - Runs on the controller, needs no connection to the host, changes nothing. Use O(ignore:run_once).
  - The results are variables of every host of the play.
  - Without O(findings) that is C(daily_outlook_since), which has for each host of the play the keys C(failed_logins)
    and C(sudo_use). Each is the ISO 8601 time at which the procedure last asked the host and got an answer to a check
    of this type, or O(first_window). A run that was limited to other hosts, or did not reach the host, does not count.
  - With O(findings) those are C(daily_outlook_findings), the findings given and those that forecasts made, and
    C(daily_outlook_sections), the keys C(changes) and C(forecasts) for M(ops.runbook.publish_findings).
options:
  procedure:
    description: Path of the playbook below C(playbooks/) without extension, whose earlier reports are compared.
    type: str
    required: true
  findings:
    description: The findings of all hosts, as the sweep returned them.
    type: list
    elements: dict
  first_window:
    description: What C(daily_outlook_since) has for a host of which no report tells, a duration such as V(24h).
    type: str
    default: 24h
  warning_days:
    description: A file system that is full in fewer days is a warning.
    type: float
    default: 30
  critical_days:
    description: A file system that is full in fewer days is critical.
    type: float
    default: 7
  window_days:
    description: How many days of reports a trend is drawn through.
    type: float
    default: 30
author: The ops.runbook authors (@ops-runbook)
"""

EXAMPLES = r"""
- name: Find out when each host was last asked
  ops.runbook.daily_outlook:
    procedure: operational_procedures
  run_once: true

- name: Compare with it, and look ahead
  ops.runbook.daily_outlook:
    procedure: operational_procedures
    findings: "{{ health_check_findings_json }}"
  run_once: true
"""

RETURN = r"""
"""
