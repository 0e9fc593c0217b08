"""What apt and changelogs say, read as a host's module reads it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from ansible_collections.ops.runbook.plugins.module_utils import packages
from ansible_collections.ops.runbook.plugins.module_utils.packages import Apt, Choice, Installed, PackageError

SECURITY = "Debian-Security:12/stable-security"
UPDATE = {"name": "openssl", "from": "3.0.20-1~deb12u2", "to": "3.0.22-1~deb12u2", "origin": SECURITY}
CHANGELOG = """\
openssl (3.0.22-1~deb12u2) bookworm-security; urgency=medium

  * CVE-2026-0002 (Memory is read after it is freed)

 -- A Maintainer <a@example.com>  Mon, 02 Nov 2026 10:00:00 +0000

openssl (3.0.22-1~deb12u1) bookworm-security; urgency=medium

  * Fix CVE-2026-0001 and CVE-2025-99999.

 -- A Maintainer <a@example.com>  Sun, 01 Nov 2026 10:00:00 +0000

openssl (3.0.20-1~deb12u2) bookworm; urgency=medium

  * CVE-2024-0003

 -- A Maintainer <a@example.com>  Mon, 02 Nov 2024 10:00:00 +0000
"""


def choice(**changes: object) -> Choice:
    return Choice({"scope": "security", "origins": ["*-security"], "only": [], "exclude": [], **changes})


def package(**changes: object) -> Installed:
    state = {"held": False, "good": True, **changes}
    return Installed("3.0.20-1~deb12u2", "amd64", 1 << 20, held=bool(state["held"]), good=bool(state["good"]))


def test_cves_are_those_after_the_installed_version() -> None:
    found = packages.cves_between(CHANGELOG, "3.0.20-1~deb12u2", "3.0.22-1~deb12u2")
    assert found == ["CVE-2025-99999", "CVE-2026-0001", "CVE-2026-0002"]
    assert packages.cves_between(CHANGELOG, "3.0.22-1~deb12u1", "3.0.22-1~deb12u2") == ["CVE-2026-0002"]


def test_entries_newer_than_what_was_installed_do_not_count() -> None:
    assert packages.cves_between(CHANGELOG, "3.0.20-1~deb12u2", "3.0.22-1~deb12u1") == [
        "CVE-2025-99999",
        "CVE-2026-0001",
    ]


@pytest.mark.parametrize(
    ("changes", "held", "reason"),
    [
        ({}, False, ""),
        ({}, True, "held"),
        ({"exclude": ["open*"]}, False, "excluded"),
        ({"only": ["nginx"]}, False, "not in security_updates_only"),
        ({"only": ["openssl"]}, False, ""),
        ({"origins": ["Other*"]}, False, "no security update"),
        ({"origins": ["Other*"], "scope": "all"}, False, ""),
    ],
)
def test_reason_against_an_update(changes: dict[str, object], held: bool, reason: str) -> None:
    assert choice(**changes).reason_against(UPDATE, {"openssl": package(held=held)}) == reason


def test_one_of_several_origins_suffices() -> None:
    update = {**UPDATE, "origin": f"Debian:12.12/oldstable, {SECURITY}"}
    assert choice().is_security(update)
    assert not choice().is_security({**UPDATE, "origin": "Debian:12.12/oldstable"})


class Simulated(Apt):
    """Apt that would install what it is given, whatever it is asked for."""

    def __init__(self, every: Sequence[dict[str, str]], planned: Sequence[dict[str, str]]) -> None:
        super().__init__()
        self.every, self.planned = list(every), list(planned)

    def simulate(self, *words: str) -> list[dict[str, str]]:
        return self.every if "dist-upgrade" in words else self.planned


def test_pending_keeps_what_is_not_wanted_with_its_reason() -> None:
    other = {**UPDATE, "name": "vim", "origin": "Debian:12.12/oldstable"}
    found = packages.pending(Simulated([UPDATE, other], [UPDATE]), choice(), {})
    assert [update["name"] for update in found["updates"]] == ["openssl"]
    assert [(update["name"], update["reason"]) for update in found["kept"]] == [("vim", "no security update")]


def test_what_needs_an_excluded_package_is_refused() -> None:
    library = {**UPDATE, "name": "libssl3"}
    with pytest.raises(PackageError, match="libssl3 is excluded, but"):
        packages.pending(Simulated([UPDATE, library], [UPDATE, library]), choice(exclude=["libssl3"]), {})


def test_simulation_is_read_with_origins(monkeypatch: pytest.MonkeyPatch) -> None:
    out = (
        f"Inst libssl3 [3.0.20-1~deb12u2] (3.0.22-1~deb12u2 {SECURITY} [amd64]) []\n"
        f"Inst new (1:2.0 Debian:12.12/oldstable, {SECURITY} [all])\nConf libssl3 (3.0.22 x [amd64])\n"
    )
    monkeypatch.setattr(packages, "call", lambda *_words, **_more: subprocess.CompletedProcess([], 0, out, ""))
    assert Apt().simulate("upgrade") == [
        {"name": "libssl3", "from": "3.0.20-1~deb12u2", "to": "3.0.22-1~deb12u2", "origin": SECURITY},
        {"name": "new", "from": "", "to": "1:2.0", "origin": f"Debian:12.12/oldstable, {SECURITY}"},
    ]


def test_a_list_that_was_not_fetched_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Apt ends with 0 where it goes on with old lists."""
    said = "W: Failed to fetch http://example.com/InRelease  Could not connect\n"
    monkeypatch.setattr(packages, "call", lambda *_words, **_more: subprocess.CompletedProcess([], 0, "", said))
    with pytest.raises(PackageError, match="cannot be refreshed: W: Failed to fetch"):
        packages.refresh(Apt(), 10)


def test_file_names_are_those_of_apt() -> None:
    assert packages.file_name("nginx", "1:1.2-3", "amd64") == "nginx_1%3a1.2-3_amd64.deb"
    assert packages.file_name("libc6:i386", "2.36", "i386") == "libc6_2.36_i386.deb"


def test_needs_of_one_file_system_add_up(tmp_path: Path) -> None:
    info = os.statvfs(tmp_path)
    half = (info.f_bavail * info.f_frsize - packages.RESERVE) // 2
    folder = str(tmp_path / "not" / "there")
    assert packages.space_errors([(folder, half // 2), (str(tmp_path), half // 2)]) == []
    errors = packages.space_errors([(folder, half * 2), (str(tmp_path), half)])
    assert len(errors) == 1
    assert str(tmp_path) in errors[0]
