# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Managed files: what is there, what has to be there, and the atomic way from one to the other."""

from __future__ import annotations

import base64
import grp
import hashlib
import os
import pwd
import stat
from typing import Any, Optional

from ansible_collections.ops.runbook.plugins.module_utils.configuration_basics import Entry, EntryError, Step

ABSENT: dict[str, Any] = {"exists": False}


def temporary(path: str) -> str:
    """Where a file is written before it takes its place. The name is fixed, so that a later run finds what was left."""
    folder, name = os.path.split(path)
    # Hidden, and with another suffix: nothing that includes `*` or `*.conf` reads it.
    return os.path.join(folder, f".{name}.ops-runbook-new")


def _name(number: int, lookup: Any) -> str:
    try:
        return str(lookup(number)[0])
    except KeyError:
        return str(number)


def observe_file(variable: str, path: str) -> tuple[dict[str, Any], Optional[bytes]]:
    """State and content of the file, where it exists."""
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):
            raise EntryError(variable, f"has the path {path}, which is no regular file on this host")
        with open(path, "rb") as file:
            content = file.read()
    except FileNotFoundError:
        return dict(ABSENT), None
    except NotADirectoryError as error:
        raise EntryError(variable, f"has the path {path}, a part of which is a file on this host") from error
    state = {
        "exists": True,
        "sha256": hashlib.sha256(content).hexdigest(),
        "mode": f"{stat.S_IMODE(found.st_mode):04o}",
        "owner": _name(found.st_uid, pwd.getpwuid),
        "group": _name(found.st_gid, grp.getgrgid),
    }
    return state, content


def account(variable: str, state: dict[str, Any]) -> tuple[int, int]:
    """Numbers of the file's owner and group."""
    numbers = []
    lookups: dict[str, Any] = {"owner": pwd.getpwnam, "group": grp.getgrnam}
    for kind, lookup in lookups.items():
        name = str(state[kind])
        try:
            numbers.append(int(name) if name.isdigit() else int(lookup(name)[2]))
        except KeyError as error:
            raise EntryError(variable, f"has the {kind} {name!r}, whom this host does not know") from error
    return numbers[0], numbers[1]


def wanted_content(entry: Entry) -> Optional[bytes]:
    """The content that the file has to have; None where there has to be no file."""
    if entry.get("absent"):
        return None
    if "content_bytes" in entry:  # of a recorded version
        kept: bytes = entry["content_bytes"]
        return kept
    return base64.b64decode(entry["content"])


def plan_file(entry: Entry) -> tuple[Step, Optional[bytes], Optional[bytes]]:
    """The step of a file, with the content before and after; a step that differs in nothing is done already."""
    variable = entry["variable"]
    # A link such as nginx's sites-enabled/x stays: what it points to is the file.
    real = os.path.realpath(entry["path"])
    before, old = observe_file(variable, real)
    new = wanted_content(entry)
    if new is None:
        after = dict(ABSENT)
        differs = ["exists"] if before["exists"] else []
    else:
        after = {"exists": True, "sha256": hashlib.sha256(new).hexdigest()}
        after.update({key: entry[key] for key in ("mode", "owner", "group")})
        account(variable, after)
        differs = [key for key in after if after[key] != before.get(key)] if before["exists"] else ["exists"]
    step = {**{key: entry.get(key) for key in STEP_KEYS}, "kind": "file", "subject": entry["path"], "real": real}
    step.update(before=before, after=after, differs=["content" if key == "sha256" else key for key in differs])
    return step, old, new


#: What a step keeps of its entry, so that a restore knows how the file is checked and taken into use.
STEP_KEYS = (
    "name",
    "variable",
    "secret",
    "validate",
    "reload",
    "restart",
    "restart_pending",
    "daemon_reload",
)


def file_diff(step: Step, old: Optional[bytes], new: Optional[bytes]) -> list[dict[str, str]]:
    """What changes, for people. A secret file shows that it changes, and nothing of it."""
    diffs = []
    path = step["subject"]
    if "content" in step["differs"] or "exists" in step["differs"]:
        sides = [_shown(step, content) for content in (old, new)]
        if step["secret"] and sides[0] == sides[1]:
            sides[1] = "(other secret content)\n"
        diffs.append({"before_header": path, "after_header": path, "before": sides[0], "after": sides[1]})
    marks = [key for key in ("owner", "group", "mode") if key in step["differs"]]
    if marks or ("exists" in step["differs"] and step["after"]["exists"]):
        keys = marks or ["owner", "group", "mode"]
        before, after = (
            "".join(f"{key}: {step[side][key]}\n" for key in keys if step[side].get(key))
            for side in ("before", "after")
        )
        header = f"{path} (attributes)"
        diffs.append({"before_header": header, "after_header": header, "before": before, "after": after})
    return diffs


def _shown(step: Step, content: Optional[bytes]) -> str:
    if content is None:
        return ""
    if step["secret"]:
        return "(secret content)\n"
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return f"(binary, {len(content)} bytes, SHA-256 {hashlib.sha256(content).hexdigest()})\n"


def sync_folder(path: str) -> None:
    """Make a rename in the folder outlast a power cut."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def write_file(path: str, content: bytes, mode: int, owner: Optional[tuple[int, int]] = None) -> None:
    """Write the file under another name and then put it in its place: nobody ever sees half of it."""
    waiting = temporary(path)
    if os.path.lexists(waiting):
        os.unlink(waiting)
    number = os.open(waiting, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(number, "wb") as file:
        file.write(content)
        file.flush()
        if owner is not None:
            os.fchown(file.fileno(), *owner)
        os.fchmod(file.fileno(), mode)
        os.fsync(file.fileno())
    os.replace(waiting, path)
    sync_folder(os.path.dirname(path))


def missing_folders(path: str) -> list[str]:
    """The folders above the path that do not exist, outermost first."""
    missing: list[str] = []
    folder = os.path.dirname(path)
    while not os.path.isdir(folder):
        missing.insert(0, folder)
        folder = os.path.dirname(folder)
    return missing


def install_file(variable: str, path: str, state: dict[str, Any], content: Optional[bytes]) -> None:
    """Make the file what the state says."""
    if not state["exists"] or content is None:
        if os.path.lexists(path):
            os.unlink(path)
            sync_folder(os.path.dirname(path))
        return
    for folder in missing_folders(path):
        os.mkdir(folder, 0o755)
    write_file(path, content, int(state["mode"], 8), account(variable, state))
