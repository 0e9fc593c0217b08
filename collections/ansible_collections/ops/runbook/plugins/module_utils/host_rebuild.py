# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A host on a bare machine made what it was, from its file backups, step by step.

Each step that is done is written down, so that a run goes on from where another one stopped. Python 3.9.
"""

from __future__ import annotations

import fcntl
import fnmatch
import json
import os
import shutil
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable

FOLDER = "/var/lib/ops-runbook/rebuild"
STEPS = ("fetch", "accounts", "packages", "files", "release", "start", "finish")
DRAFT = ".ops-runbook-rebuilt"
#: Lists in the backup that say what to install; they are read, and not put in place.
LISTS = ("/var/lib/dpkg/*", "/var/lib/apt/*")
#: What says where packages come from and how they set themselves up: it has to be there before them.
BEFORE_PACKAGES = ("/etc/apt/*", "/etc/postgresql-common/*")
#: While packages are installed nothing is started: the configuration comes after them.
POLICY = Path("/usr/sbin/policy-rc.d")
POLICY_TEXT = "#!/bin/sh\n# ops.runbook rebuild: nothing starts before its configuration is there\nexit 101\n"
APT = (
    *("apt-get", "-y", "-q", "-o", "DPkg::Lock::Timeout=120", "--no-install-recommends"),
    *("-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold"),
)
WANTS = ("multi-user.target.wants", "sockets.target.wants", "timers.target.wants")

Run = Callable[..., "tuple[int, str, str]"]


class RebuildError(Exception):
    """A step could not be done; the text says why."""


@contextmanager
def under_lock(folder: str = FOLDER, seconds: float = 300.0) -> Iterator[None]:
    """Wait for what a killed run has left working here."""
    Path(folder).mkdir(parents=True, exist_ok=True, mode=0o700)
    with (Path(folder) / "lock").open("w", encoding="ascii") as file:
        deadline = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise RebuildError(f"another rebuild has worked here for {seconds:.0f} s") from None
                time.sleep(0.5)
        yield


def read_state(folder: str = FOLDER) -> dict[str, Any]:
    """How far the rebuild of this host has come; empty where there was none."""
    try:
        found: dict[str, Any] = json.loads((Path(folder) / "state.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return found


def installed(status: str) -> dict[str, str]:
    """Package → what is wanted of it (`install` or `hold`), of all that dpkg's list has as installed."""
    found = {}
    for block in status.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line and line[0] not in " \t")
        wanted, _ok, state = [*fields.get("Status", "").split(), "", "", ""][:3]
        if state == "installed":
            found[fields["Package"]] = wanted
    return found


def automatic(states: str) -> set[str]:
    """The packages that apt has installed because others need them."""
    found = set()
    for block in states.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if fields.get("Auto-Installed") == "1":
            found.add(fields["Package"])
    return found


def merged(today: Sequence[str], saved: Sequence[str], number: int, what: str) -> list[str]:
    """The lines of an account file with those of the backup that it lacks.

    ``number`` is the field that no two names may share, 0 for none; members of groups that both have are united.
    """
    rows = {line.split(":", 1)[0]: line for line in today if line}
    used = {line.split(":")[number]: name for name, line in rows.items()} if number else {}
    for line in filter(None, saved):
        fields = line.split(":")
        name = fields[0]
        if name in rows:
            rows[name] = _united(rows[name].split(":"), fields) if what in ("group", "gshadow") else rows[name]
        elif number and fields[number] in used:
            raise RebuildError(
                f"{name} had the number {fields[number]} in /etc/{what}, which {used[fields[number]]} has on this"
                " machine. Give that one another number, or begin with a bare machine"
            )
        else:
            rows[name] = line
    return list(rows.values())


def _united(today: list[str], saved: list[str]) -> str:
    members = [name for name in today[3].split(",") if name]
    members += [name for name in saved[3].split(",") if name and name not in members]
    return ":".join([*today[:3], ",".join(members)])


