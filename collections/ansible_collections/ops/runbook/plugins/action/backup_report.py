# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of ops.runbook.backup_report; the module of the same name documents it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase, VariableLayer
from ansible_collections.ops.runbook.plugins.module_utils.backup_basics import amount, span
from ansible_collections.ops.runbook.plugins.module_utils.finding import Finding
from ansible_collections.ops.runbook.plugins.plugin_utils import backup_records
from ansible_collections.ops.runbook.plugins.plugin_utils.backup_options import length
from ansible_collections.ops.runbook.plugins.plugin_utils.change_rules import REASON_WORDS
from ansible_collections.ops.runbook.plugins.plugin_utils.fan_out import FanOut
from ansible_collections.ops.runbook.plugins.plugin_utils.state import state_dir

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
        _unused, arguments = self.validate_argument_spec(
            argument_spec={
                "let_go": {"type": "list", "elements": "str", "default": []},
                "reason": {"type": "str", "default": ""},
                "restore_tests": {"type": "bool", "default": False},
            }
        )
        variables = task_vars or {}
        if arguments["let_go"] and len(arguments["reason"].split()) < REASON_WORDS:
            text = (
                f"backup_procedures_let_go is {arguments['let_go']}, and the reason is {arguments['reason']!r}: say in"
                f" at least {REASON_WORDS} words why these backups are not what they were (runbook_reason)"
            )
            return {"failed": True, "refused": True, "changed": False, "msg": text}
        findings: list[Finding] = []
        self._seen: list[dict[str, Any]] = []
        self._known = backup_records.remembered(state_dir())
        self._hosts = FanOut(self, variables)
        made: list[list[str]] = []
        for host in variables["ansible_play_hosts_all"]:
            said = variables["hostvars"][host]
            for name, what in RESULTS.items():
                result: Mapping[str, Any] = said.get(name) or {}
                findings += [Finding.from_dict({**each, "host": host}) for each in result.get("findings") or ()]
                if self._task.check_mode and result.get("name") and not result.get("findings"):
                    # The program that would say more is not installed yet.
                    findings.append(Finding(f"backup of {what}", host, "ok", "to be set up and made"))
                made += [[host, what, each] for each in result.get("name") or ()]
                if "stored" in result:
                    findings.append(self._recorded(host, what, result["stored"], arguments["let_go"]))
        findings += _swept(variables)
        if arguments["restore_tests"]:
            findings += self._tests(variables)
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
        return {"changed": False, "backups_seen": self._seen}

    def _recorded(self, host: str, what: str, stored: Mapping[str, Any] | None, let_go: Sequence[str]) -> Finding:
        """Compare what is stored with what run records know of it."""
        repository, check = f"{what} of {host}", f"recorded backups of {what}"
        if stored is None:
            return backup_records.unsaid(host, check)
        keep = self._kept_files(host) if what == "files" else self._kept_database(host)
        today = {label: backup_records.Seen.of(row) for label, row in stored.items()}
        compared = backup_records.compare(self._known.get(repository, {}), today, keep, time.time(), let_go)
        self._seen += [each for each in [backup_records.noted(repository, compared)] if each]
        return backup_records.judged(host, check, compared)

    def _tests(self, variables: Mapping[str, Any]) -> Iterator[Finding]:
        """Whether files were read back as often as is promised, for each objective that has backups."""
        last = backup_records.last_read_back(state_dir())
        sets: dict[str, set[str]] = {}
        every: dict[str, float] = {}
        store = ""
        for host in variables["ansible_play_hosts_all"]:
            result = variables["hostvars"][host].get("__file_backup_made") or {}
            stored = {name for row in (result.get("stored") or {}).values() for name in row["sets"]}
            for name, entry in self._value("file_backup", "file_backup_sets", host).items() if stored else ():
                objective = self._value("file_backup", "file_backup_objectives", host)[entry["objective"]]
                if name in stored and "restore_test" in objective:
                    sets.setdefault(entry["objective"], set()).add(name)
                    every[entry["objective"]] = float(length(objective["restore_test"]))
                    store = self._value("file_backup", "file_backup_store", host)
        for objective, names in sorted(sets.items()):
            newest = max((last[name] for name in names if name in last), default="")
            yield backup_records.read_back_in_time(store, objective, newest, every[objective], time.time())

    # For how long backups are kept at least: what the inventory says, and not what the store's own settings do.

    def _kept_database(self, store: str) -> dict[str, float]:
        objectives = self._value("database_backup", "database_backup_objectives", store)
        return {name: float(length(objective["keep"])) for name, objective in objectives.items()}

    def _kept_files(self, host: str) -> dict[str, float]:
        store = self._value("file_backup", "file_backup_store", host)
        objectives = self._value("file_backup", "file_backup_objectives", store)
        kept = self._value("file_backup", "file_backup_kept", store)
        return {name: float(length(objectives[objective]["keep"])) for name, objective in kept.items()}

    def _value(self, role: str, name: str, host: str) -> Any:
        """An option of a role as a host gives it."""
        path = Path(self._task._role._role_path).parent / role / "defaults/main.yml"
        defaults = self._loader.load_from_file(str(path), trusted_as_template=True)
        values = {**defaults, **self._hosts.variables(host)}
        return self._templar.copy_with_new_env(available_variables=values).template(values[name])


def _swept(variables: Mapping[str, Any]) -> list[Finding]:
    """What a sweep has seen of the archiving; each of its hosts knows what was seen on all of them."""
    said = (
        variables["hostvars"][host].get("health_check_findings_json") for host in variables["ansible_play_hosts_all"]
    )
    seen = json.loads(next(filter(None, said), "[]"))
    return [Finding.from_dict(each) for each in seen if each["check"] == "WAL archive"]


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
