# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a run leaves behind, gathered from the results of its tasks."""

from __future__ import annotations

import difflib
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.ops.runbook.plugins.module_utils.run_record import HostResult, RunRecord, TaskEvent

#: What a record keeps of one text, in characters.
_LIMITS = {"diff": 4_000, "message": 2_000, "subject": 300, "item": 300}
_VALUE_LIMIT = 2_000
#: What is held in memory of one text until the secrets are known.
HELD_LIMIT = 50_000
_NO_LIMIT = sys.maxsize
#: Changes and failures of one run that are recorded one by one.
EVENT_LIMIT = 2_000
#: Of Ansible's own actions, one that succeeded and changed nothing has nothing for the record; unpacking costs time.
_BUILTIN = "ansible.builtin."
_SUBJECT_KEYS = ("path", "dest", "name", "cmd", "src", "url")
#: What Ansible says of a file whose content it does not show.
_UNSEEN = {
    "dst_binary": "[the file on the host is binary]",
    "src_binary": "[the new file is binary]",
    "dst_larger": "[the file on the host is too large to be compared]",
    "src_larger": "[the new file is too large to be compared]",
}
#: A lock or a report on the controller is not yet a change of the platform.
_CONTROLLER = frozenset({"localhost", "127.0.0.1", "::1"})


class Collector:
    """Takes the results of tasks and fills a record."""

    def __init__(self, *, check: bool, whole: bool = False) -> None:
        """A collector, for a plan one that keeps every difference as a whole."""
        self._check = check
        self._held = _NO_LIMIT if whole else HELD_LIMIT
        self._changes: list[TaskEvent] = []
        self._failures: list[TaskEvent] = []
        self._findings: dict[tuple[str, str], Mapping[str, Any]] = {}
        self._reports: list[Any] = []
        self._omitted = 0
        self._applied = False
        self.hosts: dict[str, HostResult] = {}
        self.refusal = ""
        self.rolled_back = False
        #: Whether a host ended otherwise than put back.
        self.in_doubt = False
        #: What the guard demands of a plan, and the approved plan that it has verified.
        self.demand: Mapping[str, Any] | None = None
        self.approval: Mapping[str, Any] = {}
        #: Of sealed evidence, as texts: what this controller holds against the store.
        self.checkpoints: list[str] = []
        #: Of sealed evidence: what was read of it.
        self.evidence_read: list[Mapping[str, Any]] = []
        #: Of backups: what was read back from them.
        self.read_back: list[Mapping[str, Any]] = []
        #: Of backups: what this controller holds against the store that keeps them.
        self.backups: list[Mapping[str, Any]] = []
        self.unmatched: list[str] = []
        self.matched = False
        #: Hosts that a task looked at from another one.
        self._examined: Counter[str] = Counter()

    def no_hosts(self, pattern: str) -> None:
        """A play whose pattern matched no host."""
        self.unmatched.append(pattern)

    def result(self, result: Any, *, failed: bool = False, ignored: bool = False) -> None:
        """One task's end on one host."""
        task = result.task
        self._count(result, failed=failed, ignored=ignored)
        if not failed and not result.is_changed() and str(task.resolved_action or "").startswith(_BUILTIN):
            return
        data = result.result
        for part in _parts(data, looped=task.loop is not None):
            self._part(part)
            self._read_back(result.host.get_name(), part.get("read_back"))
            self._examined.update(host for host in part.get("examined", ()) if host != result.host.get_name())
            if part.get("changed"):
                self._change(result, part)
            if failed and (part is data or _has_failed(part)):
                self._failure(result, part, ignored=ignored)

    def skipped(self, result: Any) -> None:
        """One task that was left out on one host."""
        self.hosts.setdefault(result.host.get_name(), HostResult()).skipped += 1

    def _count(self, result: Any, *, failed: bool, ignored: bool) -> None:
        """Count as Ansible does, whose own statistics are only handed over at the regular end."""
        host = self.hosts.setdefault(result.host.get_name(), HostResult())
        if failed and result.is_unreachable():
            host.unreachable += 1
        elif failed and not ignored:
            host.failed += 1
        else:
            host.ok += 1
            host.ignored += ignored
            host.changed += result.is_changed()

    def _part(self, part: Mapping[str, Any]) -> None:
        findings = part.get("findings")
        if isinstance(findings, list):
            for finding in findings:
                if isinstance(finding, Mapping):
                    self._findings[str(finding.get("host", "")), str(finding.get("check", ""))] = finding
        if part.get("report"):
            self._reports.append(part["report"])
        if isinstance(part.get("plan_demand"), Mapping):
            self.demand = part["plan_demand"]
        if isinstance(part.get("approval"), Mapping):
            self.approval = part["approval"]
        if isinstance(part.get("rolled_back"), bool):
            self.rolled_back = self.rolled_back or part["rolled_back"]
            self.in_doubt = self.in_doubt or not part["rolled_back"]
        if isinstance(part.get("checkpoint"), str):
            self.checkpoints.append(part["checkpoint"])
        self.evidence_read += part.get("evidence_read") or []
        self.backups += part.get("backups_seen") or []

    def _read_back(self, host: str, read: Mapping[str, Any] | None) -> None:
        """Files that were read from a backup: once, though a restore reads them when it looks, and again."""
        if read and {"host": host, **read} not in self.read_back:
            self.read_back.append({"host": host, **read})

    def _change(self, result: Any, part: Mapping[str, Any]) -> None:
        self._applied = self._applied or (not self._check and result.host.get_name() not in _CONTROLLER)
        event = _event(result, part)
        event.diff = _diff(part.get("diff"), self._held)
        self._keep(self._changes, event)

    def _failure(self, result: Any, part: Mapping[str, Any], *, ignored: bool) -> None:
        event = _event(result, part)
        event.message = _message(part)
        event.unreachable = bool(part.get("unreachable"))
        event.ignored = ignored
        self._keep(self._failures, event)
        invalid = result.task.action.rpartition(".")[2] == "validate_argument_spec"
        if (part.get("refused") is True or invalid) and not self._applied and not ignored:
            self.refusal = self.refusal or event.message

    def _keep(self, events: list[TaskEvent], event: TaskEvent) -> None:
        if len(events) < EVENT_LIMIT:
            events.append(event)
        else:
            self._omitted += 1

    @property
    def nothing_matched(self) -> bool:
        """Whether there were plays and none had a host."""
        return bool(self.unmatched) and not self.matched

    def fill(self, record: RunRecord, stats: Any) -> None:
        """Put everything into the record, except its end. There are no statistics of a run that was interrupted."""
        if stats is not None:
            self.hosts = {host: _host_result(stats.summarize(host)) for host in stats.processed}
        for host, times in self._examined.items():
            self.hosts.setdefault(host, HostResult()).ok += times
        record.hosts = dict(sorted(self.hosts.items()))
        record.changes = self._changes
        record.failures = self._failures
        record.findings = [finding for finding in self._findings.values() if _is_kept(finding)]
        record.finding_counts = dict(Counter(str(finding.get("status")) for finding in self._findings.values()))
        record.reports = [_with_digest(report) for report in self._reports]
        record.refusal = self.refusal
        record.approval = self.approval
        record.checkpoints = self.checkpoints
        record.evidence_read = self.evidence_read
        record.read_back = self.read_back
        record.backups = self.backups
        record.unmatched = self.unmatched
        record.omitted = self._omitted