class HostRebuild:
    """The rebuild of this host."""

    def __init__(self, run: Run, job: Mapping[str, Any], folder: str = FOLDER, root: str = "/") -> None:
        self._run, self._job, self._folder, self._root = run, job, Path(folder), Path(root)
        self.state = read_state(folder)
        if self.state.get("number") != job["number"]:
            self.state = {"number": job["number"], "done": [], "begun": 0.0, "took": {}, "sources": job["sources"]}

    def pending(self, step: str) -> bool:
        """Whether the step is still to be done."""
        return step not in self.state["done"] and (step != "release" or bool(self._job["root"]))

    def do(self, step: str, secrets: Mapping[str, Mapping[str, str]], authority: str) -> None:
        """Do the step, and write down that it is done, and how long it took."""
        began = time.time()
        if not self.state["begun"]:
            self.state["begun"] = began
            self._write()
        if step == "fetch":
            self._fetch(secrets, authority)
        else:
            getattr(self, f"_{step}")()
        self.state["done"].append(step)
        self.state.setdefault("took", {})[step] = round(time.time() - began, 1)
        self._write()
        if step == "finish":
            shutil.rmtree(str(self._folder / "files"), ignore_errors=True)

    def close(self) -> bool:
        """Stop what was started before the rebuild is whole, so that nobody is served by half of it."""
        if "start" not in self.state["done"] or "finish" in self.state["done"]:
            return False
        self._demand(["systemctl", "stop", *self._job["services"]])
        self.state["done"].remove("start")
        self._write()
        return True

    def release(self) -> str:
        """The release that ran, by the link of the backup."""
        link = self._root / self._job["root"].lstrip("/") / "current"
        return link.readlink().name if self._job["root"] and link.is_symlink() else ""

    def _write(self) -> None:
        draft = self._folder / "state.draft"
        draft.write_text(json.dumps(self.state, indent=1) + "\n", encoding="utf-8")
        draft.replace(self._folder / "state.json")

    def _demand(self, command: Sequence[str], **options: Any) -> str:
        code, output, errors = self._run(list(command), **options)
        if code:
            lines = [line for line in (errors or output).splitlines() if line.strip()]
            raise RebuildError(f"{' '.join(command[:2])} ended with {code}: {'; '.join(lines[-6:])[-900:]}")
        return str(output)

    def _apt(self, *words: str) -> None:
        self._demand([*APT, *words], environ_update={"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"})

    def _fetch(self, secrets: Mapping[str, Mapping[str, str]], authority: str) -> None:
        """The snapshots of the backup, beside everything."""
        self._demand(["dpkg", "--configure", "-a"])
        if not shutil.which("restic"):
            self._apt("update")
            self._apt("install", "restic", "ca-certificates")
        trusted = self._folder / "authority.pem"
        trusted.write_text(authority, encoding="utf-8")
        shutil.rmtree(str(self._folder / "files"), ignore_errors=True)
        for tag, source in self._job["sources"].items():
            options = {
                "RESTIC_REPOSITORY": secrets[tag]["repository"],
                "RESTIC_PASSWORD": secrets[tag]["password"],
                "LC_ALL": "C.UTF-8",
            }
            target = str(self._folder / "files" / tag)
            common = ["timeout", "900", "restic", "--no-cache", "--no-lock", "--cacert", str(trusted)]
            self._demand([*common, "restore", source["id"], "--target", target], environ_update=options)

    def _saved(self, path: str) -> str:
        file = self._folder / "files/configuration" / path.lstrip("/")
        if not file.exists():
            raise RebuildError(
                f"the snapshot has no {path}: this backup is too old to rebuild a host from. What a rebuild needs"
                " stands in file_backup_sets"
            )
        return file.read_text(encoding="utf-8")

    def _accounts(self) -> None:
        """Users and groups with the numbers that they had, before packages make them with others."""
        with Path("/etc/.pwd.lock").open("w", encoding="ascii") as lock:
            fcntl.lockf(lock, fcntl.LOCK_EX)
            for name, number in (("group", 2), ("passwd", 2), ("gshadow", 0), ("shadow", 0)):
                path = self._root / "etc" / name
                lines = merged(
                    path.read_text(encoding="utf-8").splitlines(),
                    self._saved(f"/etc/{name}").splitlines(),
                    number,
                    name,
                )
                _replace(path, ("\n".join(lines) + "\n").encode(), path.stat())

    def _packages(self) -> None:
        """What was installed, from the archives that were configured."""
        self._put("configuration", BEFORE_PACKAGES)
        wanted = installed(self._saved("/var/lib/dpkg/status"))
        present = installed(Path("/var/lib/dpkg/status").read_text(encoding="utf-8"))
        missing = sorted(set(wanted) - set(present))
        if not POLICY.exists():
            POLICY.write_text(POLICY_TEXT, encoding="ascii")
            POLICY.chmod(0o755)
        try:
            self._demand(["dpkg", "--configure", "-a"])
            if missing:
                self._apt("update")
                self._apt("install", *missing)
        finally:
            if POLICY.read_text(encoding="utf-8") == POLICY_TEXT:
                POLICY.unlink()
        states = self._folder / "files/configuration/var/lib/apt/extended_states"  # missing if there are none
        drawn_in = sorted(automatic(states.read_text(encoding="utf-8")) & set(wanted)) if states.exists() else []
        if drawn_in:
            self._demand(["apt-mark", "auto", *drawn_in])
        held = sorted(name for name, how in wanted.items() if how == "hold")
        if held:
            self._demand(["apt-mark", "hold", *held])

    def _files(self) -> None:
        """Configuration, certificates, keys, units and programs."""
        self._put("configuration", ["/*"])
        self._demand(["systemctl", "daemon-reload"])

    def _release(self) -> None:
        """The application, with virtual environments for the release that ran and the one before."""
        if not self._job["root"]:
            return
        self._put("application", ["/*"])
        root = Path(self._job["root"])
        for name in ("current", "previous"):
            if (root / name).is_symlink():
                self._environment((root / name).resolve())
        if not self.release():
            raise RebuildError(f"the snapshot has no {root}/current: nobody knows which release ran")

    def _environment(self, release: Path) -> None:
        wheels, lock = release / "wheels", release / "requirements.lock"
        if not wheels.is_dir() or not lock.is_file():
            raise RebuildError(f"the snapshot of {release} has no wheels or no requirements.lock")
        shutil.rmtree(str(release / "venv"), ignore_errors=True)
        self._demand(["python3", "-m", "venv", str(release / "venv")])
        pip = [str(release / "venv/bin/pip"), "--disable-pip-version-check", "install", "--no-index"]
        self._demand([*pip, f"--find-links={wheels}", "--require-hashes", f"--requirement={lock}"])

    def _start(self) -> None:
        """What starts with the machine, now, with this configuration."""
        units = {
            path.name for wants in WANTS for path in Path("/etc/systemd/system").glob(f"{wants}/*") if path.exists()
        }
        self._run(["systemctl", "reset-failed"])
        self._run(["systemctl", "start", *sorted(units)])  # a unit that nobody named may fail, as when booting
        for unit in self._job["services"]:
            self._demand(["systemctl", "restart", unit])

    def _finish(self) -> None:
        self.state["finished"] = time.time()

    def _put(self, tag: str, patterns: Sequence[str]) -> None:
        """Put everything of a snapshot that a pattern names in its place, each file as a whole."""
        base = self._folder / "files" / tag
        kept = (*LISTS, *self._job["keep"])
        for folder, names, files in os.walk(str(base)):
            names[:] = [name for name in names if not _named(_path(folder, name, base), kept)]
            links = [name for name in names if (Path(folder) / name).is_symlink()]
            here = "/" + str(Path(folder).relative_to(base)).lstrip(".")
            if here != "/" and _named(here + "/", patterns):
                _folder(Path(folder), self._root / here.lstrip("/"))
            for name in (*files, *links):
                path = _path(folder, name, base)
                if _named(path, patterns) and not _named(path, kept):
                    _copy(Path(folder) / name, self._root / path.lstrip("/"))


