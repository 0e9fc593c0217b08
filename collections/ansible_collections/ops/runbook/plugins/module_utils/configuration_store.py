# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Recorded versions: what each change replaced, kept on the host so that it can be put back without the controller.

    <store>/versions/<id>.json   what was changed, with the state before and after
    <store>/objects/<sha256>     contents
    <store>/lock                 held while a change is under way

A version is *installing* while its steps are done, *installed* until the health gate has passed, then *confirmed*; or
*rolled_back*. One that is found installing by somebody else was interrupted.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from typing import Any, Optional

from ansible_collections.ops.runbook.plugins.module_utils.configuration_basics import Entry, EntryError, Step
from ansible_collections.ops.runbook.plugins.module_utils.configuration_files import write_file

INSTALLING, INSTALLED, CONFIRMED, ROLLED_BACK = "installing", "installed", "confirmed", "rolled_back"
#: The version before every recorded one.
ORIGIN, PREVIOUS = "origin", "previous"
_LOCK_TIMEOUT = 60.0

Version = dict[str, Any]


class Store:
    """The versions that are recorded on this host."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._held: Optional[int] = None

    def _path(self, *names: str) -> str:
        return os.path.join(self.folder, *names)

    def lock(self) -> None:
        """Wait for a change that is under way: its controller may have died, its program has not."""
        if self._held is not None:
            return
        for folder in (os.path.dirname(self.folder), self.folder, self._path("versions"), self._path("objects")):
            if not os.path.isdir(folder):
                os.mkdir(folder, 0o700)
        number = os.open(self._path("lock"), os.O_WRONLY | os.O_CREAT, 0o600)
        deadline = time.monotonic() + _LOCK_TIMEOUT
        while True:
            try:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if time.monotonic() > deadline:
                    raise EntryError("configuration", f"is being changed: {self._path('lock')} is held") from error
                time.sleep(0.2)
            else:
                self._held = number
                return

    def versions(self) -> list[Version]:
        """All versions, oldest first."""
        try:
            names = sorted(
                name for name in os.listdir(self._path("versions")) if name.endswith(".json") and name[0] != "."
            )
        except FileNotFoundError:
            return []
        found = []
        for name in names:
            with open(self._path("versions", name), encoding="utf-8") as file:
                found.append(json.load(file))
        return found

    def unfinished(self) -> list[Version]:
        """Versions that the health gate has not confirmed, newest first."""
        return [v for v in reversed(self.versions()) if v["state"] in (INSTALLING, INSTALLED)]

    def save(self, version: Version) -> None:
        """Record the version, or its new state."""
        text = json.dumps(version, indent=1, sort_keys=True)
        write_file(self._path("versions", f"{version['id']}.json"), text.encode(), 0o600)

    def keep(self, content: Optional[bytes]) -> None:
        """Keep a content."""
        if content is None:
            return
        path = self._path("objects", hashlib.sha256(content).hexdigest())
        if not os.path.exists(path):
            write_file(path, content, 0o600)

    def content(self, state: dict[str, Any]) -> Optional[bytes]:
        """The content that belongs to a file's state."""
        if not state["exists"]:
            return None
        path = self._path("objects", state["sha256"])
        try:
            with open(path, "rb") as file:
                content = file.read()
        except FileNotFoundError as error:
            raise EntryError("configuration_changes_version", f"cannot be restored: {path} is missing") from error
        if hashlib.sha256(content).hexdigest() != state["sha256"]:
            raise EntryError("configuration_changes_version", f"cannot be restored: {path} was altered")
        return content

    def prune(self, most: int) -> None:
        """Forget the oldest versions beyond this number, and contents that no version has."""
        versions = self.versions()
        for version in versions[:-most]:
            os.unlink(self._path("versions", f"{version['id']}.json"))
        used = {
            step[side].get("sha256") for v in versions[-most:] for step in v["steps"] for side in ("before", "after")
        }
        for name in os.listdir(self._path("objects")):
            if name not in used:
                os.unlink(self._path("objects", name))

    def last_states(self) -> dict[tuple[str, str], tuple[str, Step]]:
        """The newest version that changed each subject, with its step; what was rolled back does not count."""
        found: dict[tuple[str, str], tuple[str, Step]] = {}
        for version in self.versions():
            if version["state"] != ROLLED_BACK:
                found.update({(step["kind"], step["subject"]): (version["id"], step) for step in version["steps"]})
        return found

    def _past(self) -> list[Version]:
        return [version for version in self.versions() if version["state"] != ROLLED_BACK]

    def last_change(self) -> str:
        """The oldest version that a restore of the previous state undoes, or has undone; empty where there is none."""
        past = self._past()
        restored = past[-1].get("restored") if past else ""
        if not restored:
            return str(past[-1]["id"]) if past else ""
        return str(next(v["id"] for v in past if restored == ORIGIN or v["id"] > restored))

    def entries(self, target: str) -> tuple[str, list[Entry]]:
        """What has to be the case for the host to be as it was right after the target version; and that version."""
        past = self._past()
        if target == PREVIOUS and past:
            # A restore is no change to be undone: going back once more leads to where it led.
            target = past[-1].get("restored") or ([ORIGIN] + [version["id"] for version in past])[-2]
        undone = [version for version in past if target in (ORIGIN, PREVIOUS) or version["id"] > target]
        kept = past[: len(past) - len(undone)]
        first: dict[tuple[str, str], Step] = {}
        for version in reversed(undone):
            first.update({(step["kind"], step["subject"]): step for step in version["steps"]})
        return (kept[-1]["id"] if kept else ORIGIN), [entry_of(self, step, "before") for step in first.values()]


def entry_of(store: Store, step: Step, side: str) -> Entry:
    """The entry that makes one side of a step the case."""
    entry: Entry = {key: value for key, value in step.items() if key not in ("before", "after", "differs", "real")}
    state = step[side]
    if step["kind"] == "file":
        entry["path"] = step["real"]
        entry["content_bytes"] = store.content(state)
        entry.update({key: state[key] for key in ("mode", "owner", "group") if key in state})
        entry["absent"] = not state["exists"]
    elif step["kind"] == "sysctl":
        entry["value"] = state["value"]
    else:
        entry.update(state)
    return entry
