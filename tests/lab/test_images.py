"""When the golden images are built again: after a change of what goes into them, and of nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.lab import hosts, images
from tests.lab.state import ROOT


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("tests/lab", "tests/platform", "inventories/lab"):
        shutil.copytree(ROOT / name, tmp_path / name)
    monkeypatch.setattr(images, "ROOT", tmp_path)
    monkeypatch.setattr(images, "CUSTOMIZE", tmp_path / images.CUSTOMIZE.relative_to(ROOT))
    return tmp_path


def built_again(checkout: Path, name: str) -> bool:
    """Whether a change of the file gives other images."""
    before = images.golden_images("bookworm")
    with (checkout / name).open("a", encoding="utf-8") as file:
        file.write("# changed\n")
    return images.golden_images("bookworm") != before


@pytest.mark.parametrize(
    "name",
    [
        "tests/lab/authority.py",
        "tests/lab/deployment.py",
        "tests/lab/golden.py",
        "tests/lab/image/customize.sh",
        "tests/platform/site.yml",
        "inventories/lab/hosts.yml",
        "inventories/lab/group_vars/all/platform.yml",
    ],
)
def test_what_goes_into_the_images_builds_them_again(checkout: Path, name: str) -> None:
    assert built_again(checkout, name)


@pytest.mark.parametrize(
    "name",
    [
        "tests/lab/commands.py",
        "tests/lab/evidence.py",
        "tests/lab/hosts.py",
        "tests/lab/podman.py",
        "tests/lab/test_ports.py",
        "inventories/lab/group_vars/all/health_checks.yml",
    ],
)
def test_what_only_runs_a_lab_does_not(checkout: Path, name: str) -> None:
    assert not built_again(checkout, name)


def test_another_administrator_of_a_host_builds_them_again(monkeypatch: pytest.MonkeyPatch) -> None:
    before = images.golden_images("bookworm")
    monkeypatch.setitem(hosts.ADMINISTRATORS, "db1", "databasekeeper")
    assert images.golden_images("bookworm") != before
