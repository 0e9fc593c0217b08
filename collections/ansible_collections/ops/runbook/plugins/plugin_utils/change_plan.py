# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The plan of a change: what a check-mode run predicts, on which inputs, as one file with one digest.

The file is the canonical text of the plan, so that its SHA-256 is that of the plan, and a signature over the file is an
approval of exactly this change.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ansible_collections.ops.runbook.plugins.plugin_utils.reports import write_atomically

KIND = "change plan of ops.runbook"
SCHEMA = 1
#: Signatures over anything else cannot be taken for an approval.
NAMESPACE = "runbook-plan"

#: Of a run, what has to be the same when it is applied.
INPUTS = ("procedure", "playbook", "version", "inventory_sha256", "limit", "hosts", "options", "variables")
_OTHERS = ("kind", "schema", "run_id", "changes", "why", "requester", "approvals", "made_at", "expires_at")
_EVENT = ("host", "task", "action", "subject", "item", "diff")
#: Extra variables that say why or from where a run is made, and not what it does.
_REASONS = ("runbook_", "awx_", "tower_")
#: Plans are not secret, and their approvers read them under accounts of their own.
_MODE = 0o644

_HEADER = re.compile(r"^(?:---|\+\+\+) ")
_TEMPORARY = re.compile(r"\S*/ansible-(?:local|tmp)-[^/\s]+/(?:tmp\w+/?)?")
#: Times that the module file puts into its differences.
_TIME = re.compile(r'("[amc]time": )[0-9.]+')


class PlanError(Exception):
    """A plan cannot be made or read; the text says why and what to do."""


@dataclass(frozen=True)
class Plan:
    """One plan."""

    data: Mapping[str, Any]

    @property
    def content(self) -> bytes:
        """The one text of the plan: sorted, one member a line, ASCII, so that nothing in it is invisible."""
        text = json.dumps(self.data, sort_keys=True, indent=1, ensure_ascii=True, allow_nan=False)
        return f"{text}\n".encode("ascii")

    @property
    def digest(self) -> str:
        """SHA-256 of the content."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def changes(self) -> list[Mapping[str, Any]]:
        """The predicted changes, host by host, in the order in which they are made there."""
        return list(self.data["changes"])

    def has_expired(self, now: datetime) -> bool:
        """Whether the plan is too old to be applied."""
        return now >= datetime.fromisoformat(self.data["expires_at"])

    def write(self, path: Path) -> None:
        """Put the plan into the file in one step. Raises OSError."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, self.content.decode("ascii"), _MODE)

    @classmethod
    def read(cls, path: Path) -> Plan:
        """The plan in the file. Raises PlanError where there is none."""
        try:
            content = path.read_bytes()
        except OSError as error:
            raise PlanError(f"{path} cannot be read: {error.strerror}") from error
        try:
            plan = cls(json.loads(content))
            whole = set(plan.data) == {*INPUTS, *_OTHERS} and plan.data["kind"] == KIND
            datetime.fromisoformat(plan.data["expires_at"])
        except (ValueError, TypeError, KeyError) as error:
            raise PlanError(f"{path} is not a plan: {error}") from error
        if not whole or plan.data["schema"] != SCHEMA:
            raise PlanError(f"{path} is not a plan of this version (schema {SCHEMA})")
        # Whoever reads the file reads what is verified, and not the first of two members of one name.
        if plan.content != content:
            raise PlanError(f"{path} is not as it was saved: its text is not the canonical one")
        return plan


def inputs(start: Mapping[str, Any], hosts: Iterable[str]) -> dict[str, Any]:
    """What the run with this record is made from."""
    what, where = start["what"], start["where"]
    return {
        "procedure": start["procedure"],
        "playbook": place(what),
        "version": {key: what[key] for key in ("collection", "version", "commit") if what.get(key)},
        "inventory_sha256": where["inventory_sha256"],
        "limit": where["limit"],
        "hosts": sorted(hosts),
        "options": {key: where[key] for key in ("tags", "skip_tags", "start_at_task") if where[key]},
        "variables": {name: value for name, value in start["extra_vars"].items() if not str(name).startswith(_REASONS)},
    }


def make(body: Mapping[str, Any], hosts: Iterable[str], demand: Mapping[str, Any], key: str) -> Plan:
    """The plan of a finished check-mode run, from its whole record without secrets."""
    made = datetime.now(UTC).replace(microsecond=0)
    requester = {name: value for name, value in body["who"].items() if name != "uid"}
    return Plan(
        {
            **inputs(body, hosts),
            "kind": KIND,
            "schema": SCHEMA,
            "run_id": body["run_id"],
            "changes": stable(body["changes"], work_tree(Path(body["what"]["playbook"]))),
            "why": {name: value for name, value in body["why"].items() if name not in ("plan", "plan_out")},
            "requester": {**requester, **({"key": key} if key else {})},
            "approvals": demand["approvals"],
            "made_at": made.isoformat(),
            "expires_at": (made + timedelta(seconds=demand["lifetime"])).isoformat(),
        }
    )


def stable(events: Iterable[Mapping[str, Any]], root: Path) -> list[dict[str, Any]]:
    """The changes without what differs between two predictions of the same change.

    Hosts run side by side, so that only the order on one host means anything.
    """
    changes = []
    for event in sorted(events, key=lambda event: str(event["host"])):
        change = {name: event[name] for name in _EVENT if event.get(name)}
        if "diff" in change:
            change["diff"] = [_line(line, root) for line in str(change["diff"]).splitlines()]
        changes.append(change)
    return changes


def _line(line: str, root: Path) -> str:
    """A line of a difference: in its headers no temporary file, and no place of the checkout."""
    if _HEADER.match(line):
        return _TEMPORARY.sub("", line).replace(f" {root}/", " ")
    return _TIME.sub(r"\1(a time)", line)


def place(what: Mapping[str, Any]) -> str:
    """Which playbook it is, wherever the checkout or the collection lies."""
    if what.get("name"):
        return str(what["name"])
    playbook = Path(what["playbook"])
    return playbook.relative_to(work_tree(playbook)).as_posix()


def work_tree(playbook: Path) -> Path:
    """The folder of the checkout that the playbook belongs to; the playbook's own where there is none."""
    return next((folder for folder in playbook.parents if (folder / ".git").exists()), playbook.parent)


def plain(value: Any) -> Any:
    """The value as a plan gives it back."""
    return json.loads(json.dumps(value, default=str, skipkeys=True))
