# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where a run comes from: who starts which playbook, in which version, on which inventory, why, and from which system.

Everything is read from the process, its environment and the extra variables; nobody is asked.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible.parsing.vault import VaultHelper
from ansible_collections.ops.runbook.plugins.module_utils.ledger_entry import canonical

#: git may have to look at every file of a large work tree; the run waits no longer than this for it.
GIT_TIMEOUT_SECONDS = 3.0
#: Variables of the inventory plugin that say where the checkout lies and not what the inventory is.
_PLACES = {"inventory_file", "inventory_dir", "playbook_dir"}
_VARIABLE_FOLDERS = ("group_vars", "host_vars")


def who(extra_vars: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """The user who started the run, and everybody on whose behalf."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    found = {
        "user": user,
        "uid": os.getuid(),
        "controller": platform.node(),
        "sudo_user": environment.get("SUDO_USER", ""),
        "awx_user": str(extra_vars.get("awx_user_name") or extra_vars.get("tower_user_name") or ""),
    }
    return {key: value for key, value in found.items() if value != ""}


def procedure(playbook: str) -> str:
    """The procedure's name: the playbook's path below ``playbooks/`` without its extension."""
    path = Path(playbook).absolute().with_suffix("")
    for parent in path.parents:
        if parent.name == "playbooks":
            return path.relative_to(parent).as_posix()
    return path.name


def what(playbook: str, environment: Mapping[str, str]) -> dict[str, Any]:
    """The playbook and its version: the collection's, or that of the git work tree around it."""
    path = Path(playbook).absolute()
    found: dict[str, Any] = {"playbook": str(path)}
    found.update(_collection(path))
    # An installed collection may lie inside somebody's work tree, whose commit says nothing about it.
    if "version" not in found:
        found.update(_git(path.parent))
    if not found.get("commit") and environment.get("PROJECT_REVISION"):
        found["commit"] = environment["PROJECT_REVISION"]
    return found


def _collection(path: Path) -> dict[str, Any]:
    """Name, version and playbook name where the playbook belongs to a collection."""
    parts = path.parts
    if "ansible_collections" not in parts:
        return {}
    at = len(parts) - 1 - parts[::-1].index("ansible_collections")
    root = Path(*parts[: at + 3])
    inside = path.with_suffix("").relative_to(root).parts
    if len(parts) <= at + 3 or inside[0] != "playbooks":
        return {}
    found = {"collection": f"{parts[at + 1]}.{parts[at + 2]}"}
    found["name"] = ".".join([found["collection"], *inside[1:]])
    try:
        manifest = json.loads((root / "MANIFEST.json").read_text(encoding="utf-8"))
        found["version"] = str(manifest["collection_info"]["version"])
    except (OSError, ValueError, KeyError):
        # Not installed: a checkout, whose commit is its version.
        return found
    return found


def _git(directory: Path) -> dict[str, Any]:
    """Commit and dirty flag in one call; nothing outside a work tree."""
    command = ["git", "--no-optional-locks", "status", "--porcelain=v2", "--branch", "--untracked-files=normal"]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    try:
        result = subprocess.run(
            command,
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=GIT_TIMEOUT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return {"version_unknown": f"git status took longer than {GIT_TIMEOUT_SECONDS:.0f} s"}
    except OSError:
        return {"version_unknown": "git is not installed"}
    if result.returncode:
        reason = result.stderr.strip().splitlines()
        return {"version_unknown": reason[0] if reason else "git status failed"}
    lines = result.stdout.splitlines()
    commit = next((line.split()[2] for line in lines if line.startswith("# branch.oid ")), "")
    return {"commit": commit, "dirty": any(not line.startswith("#") for line in lines)}


def where(arguments: Mapping[str, Any], inventory: Any) -> dict[str, Any]:
    """The inventory and what the command line makes of it."""
    return {
        "inventory": [_shown(str(source)) for source in inventory._sources],
        "inventory_sha256": inventory_digest(inventory),
        "limit": str(arguments.get("subset") or ""),
        "check": bool(arguments.get("check")),
        "diff": bool(arguments.get("diff")),
        "tags": [str(tag) for tag in arguments.get("tags") or () if tag != "all"],
        "skip_tags": [str(tag) for tag in arguments.get("skip_tags") or ()],
        "start_at_task": str(arguments.get("start_at_task") or ""),
    }


def _shown(source: str) -> str:
    # "host1,host2," is a list of hosts and not a path.
    return source if "," in source else str(Path(source).absolute())


def inventory_digest(inventory: Any) -> str:
    """SHA-256 over the inventory: groups, hosts, their variables, and the files in group_vars and host_vars beside it.

    Vaulted values enter with their ciphertext, so the digest gives no hint of a secret. It does not depend on where
    the inventory lies.
    """
    digest = hashlib.sha256()
    groups = {
        name: {
            "hosts": sorted(host.name for host in group.hosts),
            "children": sorted(child.name for child in group.child_groups),
            "vars": _plain(group.vars),
        }
        for name, group in inventory.groups.items()
    }
    hosts = {name: _plain(host.vars) for name, host in inventory.hosts.items()}
    digest.update(canonical({"groups": groups, "hosts": hosts}))
    for source in inventory._sources:
        for name, content in _variable_files(str(source)):
            digest.update(f"\n{name} {len(content)}\n".encode())
            digest.update(content)
    return digest.hexdigest()


def _plain(value: Any) -> Any:
    """JSON-ready data without places and without decrypted values."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items() if key not in _PLACES}
    if isinstance(value, (list, tuple, set)):
        return [_plain(item) for item in value]
    ciphertext = VaultHelper.get_ciphertext(value, with_tags=False)
    return str(value) if ciphertext is None else str(ciphertext)


def _variable_files(source: str) -> Iterable[tuple[str, bytes]]:
    if "," in source:
        return
    path = Path(source)
    directory = path if path.is_dir() else path.parent
    for folder in _VARIABLE_FOLDERS:
        for file in sorted((directory / folder).rglob("*")):
            if file.is_file() and not file.name.startswith("."):
                yield file.relative_to(directory).as_posix(), file.read_bytes()


def why(extra_vars: Mapping[str, Any]) -> dict[str, Any]:
    """The reasons given as extra variables ``runbook_*``: ticket, reason, alert, approval."""
    prefix = "runbook_"
    return {str(name)[len(prefix) :]: value for name, value in extra_vars.items() if str(name).startswith(prefix)}


def origin(extra_vars: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """The system that started the run: ``awx``, ``event-driven``, ``ansible-runner`` or ``terminal``."""
    found = _source(extra_vars, environment)
    # A prediction that a run under an approved plan makes again.
    parent = environment.get("RUNBOOK_PARENT_RUN_ID", "")
    return {**found, "parent": parent} if parent else found


def _source(extra_vars: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    event = _event(extra_vars)
    job = _awx_job(extra_vars, environment)
    if job:
        return {"kind": "awx", **job, **event}
    if event:
        return {"kind": "event-driven", **event}
    directory = environment.get("AWX_ISOLATED_DATA_DIR", "")
    if directory:
        return {"kind": "ansible-runner", "ident": Path(directory).name}
    return {"kind": "terminal", "tty": sys.stdin is not None and not sys.stdin.closed and sys.stdin.isatty()}


def _awx_job(extra_vars: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """What AWX, or the automation controller, says about its job."""
    names = ("job_id", "job_launch_type", "job_template_name", "workflow_job_id", "schedule_name")
    found: dict[str, Any] = {}
    for name in names:
        value = extra_vars.get(f"awx_{name}") or extra_vars.get(f"tower_{name}")
        if value:
            found[name] = str(value)
    # JOB_ID alone may be anybody's; AWX sets it together with the runner's directory.
    if "job_id" not in found and environment.get("JOB_ID") and environment.get("AWX_ISOLATED_DATA_DIR"):
        found["job_id"] = environment["JOB_ID"]
    return found if "job_id" in found else {}


def _event(extra_vars: Mapping[str, Any]) -> dict[str, Any]:
    """Rule set and rule, which ansible-rulebook passes in the variable ``ansible_eda``."""
    data = extra_vars.get("ansible_eda")
    if not isinstance(data, Mapping):
        return {}
    found = {key: str(data[key]) for key in ("ruleset", "rule") if data.get(key)}
    event = data.get("event")
    meta = event.get("meta") if isinstance(event, Mapping) else None
    if isinstance(meta, Mapping) and meta.get("uuid"):
        found["event"] = str(meta["uuid"])
    return {"event": found} if found else {"event": {}}
