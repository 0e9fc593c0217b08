"""What the setup installs, on machines that lack this or that. Only apt is not the real one."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.state import ROOT

#: What the script is made of; everything else is missing on the machine.
TOOLS = ("bash", "sh", "dirname", "id", "cmp", "grep", "env", "cat", "python3", "unshare", "mount", "touch")
#: What it installs where it is missing.
PROGRAMS = (
    *("podman", "netavark", "aardvark-dns", "runc", "iptables", "slirp4netns", "newuidmap", "mmdebstrap"),
    *("gpg", "ssh", "openssl", "git", "curl", "faketime", "b3sum"),
)
DEBIAN, UBUNTU = "Candidate: 120.0.1", "Candidate: (none)"

#: What stands behind the answer: a reader that has seen enough must not break it off.
TABLE = "for line in $(echo {1..2000}); do echo version table; done"

Setup = Callable[..., tuple[list[str], str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in TOOLS:
        found = shutil.which(name)
        assert found
        (tmp_path / name).symlink_to(found)
    return tmp_path


def program(path: Path, script: str) -> None:
    path.write_text(f"#!/usr/bin/env bash\n{script}\n", encoding="ascii")
    path.chmod(0o755)


@pytest.fixture
def setup(folder: Path) -> Setup:
    """Run the setup on a machine whose archive answers this, once asked for lists; the packages, and what it says."""

    def run(answer: str, *, has_keys: bool = False) -> tuple[list[str], str]:
        keyrings = "/usr/share/keyrings"
        keys = f"touch {keyrings}/debian-archive-keyring.gpg &&" if has_keys else ""
        program(folder / "apt-get", f'echo "$@" >> {folder}/calls')
        program(folder / "apt-cache", f"grep -qs update {folder}/calls || exit; echo '  {answer}'; {TABLE}")
        script = f"mount -t tmpfs none {keyrings} && {keys} exec {ROOT}/scripts/setup.sh"
        done = subprocess.run(
            ["unshare", "--map-root-user", "--mount", "sh", "-c", script],
            env={**os.environ, "PATH": str(folder)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        calls = (folder / "calls").read_text(encoding="ascii").splitlines()
        return [word for call in calls if call.startswith("install") for word in call.split()], done.stderr

    return run


def test_the_keys_of_debian_are_installed_where_they_are_missing(setup: Setup) -> None:
    packages, _said = setup(DEBIAN)
    assert {"mmdebstrap", "debian-archive-keyring", "gpg"} <= set(packages)


def test_chromium_is_installed_where_it_is_a_package(setup: Setup) -> None:
    packages, said = setup(DEBIAN)
    assert "chromium" in packages
    assert "Chrome" not in said


def test_lists_are_fetched_for_chromium_where_nothing_else_is_missing(folder: Path, setup: Setup) -> None:
    for name in PROGRAMS:
        program(folder / name, "")
    packages, _said = setup(DEBIAN, has_keys=True)
    assert packages[-1:] == ["chromium"]
    assert "podman" not in packages


def test_where_chromium_is_a_snap_the_setup_goes_on_and_names_another_browser(setup: Setup) -> None:
    packages, said = setup(UBUNTU)
    assert "podman" in packages
    assert "chromium" not in packages
    assert "install Chrome: https://www.google.com/chrome/" in said


def test_chrome_will_do(folder: Path, setup: Setup) -> None:
    program(folder / "google-chrome", "")
    packages, said = setup(UBUNTU)
    assert "chromium" not in packages
    assert "Chrome" not in said
