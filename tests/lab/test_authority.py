from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.lab import authority


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ca")
    authority.create(folder)
    return folder


def verify(folder: Path, stem: str, *options: str) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [
        "openssl",
        "verify",
        "-x509_strict",
        "-purpose",
        "sslserver",
        "-CAfile",
        folder / "ca.pem",
    ]
    return subprocess.run([*command, *options, folder / f"{stem}.pem"], capture_output=True, text=True, check=False)


def test_certificate_is_valid_for_its_names(folder: Path) -> None:
    authority.issue(folder, "proxy1", ["proxy1", "evidence.lab"])
    assert verify(folder, "proxy1", "-verify_hostname", "evidence.lab").returncode == 0
    assert "hostname mismatch" in verify(folder, "proxy1", "-verify_hostname", "other").stderr.lower()
    assert (folder / "proxy1.key").stat().st_mode & 0o777 == 0o600


def test_only_certificates_of_clients_authenticate_one(folder: Path) -> None:
    authority.issue(folder, "both", ["db1"], client=True)
    authority.issue(folder, "server", ["db1"])
    assert verify(folder, "both", "-purpose", "sslclient").returncode == 0
    assert verify(folder, "both").returncode == 0
    assert verify(folder, "server", "-purpose", "sslclient").returncode != 0


@pytest.mark.parametrize(
    ("begins", "ends", "problem"), [(-30, -1, "certificate has expired"), (1, 30, "certificate is not yet valid")]
)
def test_certificate_of_another_time(folder: Path, begins: float, ends: float, problem: str) -> None:
    authority.issue(folder, "late", ["proxy1"], begins_in_days=begins, ends_in_days=ends)
    assert problem in verify(folder, "late").stderr


def test_other_authority_is_not_trusted(folder: Path, tmp_path: Path) -> None:
    authority.create(tmp_path)
    authority.issue(tmp_path, "proxy1", ["proxy1"])
    (folder / "foreign.pem").write_bytes((tmp_path / "proxy1.pem").read_bytes())
    assert verify(folder, "foreign").returncode != 0
