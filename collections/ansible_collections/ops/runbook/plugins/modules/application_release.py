#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One step of a release on its host; the action plugin of the same name brings what a build needs."""

from __future__ import annotations

DOCUMENTATION = r"""
module: application_release
short_description: Build, switch to, take back or conclude a release of a Python application
version_added: 0.1.0
description:
  - A release is a folder C(<root>/releases/<name>) with the application's code, its lock file and a virtual environment
    of its own. The symbolic link C(<root>/current) names the one that runs, C(<root>/previous) the one before it.
  - A change that is under way is written down in C(<root>/change.json). Whoever runs the steps again goes on from
    there, and O(state=rolled_back) knows what ran before, also when an earlier run was interrupted.
options:
  state:
    description:
      - V(built) builds the release beside the running one, without network, and begins the change.
      - V(active) lets C(current) name it, restarts the service and waits for its first answer.
      - V(answering) only sends the requests.
      - V(rolled_back) goes back to what ran before the change and ends it.
      - V(settled) ends the change, lets C(previous) name what ran before, and removes old releases. After a way back
        (O(back)) C(previous) names the release itself, so that going back twice leads no further; of an update that
        was interrupted and is undone nothing is remembered.
    type: str
    required: true
    choices: [built, active, answering, rolled_back, settled]
  root:
    description: Folder of the application.
    type: path
    required: true
  release:
    description: Name of the release.
    type: str
    required: true
  bundle:
    description: Archive with lock file, wheels and, where it is new, code; a file on the controller.
    type: path
  packages:
    description: The packages of the release before and after the change, one C(name==version) each, for the difference.
    type: dict
    default: {}
  python:
    description: Interpreter that virtual environments are made with.
    type: path
    default: /usr/bin/python3
  service:
    description: systemd unit of the application.
    type: str
    default: ''
  activation:
    description: Whether the unit is restarted, or told to reload. Reload only where the unit then runs the new release.
    type: str
    choices: [restart, reload]
    default: restart
  requests:
    description: Requests that the application answers when it works. The first one says that it is there.
    type: list
    elements: dict
    default: []
  token:
    description: Bearer token of the requests that have C(token) set.
    type: str
    default: ''
  timeout:
    description: Seconds that the application may take to answer all requests.
    type: float
    default: 30
  keep:
    description: How many releases stay, the running one and the one before it included; these two always stay.
    type: int
    default: 3
  back:
    description: Whether the release is an earlier one, to which the host goes back.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
    description: Predicts every change.
  diff_mode:
    support: partial
    description: V(built) shows the packages.
author: The ops.runbook authors (@ops-runbook)
"""

EXAMPLES = r"""
- name: Switch to the release and restart the service
  ops.runbook.application_release:
    state: active
    root: /opt/evidence-api
    release: 1.0.0-3f1edf7b42dc
    service: evidence-api.service
    requests:
      - get: http://localhost:8000/healthz
        json: {release: "{release}"}
"""

RETURN = r"""
path:
  description: The release's folder; for V(active) and V(rolled_back) the link that names it.
  returned: always
  type: str
seconds:
  description: From before the switch until the service answered, by the host's clock.
  returned: when the service was restarted
  type: float
previous:
  description: The release that ran before.
  returned: for active, rolled_back and settled
  type: str
removed:
  description: Releases that were removed.
  returned: for settled
  type: list
  elements: str
"""

import os
import shutil
import subprocess
import tarfile
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.ops.runbook.plugins.module_utils import application_release as store
from ansible_collections.ops.runbook.plugins.module_utils import application_service as service
from ansible_collections.ops.runbook.plugins.module_utils.application_release import ReleaseError
from ansible_collections.ops.runbook.plugins.module_utils.application_service import ServiceError

