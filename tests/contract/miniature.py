"""A small project that keeps every rule, for tests that break one."""

from __future__ import annotations

import subprocess
from pathlib import Path

from ansible_collections.ops.runbook.plugins.plugin_utils.checks import CHECK_TYPES

from tests.contract.rules_pages import ANSWERS, PAGES, SECTIONS

PAGE = "runbook_docs/monitoring-procedures/health-checks.md"
ROLE = "roles/health_check"

_CATALOGUE = """\
chapters:
  "": Operations
  monitoring-procedures: Monitoring
  incident-response: Incidents
  troubleshooting: Troubleshooting
  maintenance: Maintenance
  backup-recovery: Recovery
controls:
  A.8.16: Monitoring activities
planned:
"""

_FRONT_MATTER = """\
---
title: Health checks
summary: Check every host.
kind: read-only
playbook: playbooks/monitoring_procedures/health_checks.yml
scenarios: [health_checks]
roles: [health_check]
approval: none
expected_duration: 10s
impact: None.
alerts: []
owner_role: on-call
controls: [A.8.16]
---
# Health checks
"""

_OBJECTIVES = """\
objectives_contacts:
  on-call: {name: On-call}
objectives_schedule:
  - {task: Sweep, procedure: monitoring-procedures/health-checks, every: 5m, by: on-call}
"""

_SPEC = """\
argument_specs:
  sweep:
    short_description: Run every check.
    options:
      health_check_timeout:
        description: Seconds.
        type: int
        default: 30
"""


def _check_section(name: str) -> str:
    table = f"<!-- generated: check {name} -->\n" if name in CHECK_TYPES else ""
    return f"### {name}\n{' '.join(ANSWERS)}\n{table}"


def _page() -> str:
    bodies = {
        "Run it": "```bash\nansible-playbook playbooks/monitoring_procedures/health_checks.yml\n```",
        "Variables": "`health_check_timeout`\n\n<!-- generated: variables -->",
    }
    sections = [f"## {title}\n\n{bodies.get(title, 'Text.')}\n" for title in SECTIONS]
    checks = "\n".join(_check_section(name) for name in (*CHECK_TYPES, "reachable"))
    return "\n".join([_FRONT_MATTER, *sections[:-1], f"## Check types\n\n{checks}", sections[-1]])


def files() -> dict[str, str]:
    """Path → text of each file of the small project."""
    planned = "".join(
        f"  {name}: {{title: T, summary: S}}\n"
        for name in sorted(PAGES)
        if name != "monitoring-procedures/health-checks"
    )
    return {
        "README.md": "`playbooks/monitoring_procedures/health_checks.yml`\n",
        "requirements.yml": "collections:\n  - {name: ansible.posix, version: 2.2.2}\n",
        "runbook_docs/catalogue.yml": _CATALOGUE + planned,
        PAGE: _page(),
        "playbooks/monitoring_procedures/health_checks.yml": (
            "- hosts: platform\n"
            "  tasks:\n"
            "    - name: Sweep\n"
            "      ansible.builtin.import_role: {name: health_check, tasks_from: sweep}\n"
        ),
        "molecule/health_checks/molecule.yml": "{}\n",
        f"{ROLE}/meta/argument_specs.yml": _SPEC,
        f"{ROLE}/defaults/main.yml": "health_check_timeout: 30\n",
        f"{ROLE}/tasks/sweep.yml": (
            "- name: sweep | Look\n"
            "  ansible.builtin.command: {cmd: 'look {{ health_check_timeout }}'}\n"
            "  register: __health_check_seen\n"
        ),
        "inventories/example/group_vars/all/objectives.yml": _OBJECTIVES,
        "inventories/lab/group_vars/all/objectives.yml": _OBJECTIVES,
        "collections/ansible_collections/ops/runbook/plugins/checks.py": (
            '"""Remedy: monitoring-procedures/health-checks#disk."""\n'
        ),
    }


def write(root: Path, *, changes: dict[str, str | None] | None = None) -> None:
    """Write the small project with files changed, added, or (None) left out, as a git work tree."""
    for name, text in (files() | (changes or {})).items():
        if text is not None:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    subprocess.run(["git", "init", "--quiet", str(root)], check=True)