def _path(folder: str, name: str, base: Path) -> str:
    return "/" + str((Path(folder) / name).relative_to(base))


def _named(path: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatch(path, pattern) for pattern in patterns)


def _folder(saved: Path, target: Path) -> None:
    state = saved.lstat()
    if target.is_dir():
        return  # with the owner that the machine or a package gave it, unless it is one of ours
    target.mkdir(parents=True)
    os.chown(str(target), state.st_uid, state.st_gid)
    target.chmod(stat.S_IMODE(state.st_mode))


def _copy(saved: Path, target: Path) -> None:
    state = saved.lstat()
    if stat.S_ISLNK(state.st_mode):
        wanted = str(saved.readlink())
        if target.is_symlink() and str(target.readlink()) == wanted:
            return
        if target.is_dir() and not target.is_symlink():
            raise RebuildError(f"{target} is a folder here, and was a link. Begin with a bare machine")
        draft = target.with_name(target.name + DRAFT)
        draft.unlink(missing_ok=True)
        draft.symlink_to(wanted)
        draft.replace(target)
    elif stat.S_ISREG(state.st_mode):
        _replace(target, saved.read_bytes(), state)


def _replace(target: Path, content: bytes, state: os.stat_result) -> None:
    """A file with this content, owner and mode, as a whole or not at all."""
    draft = target.with_name(target.name + DRAFT)
    with draft.open("wb") as file:
        draft.chmod(0o600)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.chown(str(draft), state.st_uid, state.st_gid)
    draft.chmod(stat.S_IMODE(state.st_mode))
    os.utime(str(draft), (state.st_mtime, state.st_mtime))
    draft.replace(target)
