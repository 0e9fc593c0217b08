# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A set of files that is installed as a whole and can be put back: the former ones are kept until it is confirmed."""

from __future__ import annotations

import base64
import grp
import json
import os
import pwd
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

KEPT = Path("/var/lib/ops-runbook/file_sets")


@dataclass(frozen=True)
class Entry:
    """A file or folder as it is to be; ``content`` is None for a folder, and ``absent`` for neither."""

    path: Path
    content: Optional[bytes] = None
    mode: int = 0o644
    owner: str = "root"
    group: str = "root"
    absent: bool = False
    secret: bool = False

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Entry:
        """The entry that a task gives."""
        content = data.get("content")
        folder = bool(data.get("directory"))
        return cls(
            Path(data["path"]),
            None if folder or content is None else str(content).encode(),
            int(str(data.get("mode") or ("0755" if folder else "0644")), 8),
            data.get("owner") or "root",
            data.get("group") or "root",
            bool(data.get("absent")),
            bool(data.get("secret")),
        )


def observe(path: Path) -> dict[str, Any]:
    """What is at the path now, as it can be kept in JSON."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return {"kind": "absent"}
    state: dict[str, Any] = {"mode": stat.S_IMODE(found.st_mode), "uid": found.st_uid, "gid": found.st_gid}
    if stat.S_ISDIR(found.st_mode):
        return {**state, "kind": "directory"}
    if stat.S_ISLNK(found.st_mode):
        return {**state, "kind": "link", "target": str(path.readlink())}
    return {**state, "kind": "file", "content": base64.b64encode(path.read_bytes()).decode()}


def wanted(entry: Entry) -> dict[str, Any]:
    """What is to be at the path."""
    if entry.absent:
        return {"kind": "absent"}
    # A user or group that a package brings may not be there yet, in check mode.
    uid = pwd.getpwnam(entry.owner).pw_uid if _known(pwd.getpwnam, entry.owner) else -1
    gid = grp.getgrnam(entry.group).gr_gid if _known(grp.getgrnam, entry.group) else -1
    state = {"mode": entry.mode, "uid": uid, "gid": gid}
    if entry.content is None:
        return {**state, "kind": "directory"}
    return {**state, "kind": "file", "content": base64.b64encode(entry.content).decode()}


def _known(lookup: Any, name: str) -> bool:
    try:
        lookup(name)
    except KeyError:
        return False
    return True


def put(path: Path, state: Mapping[str, Any]) -> None:
    """Bring the path to a state, in one step where it is a file."""
    if state["kind"] == "absent":
        if path.is_dir() and not path.is_symlink():
            # A folder that has been filled since stays: it may hold backups.
            if not any(path.iterdir()):
                path.rmdir()
        elif path.exists() or path.is_symlink():
            path.unlink()
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if state["kind"] == "directory":
        path.mkdir(exist_ok=True)
        os.chown(path, state["uid"], state["gid"])
        path.chmod(state["mode"])
        return
    draft = path.with_name(f".{path.name}.ops-runbook-new")
    draft.unlink(missing_ok=True)
    if state["kind"] == "link":
        draft.symlink_to(state["target"])
        draft.replace(path)
        return
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(base64.b64decode(state["content"]))
        file.flush()
        os.fsync(file.fileno())
    os.chown(draft, state["uid"], state["gid"])
    draft.chmod(state["mode"])
    draft.replace(path)


class FileSet:
    """The files of one purpose on this host."""

    def __init__(self, name: str, kept: Path = KEPT) -> None:
        self._kept = kept / f"{name}.json"

    def differing(self, entries: Sequence[Entry]) -> list[Entry]:
        """What is not as it is to be."""
        return [entry for entry in entries if observe(entry.path) != wanted(entry)]

    def install(self, entries: Sequence[Entry]) -> None:
        """Keep what is there, then put all in place. What an interrupted run has kept is older, and stays."""
        former = self.former()
        for entry in entries:
            former.setdefault(str(entry.path), observe(entry.path))
        self._kept.parent.mkdir(parents=True, exist_ok=True)
        self._kept.parent.chmod(0o700)
        descriptor = os.open(self._kept.with_suffix(".new"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(former, file)
            file.flush()
            os.fsync(file.fileno())
        self._kept.with_suffix(".new").replace(self._kept)
        for entry in entries:
            put(entry.path, wanted(entry))

    def former(self) -> dict[str, Any]:
        """Path → state before the first change that was not confirmed."""
        if not self._kept.exists():
            return {}
        former: dict[str, Any] = json.loads(self._kept.read_text(encoding="utf-8"))
        return former

    def restore(self) -> list[str]:
        """Put back what was there; files before the folders that they are in."""
        former = self.former()
        changed = [name for name, state in former.items() if observe(Path(name)) != state]
        for name in sorted(changed, key=lambda each: (former[each]["kind"] == "absent", -len(each))):
            put(Path(name), former[name])
        self.confirm()
        return changed

    def confirm(self) -> bool:
        """Forget what was there before; whether there was something to forget."""
        known = self._kept.exists()
        self._kept.unlink(missing_ok=True)
        return known
