# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Releases of an application on its host: C(<root>/releases/<name>) each, C(<root>/current) names the one that runs.

A release that is being built holds the file C(.incomplete) from its first moment to its last. A change that is under
way is written down in C(<root>/change.json), so that whoever comes next knows where it came from and how far it got.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any, Dict, List, Optional

INCOMPLETE = ".incomplete"
CHANGE = "change.json"
#: What of a release is no code: made by the build, or by running it.
NO_CODE = ("venv", "wheels", "requirements.lock", "requirements.in", "__pycache__", INCOMPLETE)
#: Asks an interpreter for all that a lock file's markers may ask for.
_PYTHON = """
import json, os, platform, sys
import sysconfig
implementation = sys.implementation
version = implementation.version
full = "{0.major}.{0.minor}.{0.micro}".format(version)
if version.releaselevel != "final":
    full += version.releaselevel[0] + str(version.serial)
print(json.dumps({
    "version": platform.python_version(), "machine": platform.machine(), "libc": platform.libc_ver()[1] or "2.17",
    "markers": {
        "implementation_name": implementation.name, "implementation_version": full, "os_name": os.name,
        "platform_machine": platform.machine(), "platform_release": platform.release(),
        "platform_system": platform.system(), "platform_version": platform.version(),
        "python_full_version": platform.python_version(), "platform_python_implementation":
        platform.python_implementation(), "python_version": ".".join(platform.python_version_tuple()[:2]),
        "sys_platform": sys.platform, "extra": ""}}))
"""


class ReleaseError(Exception):
    """A step of a release that cannot be done; the message says what to do."""


def code_files(release: Path) -> List[Path]:
    """The files of the application itself, sorted."""
    found = []
    for folder, names, files in os.walk(str(release)):
        top = Path(folder) == release
        names[:] = sorted(name for name in names if name != "__pycache__" and not (top and name in NO_CODE))
        found += [Path(folder, name) for name in sorted(files) if not (top and name in NO_CODE)]
    return found


def code_digest(release: Path) -> str:
    """One digest of the application's code: names, contents, and what may be executed."""
    total = hashlib.sha256()
    for path in code_files(release):
        content = str(path.readlink()).encode() if path.is_symlink() else path.read_bytes()
        executable = not path.is_symlink() and bool(path.stat().st_mode & 0o100)
        row = [str(path.relative_to(release)), hashlib.sha256(content).hexdigest(), executable]
        total.update(json.dumps(row).encode())
    return total.hexdigest()


def linked(root: Path, name: str) -> str:
    """The name of the release that a link in the root names; empty where there is none."""
    link = root / name
    return link.readlink().name if link.is_symlink() else ""


def is_whole(release: Path) -> bool:
    """Whether a release was built to its end."""
    return release.is_dir() and not release.is_symlink() and not (release / INCOMPLETE).exists()


