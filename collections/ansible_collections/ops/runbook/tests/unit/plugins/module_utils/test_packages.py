"""What apt and changelogs say, read as a host's module reads it."""

from __future__ import annotations

import gzip
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from ansible_collections.ops.runbook.plugins.module_utils import packages
from ansible_collections.ops.runbook.plugins.module_utils.packages import Apt, Choice, Installed, PackageError
from ansible_collections.ops.runbook.tests.unit.plugins.module_utils.test_apt_archives import ARCHIVES, HIDDEN

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


def test_changelogs_that_a_host_leaves_out_are_read_from_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, version = "left-out", "3.0.22-1~deb12u2"
    documentation = tmp_path / "content/usr/share/doc" / name
    documentation.mkdir(parents=True)
    (documentation / "changelog.Debian.gz").write_bytes(gzip.compress(CHANGELOG.encode()))
    control = tmp_path / "content/DEBIAN/control"
    control.parent.mkdir()
    fields = {"Package": name, "Version": version, "Architecture": "all", "Maintainer": "A <a@example.com>"}
    control.write_text("".join(f"{field}: {value}\n" for field, value in {**fields, "Description": "none"}.items()))
    monkeypatch.setattr(packages, "FILES", str(tmp_path))
    assert packages.cves_fixed(name, "3.0.20-1~deb12u2", version, "all") == []
    saved = tmp_path / packages.file_name(name, version, "all")
    subprocess.run(["dpkg-deb", "--build", tmp_path / "content", saved], check=True, stdout=subprocess.DEVNULL)
    assert packages.cves_fixed(name, "3.0.22-1~deb12u1", version, "all") == ["CVE-2026-0002"]


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

    def __init__(
        self, every: Sequence[dict[str, str]], planned: Sequence[dict[str, str]] = (), removed: Sequence[str] = ()
    ) -> None:
        super().__init__()
        self.every, self.planned, self.removed = list(every), list(planned), list(removed)

    def simulate(self, *words: str) -> tuple[list[dict[str, str]], list[str]]:
        return (self.every, self.removed) if "dist-upgrade" in words else (self.planned, [])

    def policy(self, *names: str) -> str:
        return ""


def test_pending_keeps_what_is_not_wanted_with_its_reason() -> None:
    other = {**UPDATE, "name": "vim", "origin": "Debian:12.12/oldstable"}
    found = packages.pending(Simulated([UPDATE, other], [UPDATE]), choice(), {})
    assert [update["name"] for update in found["updates"]] == ["openssl"]
    assert [(update["name"], update["reason"]) for update in found["kept"]] == [("vim", "no security update")]


class Hiding(Simulated):
    """Apt with a newer version of another archive above a security update."""

    def policy(self, *names: str) -> str:
        return HIDDEN.format(priority=500) if names else ARCHIVES


def test_newer_version_of_another_archive_hides_no_security_update() -> None:
    newer = {**UPDATE, "to": f"{UPDATE['to']}+other1", "origin": ""}
    security = {**UPDATE, "origin": "Debian-Security:12/oldstable-security"}
    apt = Hiding([newer], [security])
    assert packages.pending(apt, choice(), {}) == {"updates": [{**security, "security": True}], "kept": []}
    assert packages.pending(apt, choice(scope="all"), {})["updates"] == [{**newer, "security": False}]
    held = packages.pending(apt, choice(), {"openssl": package(held=True)})["kept"]
    assert [(update["to"], update["reason"]) for update in held] == [(security["to"], "held")]


def test_apt_is_asked_again_only_where_not_all_is_installed() -> None:
    assert packages.pending(Simulated([UPDATE]), choice(), {})["updates"] == [{**UPDATE, "security": True}]
    removing = packages.pending(Simulated([UPDATE], removed=["old"]), choice(), {})
    assert removing["updates"] == []
    assert packages.pending(Simulated([], removed=["old"]), choice(), {})["updates"] == []


def test_what_needs_an_excluded_package_is_refused() -> None:
    library = {**UPDATE, "name": "libssl3"}
    with pytest.raises(PackageError, match="libssl3 is excluded, but"):
        packages.pending(Simulated([UPDATE, library], [UPDATE, library]), choice(exclude=["libssl3"]), {})


def test_simulation_is_read_with_origins(monkeypatch: pytest.MonkeyPatch) -> None:
    out = (
        f"Inst libssl3 [3.0.20-1~deb12u2] (3.0.22-1~deb12u2 {SECURITY} [amd64]) []\n"
        f"Inst new (1:2.0 Debian:12.12/oldstable, {SECURITY} [all])\nRemv old [1.0]\nConf libssl3 (3.0.22 x [amd64])\n"
    )
    monkeypatch.setattr(packages, "call", lambda *_words, **_more: subprocess.CompletedProcess([], 0, out, ""))
    found, removed = Apt().simulate("upgrade")
    assert found == [
        {"name": "libssl3", "from": "3.0.20-1~deb12u2", "to": "3.0.22-1~deb12u2", "origin": SECURITY},
        {"name": "new", "from": "", "to": "1:2.0", "origin": f"Debian:12.12/oldstable, {SECURITY}"},
    ]
    assert removed == ["old"]