def outcome(record: RunRecord, collector: Collector) -> str:
    """How the run ended.

    ``refused`` says that nothing was applied; a refusal of a later batch, after an earlier one was changed, is a
    failure like any other. ``rolled_back`` says that every host that was touched last is as before.
    """
    in_doubt = collector.in_doubt or any(host.unreachable for host in record.hosts.values())
    failed = any(host.failed or host.unreachable for host in record.hosts.values())
    if collector.nothing_matched:
        return "refused"
    if collector.rolled_back and not in_doubt:
        return "rolled_back"
    if failed:
        return "refused" if collector.refusal else "failed"
    return "succeeded"


def may_hold_secrets(record: RunRecord, state_dir: Path) -> bool:
    """Whether anything in the record is free text; where a report stands below the state directory is none."""
    elsewhere = [report for report in record.reports if not _is_below(state_dir, report)]
    return any((record.changes, record.failures, record.findings, elsewhere, record.refusal, record.extra_vars))


def _is_below(folder: Path, report: Mapping[str, Any]) -> bool:
    return Path(str(report.get("path", ""))).is_relative_to(folder)


def cut(whole: Mapping[str, Any]) -> dict[str, Any]:
    """The record's body within its limits. It is without secrets already: cut before, half a secret would stay."""
    body = {**whole, "changes": [dict(event) for event in whole["changes"]]}
    for event in [*body["changes"], *body["failures"]]:
        for key, limit in _LIMITS.items():
            if key in event:
                event[key] = _cut(event[key], limit)
    body["extra_vars"] = {name: _short(value) for name, value in body["extra_vars"].items()}
    return body


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}\n[{len(text) - limit} more characters]"


