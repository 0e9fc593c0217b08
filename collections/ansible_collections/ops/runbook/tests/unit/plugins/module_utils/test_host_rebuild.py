# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rebuilding a host: accounts are added, files put in place, steps remembered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.ops.runbook.plugins.module_utils.host_rebuild import (
    HostRebuild,
    RebuildError,
    automatic,
    installed,
    merged,
)

JOB: dict[str, Any] = {
    "number": 1,
    "sources": {"configuration": {"id": "abc"}},
    "root": "",
    "services": [],
    "keep": ["/etc/hostname"],
}
STATUS = """Package: nginx
Status: install ok installed
Description: a server
 Status: of nothing

Package: gone
Status: deinstall ok config-files

Package: kept
Status: hold ok installed
"""


def never(*_words: object, **_options: object) -> tuple[int, str, str]:
    raise AssertionError("nothing may be run")


def test_packages_are_those_that_are_installed() -> None:
    assert installed(STATUS) == {"nginx": "install", "kept": "hold"}


def test_packages_that_others_drew_in() -> None:
    assert automatic("Package: a\nAuto-Installed: 1\n\nPackage: b\nAuto-Installed: 0\n") == {"a"}


def test_accounts_keep_their_numbers_and_members_are_united() -> None:
    today = ["root:x:0:", "adm:x:4:ops"]
    saved = ["root:x:0:", "adm:x:4:ops,ana", "evidence-api:x:997:"]
    assert merged(today, saved, 2, "group") == ["root:x:0:", "adm:x:4:ops,ana", "evidence-api:x:997:"]


def test_own_passwords_of_the_machine_stay() -> None:
    assert merged(["root:!:1::::::"], ["root:secret:1::::::", "a:*:1::::::"], 0, "shadow") == [
        "root:!:1::::::",
        "a:*:1::::::",
    ]


def test_a_number_that_another_account_has_is_an_error_that_names_both() -> None:
    with pytest.raises(RebuildError, match="ana had the number 100 in /etc/passwd, which bob has"):
        merged(["bob:x:100:100::/:/bin/sh"], ["ana:x:100:100::/:/bin/sh"], 2, "passwd")


def test_files_are_put_in_place_but_for_lists_and_what_stays(tmp_path: Path) -> None:
    folder, root = tmp_path / "rebuild", tmp_path / "root"
    saved = folder / "files/configuration"
    for name in ("etc/nginx/site.conf", "etc/hostname", "var/lib/dpkg/status"):
        (saved / name).parent.mkdir(parents=True, exist_ok=True)
        (saved / name).write_text(name, encoding="utf-8")
    (saved / "etc/nginx/site.conf").chmod(0o640)
    (saved / "etc/link").symlink_to("nginx")
    (root / "etc").mkdir(parents=True)
    commands: list[list[str]] = []

    def run(command: list[str], **_options: object) -> tuple[int, str, str]:
        commands.append(command)
        return 0, "", ""

    HostRebuild(run, JOB, str(folder), str(root)).do("files", {}, "")
    there = sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir() or path.is_symlink())
    assert there == ["etc/link", "etc/nginx/site.conf"]
    assert str((root / "etc/link").readlink()) == "nginx"
    assert (root / "etc/nginx/site.conf").stat().st_mode & 0o777 == 0o640
    assert commands == [["systemctl", "daemon-reload"]]


def test_a_step_that_is_done_is_remembered_until_another_rebuild(tmp_path: Path) -> None:
    rebuild = HostRebuild(never, JOB, str(tmp_path))
    rebuild.do("finish", {}, "")
    assert not HostRebuild(never, JOB, str(tmp_path)).pending("finish")
    assert HostRebuild(never, {**JOB, "number": 2}, str(tmp_path)).pending("finish")


def test_a_backup_without_lists_says_so(tmp_path: Path) -> None:
    with pytest.raises(RebuildError, match="the snapshot has no /etc/group"):
        HostRebuild(never, JOB, str(tmp_path / "x"), "/")._saved("/etc/group")


def test_a_command_that_fails_is_an_error_with_its_words(tmp_path: Path) -> None:
    rebuild = HostRebuild(lambda *_words, **_options: (1, "", "no such unit"), JOB, str(tmp_path), str(tmp_path))
    with pytest.raises(RebuildError, match="systemctl daemon-reload ended with 1: no such unit"):
        rebuild.do("files", {}, "")
    assert rebuild.pending("files")


def test_what_is_half_done_is_closed_and_started_again_by_the_next_run(tmp_path: Path) -> None:
    commands: list[list[str]] = []

    def run(command: list[str], **_options: object) -> tuple[int, str, str]:
        commands.append(command)
        return 0, "", ""

    rebuild = HostRebuild(run, {**JOB, "services": ["nginx.service"]}, str(tmp_path), str(tmp_path))
    assert not rebuild.close()
    rebuild.do("start", {}, "")
    commands.clear()
    assert rebuild.close()
    assert commands == [["systemctl", "stop", "nginx.service"]]
    again = HostRebuild(run, JOB, str(tmp_path), str(tmp_path))
    assert again.pending("start")
    again.do("start", {}, "")
    again.do("finish", {}, "")
    assert not again.close()
    assert set(again.state["took"]) == {"start", "finish"}


def test_a_host_without_application_has_no_such_step(tmp_path: Path) -> None:
    assert not HostRebuild(never, JOB, str(tmp_path)).pending("release")
    assert HostRebuild(never, {**JOB, "root": "/opt/api"}, str(tmp_path)).pending("release")
