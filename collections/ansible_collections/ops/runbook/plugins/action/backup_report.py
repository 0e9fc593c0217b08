# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of ops.runbook.backup_report; the module of the same name documents it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase, VariableLayer
from ansible_collections.ops.runbook.plugins.module_utils.backup_basics import amount, span
from ansible_collections.ops.runbook.plugins.module_utils.finding import Finding

#: What the tasks of the roles register, and what their backups are of.
RESULTS = {"__database_backup_made": "database", "__file_backup_made": "files"}


class ActionModule(ActionBase):  # type: ignore[misc]
    """Makes the report's findings and tables of what the programs on the hosts said."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Set the variables that the report is made of."""
        super().run(tmp, task_vars)
        self.validate_argument_spec(argument_spec={})
        variables = task_vars or {}
        findings: list[Finding] = []
        made: list[list[str]] = []
        for host in variables["ansible_play_hosts_all"]:
            known = variables["hostvars"][host]
            for name, what in RESULTS.items():
                result: Mapping[str, Any] = known.get(name) or {}
                findings += [Finding.from_dict({**each, "host": host}) for each in result.get("findings") or ()]
                if self._task.check_mode and result.get("name") and not result.get("findings"):
                    # The program that would say more is not installed yet.
                    findings.append(Finding(f"backup of {what}", host, "ok", "to be set up and made"))
                made += [[host, what, each] for each in result.get("name") or ()]
            findings += [Finding.from_dict(each) for each in known.get("health_check_findings") or () if _about(each)]
        word = "To be made" if self._task.check_mode else "Made"
        tables = [{"title": word, "columns": ["Host", "Backup of", "What"], "rows": made}] if made else []
        rows = [_row(finding) for finding in findings if "size_bytes" in finding.metrics]
        columns = ["Host", "Backup", "Age", "Size", "Stored", "Took", "Growth"]
        tables += [{"title": "Newest backups", "columns": columns, "rows": rows}] if rows else []
        self.register_host_variables(
            {
                "__backup_procedures_findings": [finding.to_dict() for finding in findings],
                "__backup_procedures_sections": {"tables": tables},
            },
            VariableLayer.REGISTER_VARS,
        )
        return {"changed": False}


def _about(finding: Mapping[str, Any]) -> bool:
    """Whether a health finding belongs into the report."""
    return str(finding["check"]) == "WAL archive"


def _row(finding: Finding) -> list[str]:
    """One line of the table; what is not known is left empty."""
    numbers = finding.metrics
    return [
        finding.host,
        finding.check,
        span(numbers["age_seconds"]) if "age_seconds" in numbers else "",
        amount(numbers["size_bytes"]),
        amount(numbers["stored_bytes"]) if "stored_bytes" in numbers else "",
        f"{numbers['duration_seconds']:.1f} s" if "duration_seconds" in numbers else "",
        f"{numbers['growth_percent']:+.1f} %" if "growth_percent" in numbers else "",
    ]