def _short(value: Any) -> Any:
    text = json.dumps(value)
    return value if len(text) <= _VALUE_LIMIT else f"[{len(text)} characters]"


def _parts(data: Mapping[str, Any], *, looped: bool) -> Iterator[Mapping[str, Any]]:
    """The results of a loop's items, or the one result."""
    results = data.get("results")
    if looped and isinstance(results, list) and results:
        yield from (part for part in results if isinstance(part, Mapping))
    else:
        yield data


def _has_failed(part: Mapping[str, Any]) -> bool:
    """Whether a loop's item failed; Ansible does not pass its flag on to callbacks."""
    if part.get("failed_when_result") is not None:
        return bool(part["failed_when_result"])
    return bool(part.get("exception") or part.get("unreachable") or part.get("rc"))


def _event(result: Any, part: Mapping[str, Any]) -> TaskEvent:
    item = part.get("_ansible_item_label", part.get("item", ""))
    return TaskEvent(
        host=result.host.get_name(),
        task=result.task.get_name(),
        action=result.task.action,
        subject=_subject(part, result.task),
        item=_text(item) if item not in ("", None) else "",
    )


def _subject(part: Mapping[str, Any], task: Any) -> str:
    invocation = part.get("invocation")
    arguments = invocation.get("module_args") if isinstance(invocation, Mapping) else None
    # Some modules say less in check mode than when they apply. A loop's task knows its last item's arguments only.
    own = task.args if task.loop is None and not task.no_log and "censored" not in part else None
    for source in (part, arguments, own):
        if isinstance(source, Mapping):
            for key in _SUBJECT_KEYS:
                if source.get(key):
                    value = source[key]
                    return " ".join(map(str, value)) if isinstance(value, list) else _text(value)
    return ""


def _message(part: Mapping[str, Any]) -> str:
    """What went wrong: the message, and what a failed program said."""
    lines = [_text(part.get(key)) for key in ("msg", "stderr", "module_stderr") if part.get(key)]
    if not part.get("stderr") and part.get("stdout"):
        lines.append(_text(part["stdout"]))
    return "\n".join(lines)


def _diff(value: Any, limit: int) -> str:
    """The differences of a result as one text."""
    texts = []
    for diff in value if isinstance(value, list) else [value]:
        if not isinstance(diff, Mapping):
            continue
        if "prepared" in diff:
            texts.append(_text(diff["prepared"], limit))
        if "before" in diff and "after" in diff:
            before, after = (_text(diff[side], limit).splitlines() for side in ("before", "after"))
            old, new = (str(diff.get(f"{side}_header", side)) for side in ("before", "after"))
            texts.append("\n".join(difflib.unified_diff(before, after, old, new, lineterm="", n=1)))
        texts += [meaning for key, meaning in _UNSEEN.items() if diff.get(key)]
    return "\n".join(texts)


def _text(value: Any, limit: int = HELD_LIMIT) -> str:
    """The value as text. A very long one ends at a line's end, so that no half of a secret escapes the redaction."""
    text = value if isinstance(value, str) else json.dumps(value, indent=1, sort_keys=True, default=str)
    if len(text) <= limit:
        return text
    end = text.rfind("\n", 0, limit) + 1
    return f"{text[:end]}[{len(text) - end} more characters]"


def _host_result(counts: Mapping[str, int]) -> HostResult:
    return HostResult(
        ok=counts["ok"],
        changed=counts["changed"],
        failed=counts["failures"],
        unreachable=counts["unreachable"],
        skipped=counts["skipped"],
        rescued=counts["rescued"],
        ignored=counts["ignored"],
    )


def _with_digest(report: Any) -> Any:
    """The report with the SHA-256 of its file, so that the ledger vouches for the report too."""
    found = dict(report) if isinstance(report, Mapping) else {"path": str(report)}
    try:
        found["sha256"] = hashlib.sha256(Path(str(found.get("path", ""))).read_bytes()).hexdigest()
    except OSError:
        return found
    return found


def _is_kept(finding: Mapping[str, Any]) -> bool:
    """What is not ok, and what was measured against a promise: that it was kept is evidence."""
    return finding.get("status") != "ok" or finding.get("type") == "objective"
