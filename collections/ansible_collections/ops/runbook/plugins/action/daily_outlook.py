# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of ops.runbook.daily_outlook; the module of the same name documents it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase, VariableLayer
from ansible.utils.display import Display
from ansible_collections.ops.runbook.plugins.plugin_utils import outlook
from ansible_collections.ops.runbook.plugins.plugin_utils.arguments import validated
from ansible_collections.ops.runbook.plugins.plugin_utils.reports import (
    Entry,
    Report,
    ReportError,
    ReportStore,
    parse_findings,
)
from ansible_collections.ops.runbook.plugins.plugin_utils.state import state_dir

display = Display()


class ActionModule(ActionBase):  # type: ignore[misc]
    """Compare findings with earlier reports, and look ahead."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Set the variables that the daily report is made of."""
        super().run(tmp, task_vars)
        arguments = validated(
            self._task.args,
            {
                "procedure": {"type": "str", "required": True},
                "findings": {"type": "list", "elements": "dict"},
                "first_window": {"type": "str", "default": "24h"},
                "warning_days": {"type": "float", "default": 30},
                "critical_days": {"type": "float", "default": 7},
                "window_days": {"type": "float", "default": 30},
            },
        )
        store = ReportStore(state_dir())
        try:
            if arguments["findings"] is None:
                facts = _since(store, arguments, (task_vars or {})["ansible_play_hosts_all"])
            else:
                facts = _outlook(store, arguments)
        except ReportError as error:
            raise AnsibleActionFail(str(error)) from error
        self.register_host_variables(facts, VariableLayer.REGISTER_VARS)
        return {"changed": False}


def _since(store: ReportStore, arguments: Mapping[str, Any], hosts: Iterable[str]) -> dict[str, Any]:
    newest_first = _readable(reversed(store.entries(arguments["procedure"])))
    wanted = [(host, kind) for host in hosts for kind in outlook.LOOKING_BACK]
    asked = outlook.last_asked(newest_first, wanted)
    since: dict[str, dict[str, str]] = {}
    for host, kind in wanted:
        moment = asked.get((host, kind))
        since.setdefault(host, {})[kind] = moment.isoformat() if moment else arguments["first_window"]
    return {"daily_outlook_since": since}


def _outlook(store: ReportStore, arguments: Mapping[str, Any]) -> dict[str, Any]:
    limits = outlook.Limits(**{name: arguments[name] for name in ("warning_days", "critical_days", "window_days")})
    now = datetime.now(UTC)
    current = Report(arguments["procedure"], "", now, parse_findings(arguments["findings"]))
    made = outlook.forecasts(current, _readable(outlook.sample(store.entries(), now, limits.window_days)), limits)
    found = [*current.findings, *outlook.findings(made, limits)]
    earlier = outlook.baseline(store.entries(current.procedure), now, current.hosts)
    return {
        "daily_outlook_findings": [finding.to_dict() for finding in found],
        "daily_outlook_sections": {
            "forecasts": [forecast.to_dict() for forecast in made],
            "changes": outlook.compare(found, earlier).to_dict(),
        },
    }


def _readable(entries: Iterable[Entry]) -> Iterator[Report]:
    """The reports that can be read. A broken one is named and left out: the trend does without it."""
    for entry in entries:
        try:
            yield entry.load()
        except ReportError as error:
            display.warning(f"The outlook leaves out a report: {error}")