def test_a_list_that_was_not_fetched_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Apt ends with 0 where it goes on with old lists."""
    said = "W: Failed to fetch http://example.com/InRelease  Could not connect\n"
    monkeypatch.setattr(packages, "call", lambda *_words, **_more: subprocess.CompletedProcess([], 0, "", said))
    with pytest.raises(PackageError, match="cannot be refreshed: W: Failed to fetch"):
        packages.refresh(Apt(), 10)


#: Of an archive in a folder without compressed lists.
FOLDER = """\
Get:1 file:/srv/archive ./ InRelease
Ign:1 file:/srv/archive ./ InRelease
Get:3 file:/srv/archive ./ Packages
Err:3 file:/srv/archive ./ Packages
  Method gave a blank filename
"""


def test_archive_in_a_folder_is_tried_until_a_list_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def refresh(said: str) -> None:
        monkeypatch.setattr(packages, "call", lambda *_words, **_more: subprocess.CompletedProcess([], 0, said, ""))
        packages.refresh(Apt(), 10)

    refresh(f"{FOLDER}Get:3 file:/srv/archive ./ Packages [1034 B]\n")
    with pytest.raises(PackageError, match="cannot be refreshed: Err:3 file:/srv/archive"):
        refresh(FOLDER)


def test_file_names_are_those_of_apt() -> None:
    assert packages.file_name("nginx", "1:1.2-3", "amd64") == "nginx_1%3a1.2-3_amd64.deb"
    assert packages.file_name("libc6:i386", "2.36", "i386") == "libc6_2.36_i386.deb"


class Archive(Apt):
    """Apt with archives that have these versions, each in a file of 1,000 bytes."""

    def __init__(self, *versions: str) -> None:
        super().__init__()
        self.versions = versions

    def get(self, *words: str, timeout: float = 600.0) -> subprocess.CompletedProcess[str]:
        asked = words[words.index("download") + 1 :]
        known = [word for word in asked if word in self.versions]
        lines = "".join(f"'http://archive.example/{word}' {word}.deb 1000 SHA256:0\n" for word in known)
        return subprocess.CompletedProcess([], 0, lines if known == list(asked) else "", "")


def test_files_that_are_neither_on_the_host_nor_in_its_archives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "FILES", str(tmp_path / "packages"))
    monkeypatch.setattr(packages, "CACHE", str(tmp_path))
    old, new = f"openssl={UPDATE['from']}", f"openssl={UPDATE['to']}"
    updates = [UPDATE, {**UPDATE, "name": "added", "from": "", "to": "1.0"}]
    known = {"openssl": package()}
    needed = packages.files_needed(Archive(old, new, "added=1.0"), updates, known)
    assert needed["fetch"] == [old, new, "added=1.0"]
    assert needed["space"] == [(str(tmp_path / "packages"), 3000), ("/usr", 1 << 20)]
    assert packages.files_needed(Archive(new, "added=1.0"), updates, known)["lost"] == [old.replace("=", " ")]
    (tmp_path / packages.file_name("openssl", UPDATE["from"], "amd64")).touch()
    needed = packages.files_needed(Archive(new, "added=1.0"), updates, known)
    assert needed["fetch"] == [new, "added=1.0"]
    assert needed["lost"] == []


def test_needs_of_one_file_system_add_up(tmp_path: Path) -> None:
    info = os.statvfs(tmp_path)
    half = (info.f_bavail * info.f_frsize - packages.RESERVE) // 2
    folder = str(tmp_path / "not" / "there")
    assert packages.space_errors([(folder, half // 2), (str(tmp_path), half // 2)]) == []
    errors = packages.space_errors([(folder, half * 2), (str(tmp_path), half)])
    assert len(errors) == 1
    assert str(tmp_path) in errors[0]


@pytest.fixture
def lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host's lists with one version of openssl, and its settings."""
    (tmp_path / "apt").mkdir()
    (tmp_path / "apt/sources.list").write_text("deb http://archive.example bookworm main\n")
    (tmp_path / "archive_main_Packages").write_text("Package: openssl\nVersion: 3.0.20-1~deb12u2\n\nPackage: other\n")
    (tmp_path / "archive_InRelease").write_text("Date: today\n")
    cat = tmp_path / "cat-file"
    cat.write_text('#!/bin/sh\nshift\ncat "$@"\n')
    cat.chmod(0o755)
    for name, path in {"LISTS": tmp_path, "SETTINGS": tmp_path / "apt", "HELPER": cat}.items():
        monkeypatch.setattr(packages, name, str(path))
    return tmp_path


NOW = "3.0.20-1~deb12u2"


@pytest.mark.parametrize(
    ("version", "newer"),
    [(NOW, False), ("3.0.22-1~deb12u2", True), ("3.0.11-1~deb12u1", False), ("1:1.0", True)],
)
def test_lists_name_something_newer(lists: Path, version: str, newer: bool) -> None:
    (lists / "archive_security_Packages").write_text(f"Package: openssl\nArchitecture: amd64\nVersion: {version}\n")
    assert packages.newer_listed({"openssl": [NOW]}) == ({("openssl", NOW)} if newer else set())
    assert packages.newer_listed({"libssl3": [NOW]}) == set()


