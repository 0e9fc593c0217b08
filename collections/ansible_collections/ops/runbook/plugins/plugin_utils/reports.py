# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reports: what a procedure found, and the store that keeps one folder per report in the state directory."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ansible_collections.ops.runbook.plugins.module_utils.finding import STATUSES, Finding, worst

SCHEMA = 1
LATEST = "latest.json"
DATA = "findings.json"

_PROCEDURE = re.compile(r"[a-z0-9_]+(/[a-z0-9_]+)*")
_FOLDER = re.compile(r"(\d{8}T\d{6}Z)-.+")
_FOLDER_TIME = "%Y%m%dT%H%M%SZ"
#: Reports name people who logged in: they are for the operators' group, not for every user of the controller.
_FOLDER_MODE = 0o750
_FILE_MODE = 0o640


class ReportError(ValueError):
    """A report, or what should become one, is wrong; the text names it and the remedy."""


def parse_time(text: str) -> datetime:
    """The moment that ISO-8601 text names; UTC where the text has no zone."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def parse_findings(items: Iterable[Any]) -> tuple[Finding, ...]:
    """The findings that the dictionaries describe; ReportError names the one that is none."""
    findings = []
    for number, item in enumerate(items, start=1):
        try:
            findings.append(Finding.from_dict(item))
        except (TypeError, ValueError) as error:
            raise ReportError(
                f"Finding {number} is not a finding: {error}. "
                f"It needs the keys check, host and status ({', '.join(STATUSES)})."
            ) from error
    return tuple(findings)


@dataclass(frozen=True)
class Report:
    """What one run of a procedure found."""

    #: Path of the playbook below playbooks/, without extension.
    procedure: str
    run_id: str
    time: datetime
    findings: tuple[Finding, ...]
    title: str = ""
    #: What else the report shows: ``changes`` and ``forecasts`` of the daily outlook.
    sections: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not _PROCEDURE.fullmatch(self.procedure):
            raise ReportError(
                f"Procedure {self.procedure!r} is not the path of a playbook below playbooks/ without extension, "
                "such as monitoring_procedures/health_checks."
            )

    @property
    def worst(self) -> str:
        """The verdict. A report without a finding is not ok: nothing was looked at."""
        return worst(self.findings) if self.findings else "unknown"

    @property
    def counts(self) -> dict[str, int]:
        """How many findings there are of each status."""
        found = Counter(finding.status for finding in self.findings)
        return {status: found[status] for status in STATUSES}

    @property
    def hosts(self) -> list[str]:
        """The hosts that findings are about, in natural order."""
        return sorted({finding.host for finding in self.findings}, key=natural)

    @property
    def folder(self) -> str:
        """Name of the report's folder in the store."""
        run = re.sub(r"[^A-Za-z0-9_.-]", "_", self.run_id)
        return f"{self.time.astimezone(UTC).strftime(_FOLDER_TIME)}-{run}"

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON-ready data."""
        return {
            "schema": SCHEMA,
            "procedure": self.procedure,
            "title": self.title,
            "run_id": self.run_id,
            "time": self.time.astimezone(UTC).isoformat(),
            "worst": self.worst,
            "counts": self.counts,
            "findings": [finding.to_dict() for finding in self.findings],
            "sections": dict(self.sections),
        }

    def to_json(self) -> str:
        """The report as the text of findings.json."""
        # A finding a line: as readable as indented JSON, which takes ten times as long to write.
        data = self.to_dict()
        findings = ",\n".join(json.dumps(finding, ensure_ascii=False) for finding in data.pop("findings"))
        rest = json.dumps(data, ensure_ascii=False)[1:]
        return f'{{"findings": [\n{findings}\n],\n{rest}\n'

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Report:
        """The report from to_dict's data; ReportError where the data is something else."""
        if data.get("schema") != SCHEMA:
            raise ReportError(f"schema {data.get('schema')!r} is not {SCHEMA}")
        try:
            return cls(
                procedure=data["procedure"],
                run_id=data["run_id"],
                time=parse_time(data["time"]),
                findings=parse_findings(data["findings"]),
                title=data.get("title", ""),
                sections=data.get("sections", {}),
            )
        except KeyError as error:
            raise ReportError(f"key {error} is missing") from error


