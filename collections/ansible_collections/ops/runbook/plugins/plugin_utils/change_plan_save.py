# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Saving the plan of a check-mode run, where ``-e runbook_plan_out=FILE`` asks for it."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.ops.runbook.plugins.plugin_utils import change_plan
from ansible_collections.ops.runbook.plugins.plugin_utils.change_plan import Plan, PlanError
from ansible_collections.ops.runbook.plugins.plugin_utils.change_plan_signatures import fingerprint, signature_files
from ansible_collections.ops.runbook.plugins.plugin_utils.redact import MASK

OPTION = "runbook_plan_out"
APPLY = "runbook_plan"
_CHECK_OPTIONS = ("--check", "-C", "--diff", "-D", "-CD", "-DC")
_EXTRA = ("--extra-vars=", "--extra-vars", "-e")


@dataclass(frozen=True)
class Saved:
    """A plan that lies in its file."""

    path: Path
    plan: Plan

    def to_dict(self) -> dict[str, Any]:
        """What the run record says about it: whoever applies the plan finds here that it was really made."""
        return {"path": str(self.path), "sha256": self.plan.digest, "expires_at": self.plan.data["expires_at"]}

    def message(self, arguments: Sequence[str]) -> str:
        """Where the plan is, and what comes next."""
        path = shlex.quote(_shown(self.path))
        count, approvals = len(self.plan.changes), self.plan.data["approvals"]
        lines = [
            f"plan saved: {_shown(self.path)} · {count} change{'' if count == 1 else 's'} · sha256 {self.plan.digest}",
            f"  valid until {self.plan.data['expires_at']}, approvals demanded: {approvals}",
            f"  approve: ssh-keygen -Y sign -f KEY -n {change_plan.NAMESPACE} < {path} > {path}.NAME.sig",
            f"  apply:   {_command(arguments, path)}",
        ]
        return "\n".join(lines)


class PlanRequest:
    """The wish to save this run's plan."""

    def __init__(self, path: str, start: Mapping[str, Any], hosts: Iterable[str], signing_key: str) -> None:
        self.path = Path(path).expanduser().absolute()
        self._start = start
        self._hosts = tuple(hosts)
        self._signing_key = signing_key

    def problems(self, command_line: Mapping[str, Any], prompts: Iterable[str]) -> list[str]:
        """Why this run cannot have a plan, as far as it is known before its first task."""
        found = list(self._missing_options(command_line))
        found += unclear_version(self._start["what"])
        questions = [name for name in dict.fromkeys(prompts) if name not in self._start["extra_vars"]]
        if questions:
            found.append(
                f"it asks for {', '.join(questions)} at the terminal; give that with -e, so that it is planned"
            )
        return found or list(self._unfit_file())

    def save(self, body: Mapping[str, Any], demand: Mapping[str, Any] | None) -> Saved:
        """Save the plan of the run that has ended with this record. Raises PlanError."""
        if body["outcome"] != "succeeded":
            raise PlanError(f"the run {body['outcome'].replace('_', ' ')}, so it does not say what a change would do")
        if demand is None:
            raise PlanError(
                "no task of this run verifies plans: only procedures under the role change_guard can be approved"
            )
        if body["omitted"]:
            raise PlanError("it has more changes than a record holds; make plans of fewer hosts with --limit")
        variables = change_plan.inputs(body, self._hosts)["variables"]
        secret = sorted(name for name, value in variables.items() if MASK in json.dumps([name, value]))
        if secret:
            raise PlanError(
                f"the extra variable {', '.join(secret)} holds a secret, which a plan does not show and cannot bind; "
                "put it into the inventory, vaulted"
            )
        try:
            key = fingerprint(Path(self._signing_key).expanduser()) if self._signing_key else ""
            saved = Saved(self.path, change_plan.make(body, self._hosts, demand, key))
            saved.plan.write(self.path)
        except OSError as error:
            raise PlanError(f"{self.path} cannot be written: {error.strerror}") from error
        return saved

    def _missing_options(self, command_line: Mapping[str, Any]) -> Iterator[str]:
        if not command_line.get("check"):
            yield "it is the plan of a check-mode run: add --check --diff"
        elif not command_line.get("diff"):
            yield "a plan without differences says too little to be approved: add --diff"
        if len(command_line.get("args") or ()) > 1:
            yield "a plan is that of one playbook, and the command line names several"
        if command_line.get("step"):
            yield "a plan is that of a whole run: leave out --step"

    def _unfit_file(self) -> Iterator[str]:
        signatures = signature_files(self.path)
        if signatures:
            yield f"{self.path} has signatures ({signatures[0].name}); choose another file, or remove them"
        folder = next((folder for folder in self.path.parents if folder.exists()), Path("/"))
        if self.path.is_dir() or not os.access(folder, os.W_OK):
            yield f"{self.path} cannot be written; name a file in a folder of yours"
        root = change_plan.work_tree(Path(self._start["what"]["playbook"]))
        if self.path.is_relative_to(root) and (root / ".git").exists() and not _ignored(self.path, root):
            yield (
                f"{_shown(self.path)} would be a change of the checkout, which then could not apply its own plan; "
                "choose a file outside, or in a folder that git ignores, such as .state/plans/"
            )


def unclear_version(what: Mapping[str, Any]) -> Iterator[str]:
    """Why nobody could say which version of the procedure is meant."""
    if what.get("dirty"):
        yield "the checkout has changes that are not committed, so no commit says what it does; commit or remove them"
    elif not what.get("commit") and not what.get("version"):
        reason = what.get("version_unknown") or "it is neither a commit nor an installed collection"
        yield f"the version of the playbook is unknown: {reason}"


def _ignored(path: Path, root: Path) -> bool:
    command = ["git", "check-ignore", "--quiet", "--", str(path)]
    return subprocess.run(command, cwd=root, check=False, capture_output=True).returncode == 0


def _command(arguments: Sequence[str], path: str) -> str:
    """The command line that applies the plan: that of the check-mode run, with other options at its end."""
    kept: list[str] = []
    words = iter(arguments)
    for word in words:
        if word in _CHECK_OPTIONS:
            continue
        option = next((option for option in _EXTRA if word.startswith(option)), "")
        if not option:
            kept.append(word)
            continue
        value = _without_option(word.removeprefix(option) or next(words, ""))
        kept += ["-e", value] if value else []
    return shlex.join([Path(kept[0]).name, *kept[1:]]) + f" -e {APPLY}={path}"


def _without_option(value: str) -> str:
    """What -e gives besides the plan's file: as JSON, a file, or words."""
    if OPTION not in value:
        return value
    try:
        return json.dumps(rest) if (rest := {k: v for k, v in json.loads(value).items() if k != OPTION}) else ""
    except (ValueError, AttributeError):
        return shlex.join(word for word in shlex.split(value) if not word.startswith(f"{OPTION}="))


def _shown(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