def test_lists_are_compared_with_each_version_that_a_host_has(lists: Path) -> None:
    versions = {"openssl": ["3.0.1", NOW, "4.0"]}
    assert packages.newer_listed(versions) == {("openssl", "3.0.1")}


def test_missing_lists_say_nothing(lists: Path) -> None:
    (lists / "archive_main_Packages").unlink()
    assert packages.newer_listed({"openssl": [NOW]}) is None


def test_lists_that_cannot_be_read_say_nothing(lists: Path) -> None:
    (lists / "cat-file").write_text('#!/bin/sh\nshift\ncat "$@"\nexit 100\n')
    assert packages.newer_listed({"openssl": [NOW]}) is None


REQUEST = {"scope": "security", "origins": ["*-security"], "only": [], "exclude": [], "timeout": 5}


@pytest.mark.parametrize(
    ("known", "changes", "plain"),
    [
        ({"openssl": package()}, {}, True),
        ({"openssl": package(good=False)}, {}, False),
        ({"openssl": package(), "zlib1g:i386": package()}, {}, False),
        ({"openssl": package()}, {"exclude": ["opnssl"]}, False),
    ],
)
def test_of_which_hosts_another_can_tell(
    lists: Path, known: dict[str, Installed], changes: dict[str, object], plain: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "installed", lambda: known)
    assert packages.listing_of({**REQUEST, **changes})["plain"] is plain


def test_a_host_that_prefers_versions_asks_apt(lists: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "installed", dict)
    (lists / "apt/preferences.d").mkdir()
    (lists / "apt/preferences.d/pin").touch()
    assert packages.listing_of(REQUEST)["plain"] is False


@pytest.mark.parametrize(
    ("request_", "news", "older"),
    [
        ({"versions": {"openssl": [NOW], "nginx": ["1.0"]}}, False, [("nginx", "1.0")]),
        ({"versions": {"openssl": [NOW], "nginx": ["9.0"]}}, False, []),
        ({"versions": {"openssl": [NOW]}}, True, None),
        ({"versions": None}, False, None),
        ({}, False, None),
    ],
    ids=["others have updates", "nobody has", "the archives have news", "asked for nobody", "alone"],
)
def test_apt_is_not_asked_where_the_newest_lists_have_nothing(
    request_: dict[str, object], news: bool, older: object, archive: list[bool]
) -> None:
    archive.append(news)
    found = packages.packages_of({**REQUEST, **request_}, interrupted=False)
    assert (found.get("older"), found["updates"]) == (older, [] if older is not None else ["of apt"])


def test_apt_is_asked_where_they_have_something_for_the_host_itself(archive: list[bool], lists: Path) -> None:
    archive.append(False)
    (lists / "archive_security_Packages").write_text("Package: openssl\nVersion: 9.0\n")
    found = packages.packages_of({**REQUEST, "versions": {"openssl": [NOW]}}, interrupted=False)
    assert found == {"older": [("openssl", NOW)], "updates": ["of apt"]}


@pytest.fixture
def archive(lists: Path, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """A host with openssl and lists with a newer nginx. The test appends whether the archives have newer lists."""
    news: list[bool] = []

    @contextmanager
    def fresh(_timeout: float) -> Iterator[tuple[Apt, bool]]:
        yield Apt(), news[0]

    monkeypatch.setattr(packages, "installed", lambda: {"openssl": package()})
    monkeypatch.setattr(packages, "fresh_apt", fresh)
    monkeypatch.setattr(packages, "_pending_of", lambda *_arguments: {"updates": ["of apt"]})
    (lists / "archive_security_Packages").write_text("Package: nginx\nVersion: 9.0\n")
    return news


def test_patterns_that_match_nothing_are_told() -> None:
    known = {"openssl": package()}
    assert choice(only=["open*", "ngnix*", "nginx"], exclude=["x*"]).unmatched(known) == ["ngnix*"]


def test_digest_tells_settings_lists_and_what_is_cut_short_apart(lists: Path) -> None:
    digests = [packages.sources_digest()]
    for name, text in {
        "apt/sources.list": "deb http://other.example bookworm main\n",
        "archive_InRelease": "Date: tomorrow\n",
        "archive_main_Packages": "Package: openssl\n",
        "apt/preferences": "Package: *\n",
    }.items():
        (lists / name).write_text(text)
        digests.append(packages.sources_digest())
    assert len(set(digests)) == len(digests)


def test_apt_that_does_not_answer_hides_no_security_update(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = subprocess.CompletedProcess([], 100, "", "E: The list of sources could not be read.\n")
    monkeypatch.setattr(packages, "call", lambda *_words, **_more: failed)
    with pytest.raises(PackageError, match="sources could not be read"):
        packages.with_security(Apt(), choice(), [{**UPDATE, "origin": ""}])