def natural(text: str) -> list[tuple[int, int, str]]:
    """Sort key that puts app2 before app10."""
    parts = re.split(r"(\d+)", text)
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts]


def reading_order(findings: Iterable[Finding]) -> list[Finding]:
    """Worst first, then hosts in natural order, then checks."""
    return sorted(findings, key=lambda f: (-STATUSES.index(f.status), natural(f.host), f.check))


@dataclass(frozen=True)
class Entry:
    """One report in the store, known by its folder's name and not yet read."""

    procedure: str
    time: datetime
    path: Path

    def load(self) -> Report:
        """Read the report; ReportError names the file that cannot be read."""
        file = self.path / DATA
        try:
            return Report.from_dict(json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise ReportError(
                f"{file} is not a report that can be read ({error}). Move it out of the reports folder."
            ) from error


class ReportStore:
    """The reports below one state directory."""

    def __init__(self, state_dir: Path) -> None:
        self.root = state_dir / "reports"

    def write(self, report: Report, files: Mapping[str, str]) -> Path:
        """Add a report: all of its files appear at once, then latest.json points at it. Returns its folder."""
        procedure = self.root / report.procedure
        procedure.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        target = _unused(procedure / report.folder)
        with tempfile.TemporaryDirectory(dir=procedure, prefix=".new-") as scratch:
            folder = Path(scratch) / target.name
            folder.mkdir(mode=_FOLDER_MODE)
            write_files(folder, report, files)
            folder.rename(target)
        pointer = {"path": target.name, "time": report.time.astimezone(UTC).isoformat(), "worst": report.worst}
        write_atomically(procedure / LATEST, json.dumps(pointer) + "\n")
        return target

    def entries(self, procedure: str | None = None) -> list[Entry]:
        """The reports of one procedure, or of all, oldest first."""
        folders = (self.root / procedure).glob(f"*/{DATA}") if procedure else self.root.rglob(DATA)
        found = []
        for file in folders:
            match = _FOLDER.fullmatch(file.parent.name)
            if not match:
                continue
            moment = datetime.strptime(match[1], _FOLDER_TIME).replace(tzinfo=UTC)
            name = file.parents[1].relative_to(self.root).as_posix()
            # A run may take less than a second, which is what names of folders tell. One that is pruned now is none.
            with suppress(FileNotFoundError):
                order = moment, file.stat().st_mtime_ns
                found.append((order, Entry(procedure=name, time=moment, path=file.parent)))
        return [entry for _order, entry in sorted(found, key=lambda pair: pair[0])]

    def last(self, procedure: str) -> Entry | None:
        """The procedure's newest report."""
        return next(reversed(self.entries(procedure)), None)

    def prune(self, procedure: str, keep_days: int, now: datetime) -> list[Path]:
        """Delete the procedure's reports that are older than the retention, never its newest; returns them."""
        old = [entry.path for entry in self.entries(procedure)[:-1] if now - entry.time > timedelta(days=keep_days)]
        for path in old:
            shutil.rmtree(path)
        return old


def write_files(folder: Path, report: Report, files: Mapping[str, str]) -> None:
    """Write the report's data and its renderings into the folder."""
    for name, text in {DATA: report.to_json(), **files}.items():
        write_atomically(folder / name, text)


def write_atomically(path: Path, text: str, mode: int = _FILE_MODE) -> None:
    """Replace a file so that a reader sees the old text or the new one, never a part."""
    handle, scratch = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(scratch).chmod(mode)
        Path(scratch).replace(path)
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise


def _unused(path: Path) -> Path:
    """The path itself, or with a number where a run publishes twice within a second."""
    candidate, number = path, 1
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.name}-{number}")
    return candidate
