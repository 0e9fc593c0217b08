# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of ops.runbook.publish_findings; the module of the same name documents it."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.ops.runbook.plugins.plugin_utils import (
    render_console,
    render_html,
    render_junit,
    render_prometheus,
)
from ansible_collections.ops.runbook.plugins.plugin_utils.arguments import validated
from ansible_collections.ops.runbook.plugins.plugin_utils.reports import (
    DATA,
    Report,
    ReportError,
    ReportStore,
    parse_findings,
    write_atomically,
    write_files,
)
from ansible_collections.ops.runbook.plugins.plugin_utils.state import state_dir
from ansible_collections.ops.runbook.plugins.plugin_utils.verdict import CHOICES, NEVER, judge

display = Display()

FORMATS = ("console", "html", "junit", "prometheus")
_NAMES = {"html": "report.html", "junit": "junit.xml", "prometheus": "findings.prom"}
_COLLECTION = Path(__file__).resolve().parents[2]
#: node_exporter reads its text files as a user of its own.
_TEXTFILE_MODE = 0o644


class ActionModule(ActionBase):  # type: ignore[misc]
    """Turn findings into the reports of a run."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Write the reports, print the table, and return where the reports are."""
        super().run(tmp, task_vars)
        arguments = validated(
            self._task.args,
            {
                "findings": {"type": "list", "elements": "dict", "required": True},
                "procedure": {"type": "str", "required": True},
                "title": {"type": "str", "default": ""},
                "runbook_url": {"type": "str", "default": ""},
                "sections": {"type": "dict", "default": {}},
                "formats": {"type": "list", "elements": "str", "choices": list(FORMATS), "default": list(FORMATS)},
                "directory": {"type": "path"},
                "keep_days": {"type": "int", "default": 90},
                "textfile_directory": {"type": "path"},
                "fail_on": {"type": "str", "choices": list(CHOICES), "default": NEVER},
            },
        )
        try:
            report = _report(arguments)
            pages = render_html.Pages(
                _checked_url(arguments["runbook_url"]), tuple(self._page_folders(task_vars or {}))
            )
            folder = _write(report, arguments, pages)
        except (ReportError, OSError) as error:
            raise AnsibleActionFail(f"The report cannot be written: {error}") from error
        html = folder / _NAMES["html"] if "html" in arguments["formats"] else None
        if "console" in arguments["formats"]:
            _print(report, _shown(html or folder))
        return {
            "changed": False,
            "verdict": _verdict(report, arguments["fail_on"], html or folder),
            # Ansible copies a result for each callback, which takes long: what is ok stands in the report alone.
            "findings": [finding.to_dict() for finding in report.findings if finding.status != "ok"],
            "report": {
                "path": str(html or folder / DATA),
                "directory": str(folder),
                "worst": report.worst,
                "counts": report.counts,
            },
        }

    def _page_folders(self, task_vars: Mapping[str, Any]) -> Iterator[Path]:
        """Where the runbook's pages may be: beside the playbook's folders, or in the collection."""
        playbooks = Path(task_vars.get("playbook_dir", ".")).resolve()
        for folder in (playbooks, *playbooks.parents[:3], _COLLECTION):
            if (folder / "runbook_docs").is_dir():
                yield folder / "runbook_docs"


def _verdict(report: Report, fail_on: str, path: Path) -> str:
    """Why the run has to fail, and where to read on; empty if it has not."""
    message = judge(report.findings, fail_on)
    return f"{message}\nReport: {path}" if message else ""


def _report(arguments: Mapping[str, Any]) -> Report:
    # The run record's callback exports the id; without the callback each report is a run of its own.
    run_id = os.environ.get("RUNBOOK_RUN_ID") or uuid.uuid4().hex
    return Report(
        procedure=arguments["procedure"],
        run_id=run_id,
        time=datetime.now(UTC),
        findings=parse_findings(arguments["findings"]),
        title=arguments["title"] or arguments["procedure"].rsplit("/", 1)[-1].replace("_", " ").capitalize(),
        sections=arguments["sections"],
    )


def _checked_url(url: str) -> str:
    if url and not url.startswith(("https://", "http://")):
        raise ReportError(f"runbook_url {url!r} is not a web address. It starts with https:// or http://, or is empty.")
    return url


def _write(report: Report, arguments: Mapping[str, Any], pages: render_html.Pages) -> Path:
    """Write the report where it belongs; returns its folder."""
    files = _renderings(report, arguments["formats"], pages)
    if arguments["directory"]:
        folder = Path(arguments["directory"])
        folder.mkdir(parents=True, exist_ok=True)
        write_files(folder, report, files)
    else:
        store = ReportStore(state_dir())
        folder = store.write(report, files)
        store.prune(report.procedure, arguments["keep_days"], report.time)
    if arguments["textfile_directory"]:
        name = f"runbook_{report.procedure.replace('/', '_')}.prom"
        write_atomically(Path(arguments["textfile_directory"]) / name, render_prometheus.render(report), _TEXTFILE_MODE)
    return folder


def _renderings(report: Report, formats: list[str], pages: render_html.Pages) -> dict[str, str]:
    """The report's files besides its data, by name."""
    made = {}
    if "junit" in formats:
        made[_NAMES["junit"]] = render_junit.render(report)
    if "prometheus" in formats:
        made[_NAMES["prometheus"]] = render_prometheus.render(report)
    if "html" in formats:
        made[_NAMES["html"]] = render_html.render(report, pages, files=(DATA, *made))
    return made


def _shown(path: Path) -> str:
    """The path from the folder that the operator is in, where it is below it."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _print(report: Report, path: str) -> None:
    colours = {
        "ok": constants.COLOR_OK,
        "warning": constants.COLOR_CHANGED,
        "unknown": constants.COLOR_WARN,
        "critical": constants.COLOR_ERROR,
    }
    for line in render_console.render(report, display.columns or render_console.WIDEST, path):
        display.display(line.text, color=colours.get(line.tone))