def read_change(root: Path) -> Dict[str, Any]:
    """The change that is under way; empty where there is none."""
    try:
        found = json.loads((root / CHANGE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ReleaseError("{0} is damaged ({1}); look at it, then remove it".format(root / CHANGE, error)) from error
    return found if isinstance(found, dict) else {}


def write_change(root: Path, change: Dict[str, Any]) -> None:
    """Write down the change, in one step."""
    draft = root / ".{0}.draft".format(CHANGE)
    with draft.open("w", encoding="utf-8") as handle:
        json.dump(change, handle, indent=1, sort_keys=True)
        handle.flush()
        os.fsync(handle.fileno())
    draft.replace(root / CHANGE)


def end_change(root: Path) -> None:
    """Forget the change: it came to its end."""
    if (root / CHANGE).exists():
        (root / CHANGE).unlink()


def point(root: Path, name: str, release: str) -> None:
    """Let a link name a release, in one step: at every moment it names the former or the new one."""
    draft = root / ".{0}.draft".format(name)
    if draft.is_symlink():
        draft.unlink()
    draft.symlink_to(root / "releases" / release)
    draft.replace(root / name)


def describe(release: Path) -> Dict[str, Any]:
    """What a release is made of."""
    python = ""
    settings = release / "venv" / "pyvenv.cfg"
    if settings.exists():
        for line in settings.read_text(encoding="utf-8").splitlines():
            key, _equals, value = line.partition("=")
            if key.strip() == "version":
                python = ".".join(value.strip().split(".")[:2])
    texts = {}
    for key, name in (("lock", "requirements.lock"), ("requirements", "requirements.in")):
        path = release / name
        texts[key] = path.read_text(encoding="utf-8") if path.exists() else ""
    return {
        "name": release.name,
        "code": code_digest(release),
        "python": python,
        "built": release.stat().st_mtime,
        "lock": texts["lock"],
        "requirements": texts["requirements"],
    }


def releases(root: Path) -> List[Path]:
    """The folders of all releases, whole or not, the newest last."""
    folder = root / "releases"
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()]
    return sorted(found, key=lambda path: (path.stat().st_mtime, path.name))


def inspect(root_path: str, python: str) -> Dict[str, Any]:
    """What there is on the host; nothing is changed."""
    root = Path(root_path)
    # pylint: disable-next=ansible-bad-function
    asked = subprocess.run([python, "-c", _PYTHON], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    if asked.returncode != 0:
        raise ReleaseError("{0} does not run: {1}".format(python, asked.stderr.decode(errors="replace").strip()))
    whole = [path for path in releases(root) if is_whole(path)]
    return {
        "current": linked(root, "current"),
        "previous": linked(root, "previous"),
        "change": read_change(root),
        "releases": [describe(path) for path in whole],
        "python": json.loads(asked.stdout.decode()),
    }


def in_use(root: Path) -> List[str]:
    """Releases that a process has as its working directory, runs a program of, or was started with a path of."""
    base = (root / "releases").resolve()
    named = [target for process in Path("/proc").glob("[0-9]*") for target in _paths(process)]
    return sorted({target.relative_to(base).parts[0] for target in named if base in target.parents})


def _paths(process: Path) -> List[Path]:
    """What a process works in, runs, and was called with, as far as it may be seen."""
    found = []
    for link in ("cwd", "exe"):
        with suppress(OSError):  # it has ended, is a kernel thread, or hides this
            found.append((process / link).readlink())
    with suppress(OSError):
        words = (process / "cmdline").read_bytes().split(b"\0")
        found += [Path(os.fsdecode(word)) for word in words if word.startswith(b"/")]
    return found


def superfluous(root: Path, keep: int, current: str, previous: str) -> List[str]:
    """Releases to remove: all but the newest, and never the one that runs or the one before it.

    What was never finished goes too, except what is being built now under the name of the current one.
    """
    needed = {current, previous, *in_use(root)}
    whole = [path.name for path in releases(root) if is_whole(path) and path.name not in needed]
    half = [path.name for path in releases(root) if not is_whole(path) and path.name not in needed]
    room = max(keep - len({current, previous} - {""}), 0)
    return sorted(half + whole[: max(len(whole) - room, 0)])


def remove(root: Path, name: str) -> None:
    """Remove a release; one that is only half removed counts as one that was never finished."""
    folder = root / "releases" / name
    (folder / INCOMPLETE).touch()
    for path in list(folder.iterdir()):
        if path.name == INCOMPLETE:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(str(path))
        else:
            path.unlink()
    shutil.rmtree(str(folder))


def begin(root: Path, name: str) -> Path:
    """A new folder for a release that is known to be incomplete from its first moment on."""
    folder = root / "releases" / name
    if folder.exists():
        remove(root, name)
    draft = root / "releases" / ".begin-{0}".format(name)
    if draft.exists():
        shutil.rmtree(str(draft))
    draft.mkdir(parents=True)
    draft.chmod(0o755)
    (draft / INCOMPLETE).touch()
    draft.replace(folder)
    return folder


def finish(folder: Path) -> None:
    """From now on the release is whole. Everything of it is on the disk before."""
    os.sync()
    (folder / INCOMPLETE).unlink()
    handle = os.open(str(folder), os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def program(root: str, python: str, source: Optional[str] = None) -> str:
    """The program that inspects a host, to be sent through the connection."""
    text = source if source is not None else Path(__file__).read_text(encoding="utf-8")
    call = "\n".join(
        [
            "try:",
            "    print(json.dumps(inspect({0!r}, {1!r})))".format(root, python),
            "except (ReleaseError, OSError) as error:",
            "    print(json.dumps({'error': str(error)}))",
            "",
        ]
    )
    return text + "\n" + call
