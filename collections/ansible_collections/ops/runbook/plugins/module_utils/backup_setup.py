# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host lacks of what its backups need: packages, accounts, files, units, and what was made with them."""

from __future__ import annotations

import json
import pwd
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.ops.runbook.plugins.module_utils.backup_basics import run, span
from ansible_collections.ops.runbook.plugins.module_utils.file_set import Entry, FileSet


def absent_packages(names: Sequence[str]) -> list[str]:
    """Those that dpkg does not know as installed: a half-configured one is none."""
    if not names:
        return []
    listed = run(["dpkg-query", "--show", "--showformat=${db:Status-Status} ${Package}\n", *names]).output
    known = {line.split()[1] for line in listed.splitlines() if line.startswith("installed ")}
    return [name for name in names if name not in known]


def _is_like(account: Mapping[str, str]) -> bool:
    try:
        known = pwd.getpwnam(account["name"])
    except KeyError:
        return False
    return (known.pw_dir, known.pw_shell) == (account["home"], account["shell"])


def _runs(unit: str) -> bool:
    return not any(run(["systemctl", "--quiet", question, unit]).returncode for question in ("is-enabled", "is-active"))


def keeps(settings: Mapping[str, Any], name: str = "") -> dict[str, float]:
    """How long the settings of a program keep what, in seconds."""
    found: dict[str, float] = {}
    for key, value in settings.items():
        if key == "keep":
            found.update(value if isinstance(value, Mapping) else {name: value})
        elif isinstance(value, Mapping):
            found.update(keeps(value, key))
    return found


def shortened(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the settings in force keep for longer than those that are to be."""
    found = []
    for path, content in ((Path(each["path"]), each.get("content")) for each in entries):
        if path.suffix == ".json" and path.exists():
            wanted = keeps(json.loads(str(content)))
            for name, former in keeps(json.loads(path.read_text(encoding="utf-8"))).items():
                if wanted.get(name, former) < former:
                    found.append(
                        f"{path.stem}: {name} is kept for {span(former)}, and would be for {span(wanted[name])}"
                    )
    return found


def lacking(name: str, setup: Mapping[str, Any]) -> dict[str, list[str]]:
    """What is not as the tasks of a role would leave it; what a killed run has not confirmed is lacking, too."""
    files = FileSet(name)
    return {
        "packages": absent_packages(setup["packages"]),
        "accounts": [each["name"] for each in setup["accounts"] if not _is_like(each)],
        "files": [
            *files.former(),
            *(str(each.path) for each in files.differing([Entry.of(e) for e in setup["entries"]])),
        ],
        "units": [unit for unit in setup["units"] if not _runs(unit)],
        "made": [path for path in setup["made"] if not Path(path).exists()],
        "shortened": shortened(setup["entries"]),
    }
