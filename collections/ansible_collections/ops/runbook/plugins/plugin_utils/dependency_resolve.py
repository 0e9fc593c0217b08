# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Resolves requirements to a lock for the hosts' Python, and fetches the wheels of a lock, on the controller."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.ops.runbook.plugins.plugin_utils.dependency_lock import Lock, canonical, parse

#: How long resolving and fetching may take, in seconds.
LIMIT = 300
#: How many archives stay on the controller.
KEPT = 5


class ResolveError(Exception):
    """The requirements have no solution, or its files cannot be had; the message says what the tool said."""


@dataclass(frozen=True)
class Target:
    """The Python that packages are for, as it runs on the hosts."""

    python: str
    machine: str
    libc: str
    markers: Mapping[str, Any]

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Target:
        """From what a host said about its Python."""
        return cls(found["version"], found["machine"], found["libc"], found["markers"])

    @property
    def minor(self) -> str:
        """Version without its last part, as in 3.11."""
        return ".".join(self.python.split(".")[:2])

    @property
    def platform(self) -> str:
        """The platform in the words of uv."""
        return f"{self.machine}-manylinux_{self.libc.replace('.', '_')}"

    @property
    def tags(self) -> list[str]:
        """Platforms whose wheels run here, in the words of pip, the newest first."""
        newest = int(self.libc.split(".")[1])
        tags = [f"manylinux_2_{minor}_{self.machine}" for minor in range(newest, 4, -1)]
        return [*tags, f"manylinux2014_{self.machine}", f"manylinux2010_{self.machine}", f"manylinux1_{self.machine}"]


def tool(name: str) -> Path:
    """A program of the controller's Python environment, or of its PATH."""
    beside = Path(sys.executable).with_name(name)
    return beside if beside.exists() else Path(shutil.which(name) or name)


def resolve(
    requirements: str,
    constraints: Iterable[str],
    target: Target,
    *,
    base: Lock | None,
    upgrade: str,
    packages: Sequence[str],
) -> Lock:
    """The newest versions that the requirements allow; of a base lock, only what is to be upgraded is given up.

    Raises ResolveError with the resolver's own words.
    """
    with tempfile.TemporaryDirectory(prefix="resolve-") as name:
        folder = Path(name)
        (folder / "requirements.in").write_text(requirements, encoding="utf-8")
        (folder / "constraints.txt").write_text("".join(f"{line}\n" for line in constraints), encoding="utf-8")
        output = folder / "requirements.lock"
        if base is not None and upgrade != "all":
            output.write_text(base.text, encoding="utf-8")
        command = [str(tool("uv")), "pip", "compile", "--quiet", "--generate-hashes", "--no-annotate"]
        command += ["--no-header", "--only-binary=:all:", f"--python-version={target.python}", "--no-python-downloads"]
        command += [f"--python-platform={target.platform}", "--constraint=constraints.txt"]
        command += {"all": ["--upgrade"], "none": []}.get(
            upgrade, [f"--upgrade-package={canonical(package)}" for package in packages]
        )
        _run(
            [*command, "--output-file=requirements.lock", "requirements.in"], folder, "the requirements do not resolve"
        )
        return parse(output.read_text(encoding="utf-8"), target.markers, "the resolved lock")


def bundle(lock: Lock, requirements: str, code: Path | None, target: Target, cache: Path) -> Path:
    """One archive with all that a host needs to build the release without network. Made once for each content."""
    content = f"{lock.text}\n{requirements}\n{target.minor} {target.platform}\n"
    if code is not None:
        content += hashlib.sha256(code.read_bytes()).hexdigest()
    archive = cache / f"{hashlib.sha256(content.encode()).hexdigest()[:16]}.tar"
    if archive.exists():
        return archive
    cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(prefix="bundle-", dir=cache) as name:
        folder = Path(name)
        (folder / "requirements.lock").write_text(lock.text, encoding="utf-8")
        (folder / "requirements.in").write_text(requirements, encoding="utf-8")
        download(lock, target, folder)
        if code is not None:
            shutil.copyfile(code, folder / "code.tar")
        draft = folder.with_suffix(".draft")
        with tarfile.open(draft, "w") as tar:
            for path in sorted(folder.rglob("*")):
                tar.add(path, arcname=str(path.relative_to(folder)), recursive=False)
        draft.replace(archive)
    _forget(cache)
    return archive


def _forget(cache: Path) -> None:
    """Keep the newest archives only."""
    for former in sorted(cache.glob("*.tar"), key=lambda path: path.stat().st_mtime)[:-KEPT]:
        former.unlink()


def download(lock: Lock, target: Target, folder: Path) -> None:
    """Fetch the wheels of the lock into the folder ``wheels``; each is checked against its hash."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--require-hashes", "--implementation=cp", f"--python-version={target.minor}"]
    command += [f"--platform={tag}" for tag in target.tags]
    command += ["--dest=wheels", "--requirement=requirements.lock"]
    (folder / "requirements.lock").write_text(lock.text, encoding="utf-8")
    _run(command, folder, "the wheels cannot be fetched")


def _run(command: Sequence[str], folder: Path, failed: str) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=LIMIT)
    except FileNotFoundError as error:
        raise ResolveError(f"{command[0]} is missing; run `make setup` or install it on the controller") from error
    except subprocess.TimeoutExpired as error:
        raise ResolveError(f"{failed}: no answer within {LIMIT} s") from error
    if done.returncode != 0:
        said = re.sub(r"\x1b\[[0-9;]*m", "", done.stderr).strip()
        lines = [line.strip() for line in said.splitlines() if line.strip() and not line.startswith("WARNING")]
        raise ResolveError(f"{failed}: {' '.join(lines)[:1000]}")
