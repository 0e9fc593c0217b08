"""Publishing 800 findings takes less than half a second, all formats together."""

from __future__ import annotations

import time
from pathlib import Path

from ansible_collections.ops.runbook.plugins.action import publish_findings
from ansible_collections.ops.runbook.plugins.plugin_utils import render_console, render_html
from ansible_collections.ops.runbook.plugins.plugin_utils.reports import Report

from tests.reports import samples


def test_large_report_is_published_quickly(tmp_path: Path) -> None:
    data = samples.large().to_dict()
    arguments = {
        "formats": list(publish_findings.FORMATS),
        "directory": str(tmp_path / "report"),
        "textfile_directory": None,
    }
    begin = time.perf_counter()
    report = Report.from_dict(data)
    folder = publish_findings._write(report, arguments, render_html.Pages())
    render_console.render(report, 100)
    assert time.perf_counter() - begin < 0.5
    assert len(list(folder.iterdir())) == 4