OPTIONS: dict[str, Any] = {
    "state": {
        "type": "str",
        "required": True,
        "choices": ["built", "active", "answering", "rolled_back", "settled"],
    },
    "root": {"type": "path", "required": True},
    "release": {"type": "str", "required": True},
    "bundle": {"type": "path"},
    "packages": {"type": "dict", "default": {}},
    "python": {"type": "path", "default": "/usr/bin/python3"},
    "service": {"type": "str", "default": ""},
    "activation": {"type": "str", "choices": ["restart", "reload"], "default": "restart"},
    "requests": {"type": "list", "elements": "dict", "default": []},
    "token": {"type": "str", "default": "", "no_log": True},
    "timeout": {"type": "float", "default": 30},
    "keep": {"type": "int", "default": 3},
    "back": {"type": "bool", "default": False},
}


class Steps:
    """The states, each a step that can be taken again."""

    def __init__(self, options: dict[str, Any], check: bool) -> None:
        self.options = options
        self.check = check
        self.root = Path(options["root"])
        self.release: str = options["release"]
        self.folder = self.root / "releases" / self.release

    def built(self) -> dict[str, Any]:
        """Build the release unless it is there, and begin the change."""
        current = store.linked(self.root, "current")
        missing = not store.is_whole(self.folder)
        if not self.check:
            if missing:
                self._build(self.root / "releases" / current)
            self._begin(current)
        packages = self.options["packages"]
        diff = {
            "before_header": current,
            "after_header": self.release,
            "before": "".join(line + "\n" for line in packages.get("before", [])),
            "after": "".join(line + "\n" for line in packages.get("after", [])),
        }
        return {"changed": missing, "path": str(self.folder), "diff": diff if missing else {}}

    def _begin(self, current: str) -> None:
        """Write down what ran before the change. What an interrupted change says stays: that is where it came from."""
        change = store.read_change(self.root)
        before = change.get("previous") or current
        known = change if change.get("release") == self.release else {}
        active = change.get("active", "")
        own = {"release": self.release, "previous": before, "active": active, "back": self.options["back"]}
        store.write_change(self.root, dict(known, **own))

    def _build(self, current: Path) -> None:
        archive = Path(self.options["bundle"] or "")
        if not archive.is_file():
            raise ReleaseError(f"release {self.release} is not there, and there is nothing to build it from")
        folder = store.begin(self.root, self.release)
        with tarfile.open(str(archive)) as tar:
            _extract(tar, folder)
        if (folder / "code.tar").exists():
            with tarfile.open(str(folder / "code.tar")) as tar:
                _extract(tar, folder, [member for member in tar if _is_code(member.name)])
            (folder / "code.tar").unlink()
        else:
            self._copy_code(current, folder)
        for path in [folder, *folder.rglob("*")]:
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        self._install(folder)
        shutil.rmtree(str(folder / "wheels"))
        store.finish(folder)

    @staticmethod
    def _copy_code(current: Path, folder: Path) -> None:
        for path in store.code_files(current):
            target = folder / path.relative_to(current)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(str(path), str(target), follow_symlinks=False)

    def _install(self, folder: Path) -> None:
        """Make the virtual environment in its final place: its programs hold their own path."""
        python = str(folder / "venv" / "bin" / "python")
        self._run(self.options["python"], "-m", "venv", str(folder / "venv"))
        # No index, only hashes that are in the lock: nothing comes from anywhere else.
        command = [python, "-m", "pip", "--disable-pip-version-check", "--no-cache-dir", "install", "--quiet"]
        command += ["--no-index", "--find-links={}".format(folder / "wheels"), "--require-hashes", "--no-deps"]
        self._run(*command, "--requirement={}".format(folder / "requirements.lock"))
        self._run(python, "-m", "pip", "--disable-pip-version-check", "check")
        self._run(python, "-m", "compileall", "-q", str(folder), "-x", "/venv/")

    @staticmethod
    def _run(*command: str) -> None:
        environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "PIP_CONFIG_FILE": os.devnull}
        # pylint: disable-next=ansible-bad-function
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if done.returncode != 0:
            said = done.stdout.decode(errors="replace").strip()
            raise ReleaseError("{} ended with {}:\n{}".format(" ".join(command[:4]), done.returncode, said[-2000:]))

    def active(self) -> dict[str, Any]:
        """Switch to the release, unless the service runs it."""
        change = store.read_change(self.root)
        current = store.linked(self.root, "current")
        # The link alone does not say what the service runs: an earlier run may have been killed in between.
        changed = current != self.release or change.get("active") != self.release
        result: dict[str, Any] = {"changed": changed, "path": str(self.root / "current"), "previous": current}
        if self.check:
            return result
        if not store.is_whole(self.folder):
            raise ReleaseError(f"release {self.folder} is not whole; it cannot be switched to")
        result["previous"] = change.get("previous", current)
        if changed:
            # From here on the way back needs a restart, however far this one gets.
            store.write_change(self.root, dict(change, release=self.release, active="?"))
            result["seconds"] = self._switch(self.release)
            store.write_change(self.root, dict(change, release=self.release, active=self.release))
        return result

    def _switch(self, release: str) -> float:
        """Let the service run a release; the seconds until its first answer."""
        start = time.monotonic()
        store.point(self.root, "current", release)
        service.activate(self.options["service"], self.options["activation"])
        self._await(release, self.options["requests"][:1])
        return round(time.monotonic() - start, 3)

    def _await(self, release: str, requests: list[dict[str, Any]]) -> None:
        options = self.options
        names = {"release": release}
        service.await_answer(options["service"], requests, names, options["token"], options["timeout"])

    def answering(self) -> dict[str, Any]:
        """Send all requests."""
        if not self.check:
            self._await(self.release, self.options["requests"])
        return {"changed": False, "path": str(self.folder)}

    def rolled_back(self) -> dict[str, Any]:
        """Let the service run again what it ran before the change."""
        change = store.read_change(self.root)
        previous = change.get("previous", "")
        needed = bool(previous) and bool(change.get("active"))
        result: dict[str, Any] = {"changed": needed, "path": str(self.root / "current"), "previous": previous}
        if self.check:
            return result
        if needed and not store.is_whole(self.root / "releases" / previous):
            whole = ", ".join(path.name for path in store.releases(self.root) if store.is_whole(path)) or "none"
            raise ReleaseError(
                f"release {previous}, which ran before, is not whole any more: {self.root / 'current'} still names"
                f" {store.linked(self.root, 'current') or 'nothing'}; whole are {whole}"
            )
        if needed:
            result["seconds"] = self._switch(previous)
            self._await(previous, self.options["requests"])
        store.end_change(self.root)
        return result

    def settled(self) -> dict[str, Any]:
        """End the change and remove what is old."""
        change = store.read_change(self.root)
        current = store.linked(self.root, "current")
        former = change.get("previous") or (current if self.check else "")
        previous = former if former and former != self.release else store.linked(self.root, "previous")
        if self.options["back"] and former != self.release:
            previous = self.release
        removed = store.superfluous(self.root, self.options["keep"], self.release, previous)
        if not self.check:
            if previous and previous != store.linked(self.root, "previous"):
                store.point(self.root, "previous", previous)
            for name in removed:
                store.remove(self.root, name)
            store.end_change(self.root)
        where = ", ".join(removed) or "-"
        return {"changed": bool(removed), "path": where, "previous": previous, "removed": removed}


def _is_code(name: str) -> bool:
    return Path(name).parts[:1] != () and Path(name).parts[0] not in store.NO_CODE and "__pycache__" not in name


def _extract(tar: tarfile.TarFile, folder: Path, members: list[tarfile.TarInfo] | None = None) -> None:
    """Unpack; nothing lands outside of the folder, and everything belongs to root."""
    chosen = list(tar) if members is None else members
    for member in chosen:
        parts = Path(member.name).parts
        if member.name.startswith("/") or ".." in parts or not (member.isfile() or member.isdir()):
            raise ReleaseError(f"the archive has {member.name!r}, which is no plain file or folder")
        member.uid = member.gid = 0
        member.uname = member.gname = "root"
        tar.extract(member, str(folder))


def main() -> None:
    """Take one step."""
    module = AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    os.umask(0o022)
    steps = Steps(module.params, module.check_mode)
    try:
        result = getattr(steps, module.params["state"])()
    except (ReleaseError, ServiceError, OSError, tarfile.TarError) as error:
        module.fail_json(msg=str(error), path=str(steps.folder))
    else:
        module.exit_json(**result)


if __name__ == "__main__":
    main()
