# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Making the prediction of a run again: the same command line in check mode, as a run of its own.

It is recorded like every run; its origin names the run that it was made for.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.ops.runbook.plugins.module_utils.ledger import Ledger
from ansible_collections.ops.runbook.plugins.plugin_utils.change_plan import Plan, PlanError
from ansible_collections.ops.runbook.plugins.plugin_utils.change_plan_save import OPTION

#: In the environment of a nested run: the run that it was made for.
PARENT = "RUNBOOK_PARENT_RUN_ID"
_PROMPTS = {
    "ask_pass": "--ask-pass",
    "become_ask_pass": "--ask-become-pass",
    "ask_vault_pass": "--ask-vault-pass",
    "step": "--step",
}
#: What can be read once only, or not by another process.
_ONCE = ("/dev/stdin", "/dev/fd/", "/proc/self/fd/")
_LINES = 5
_PR_SET_PDEATHSIG = 1


def prompts(command_line: Mapping[str, Any], arguments: Sequence[str]) -> Iterator[str]:
    """Why this command line cannot be run again without the operator."""
    for name, option in _PROMPTS.items():
        if command_line.get(name):
            yield f"{option} asks for an answer that cannot be given twice; use a password file, an agent or a vault"
    for identity in command_line.get("vault_ids") or ():
        if str(identity).rpartition("@")[2].startswith("prompt"):
            yield f"--vault-id {identity} asks for the vault's password; use a password file"
    for word in arguments:
        if any(place in word for place in _ONCE):
            yield f"{word} can be read only once; put it into a file"


def predict(run_id: str, ledger: Ledger) -> tuple[Plan, str]:
    """The plan that this run would have now, and the id of the run that made it. Raises PlanError."""
    with tempfile.TemporaryDirectory(prefix="runbook-plan-") as folder:
        path = Path(folder) / "plan.json"
        result = subprocess.run(
            [sys.executable, *sys.orig_argv[1:], "--check", "--diff", "-e", json.dumps({OPTION: str(path)})],
            env={**{name: value for name, value in os.environ.items() if name != "RUNBOOK_RUN_ID"}, PARENT: run_id},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_end_with_parent,
            check=False,
        )
        record = _record(run_id, ledger)
        if result.returncode or not path.exists():
            raise PlanError(f"the prediction cannot be made again: {_reason(record, result.stdout)}")
        return Plan.read(path), record["run_id"]


def _end_with_parent() -> None:
    """Let the kernel interrupt the nested run when the operator interrupts this one."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _record(parent: str, ledger: Ledger) -> Mapping[str, Any]:
    """The record of the nested run; only its start where it has no end."""
    found: Mapping[str, Any] = {}
    for entry in ledger.entries():
        if parent.encode() in entry.line and entry.kind != "restarted":
            body = entry.body
            found = body if body.get("origin", {}).get("parent") == parent else found
    return found


def _reason(record: Mapping[str, Any], output: bytes) -> str:
    """Why the nested run failed: from its record, where secrets are hidden, else what it said at last."""
    failures = [f"{failure['host']}: {failure.get('message', '')}" for failure in record.get("failures", ())]
    said = record.get("refusal") or (failures[0] if failures else "")
    if not said:
        said = "\n".join(output.decode("utf-8", "replace").strip().splitlines()[-_LINES:])
    run = f"run {record['run_id']} {record.get('outcome', 'has no end')}" if record else "the run did not start"
    return f"{run}: {said}"
