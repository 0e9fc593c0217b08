"""The transaction of an update on a host: what is written down, and what is left of it."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest
from ansible_collections.ops.runbook.plugins.module_utils import packages, updates
from ansible_collections.ops.runbook.plugins.module_utils.packages import Installed, PackageError

OPENSSL = {"name": "openssl", "from": "1.0", "to": "1.1", "architecture": "amd64"}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host's store in a folder of the test."""
    monkeypatch.setattr(packages, "STORE", str(tmp_path))
    monkeypatch.setattr(packages, "CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(packages, "FILES", str(tmp_path / "packages"))
    for name, value in {"TRANSACTION": "transaction.json", "DEFERRED": "deferred"}.items():
        monkeypatch.setattr(updates, name, str(tmp_path / value))
    monkeypatch.setattr(updates, "POLICY", str(tmp_path / "policy-rc.d"))
    (tmp_path / "packages").mkdir()
    return tmp_path


def installed(version: str, *, good: bool = True) -> dict[str, Installed]:
    return {"openssl": Installed(version, "amd64", 0, held=False, good=good)}


def test_transaction_is_read_back(store: Path) -> None:
    assert updates.read() is None
    updates.write({"packages": [OPENSSL]})
    assert updates.read() == {"packages": [OPENSSL]}


def test_closing_removes_the_transaction_and_old_files(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "installed", lambda: installed("1.1"))
    updates.write({"packages": [OPENSSL]})
    for name in ("openssl_1.0_amd64.deb", "openssl_1.1_amd64.deb", "openssl_0.9_amd64.deb"):
        (store / "packages" / name).touch()
    old = time.time() - 91 * 86400
    for name in ("openssl_0.9_amd64.deb", "openssl_1.1_amd64.deb"):
        os.utime(store / "packages" / name, (old, old))
    assert updates.close(90)
    assert sorted(path.name for path in (store / "packages").iterdir()) == [
        "openssl_1.0_amd64.deb",
        "openssl_1.1_amd64.deb",
    ]
    assert updates.read() is None
    assert not updates.close(90)


@pytest.mark.parametrize(
    ("now", "back"),
    [
        (installed("1.1"), True),
        (installed("1.0", good=False), True),
        (installed("1.0"), False),
        ({}, True),
    ],
)
def test_what_is_not_as_it_was_is_put_back(store: Path, now: dict[str, Installed], back: bool) -> None:
    path = store / "packages" / "openssl_1.0_amd64.deb"
    path.touch()
    assert updates._old_file(OPENSSL, now) == (str(path) if back else None)


def test_without_the_file_there_is_no_way_back(store: Path) -> None:
    with pytest.raises(PackageError, match=r"no way back for openssl 1\.0"):
        updates._old_file(OPENSSL, installed("1.1"))


def test_scripts_restart_nothing_while_it_works(store: Path) -> None:
    policy = store / "policy-rc.d"
    with updates._RestartsDeferred():
        denied = subprocess.run([policy, "nginx.service", "restart"], check=False)
        subprocess.run([policy, "dbus", "reload"], check=False)
    assert denied.returncode == 101
    assert not policy.exists()
    assert updates.deferred_units() == ["dbus.service", "nginx.service"]


def test_left_behind_the_policy_allows_everything(store: Path) -> None:
    policy = store / "policy-rc.d"
    policy.write_text(updates.POLICY_TEXT, encoding="utf-8")
    policy.chmod(0o755)
    assert subprocess.run([policy, "nginx.service", "restart"], check=False).returncode == 0
    assert updates.deferred_units() == []
    with updates._RestartsDeferred():
        pass
    assert not policy.exists(), "ours, so the next run takes it away"


def test_a_policy_of_the_host_stays(store: Path) -> None:
    policy = store / "policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")
    with updates._RestartsDeferred():
        assert policy.read_text(encoding="utf-8") == "#!/bin/sh\nexit 0\n"
    assert policy.exists()
