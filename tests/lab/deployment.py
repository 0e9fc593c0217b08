"""What a platform needs from outside before it is deployed: secrets, certificates and the packed application."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import tarfile
from pathlib import Path

from tests.lab import authority, evidence
from tests.lab.digest import digest, files_below
from tests.lab.podman import LabError
from tests.lab.state import CACHE, ROOT, Lab, locked, write_atomically

APPLICATION = ROOT / "tests/platform/evidence_api"
PYTHON = {"bookworm": "3.11", "trixie": "3.13"}
POSTGRESQL = {"bookworm": 15, "trixie": 17}
CERTIFICATES = {
    "proxy1": ["proxy1", "evidence.lab", "localhost"],
    "db1": ["db1"],
    "db2": ["db2"],
    "store1": ["store1", "localhost"],
}
#: Who may speak to the repository of database backups, as client and as server, with a certificate for nothing else.
BACKUP_CERTIFICATES = ("db1", "db2", "store1", "scratch1")
#: Hosts whose files are backed up, each with a repository, a log-in and a passphrase of its own.
FILE_BACKUPS = ("proxy1", "app1", "app2", "db1", "db2", "store1")
SUBMITTERS = ("collector", "auditor")


def prepare(lab: Lab, suite: str) -> None:
    """Give the lab what its inventory refers to, unless it has it already."""
    if not lab.secrets.exists():
        write_atomically(lab.secrets, json.dumps(new_secrets(), indent=2) + "\n", mode=0o600)
    if not (lab.authority / "ca.pem").exists():
        authority.create(lab.authority)
        for stem, names in CERTIFICATES.items():
            authority.issue(lab.authority, stem, names)
        for host in BACKUP_CERTIFICATES:
            authority.issue(lab.authority, f"backup-{host}", [host], client=True)
    evidence.give_keys(lab)
    point_to_release(lab, suite)


def point_to_release(lab: Lab, suite: str) -> None:
    """Tell the lab's inventory what is deployed: the application's release and archive, and Debian's versions."""
    archive = bundle(suite)
    release = archive.stem.removeprefix("evidence-api-")
    content = {"release": release, "archive": str(archive), "debian": suite, "postgresql": POSTGRESQL[suite]}
    write_atomically(lab.folder / "release.yml", json.dumps(content, indent=2) + "\n")


def adopt(lab: Lab, kept: Path, suite: str) -> None:
    """Give the lab the secrets and the authority that golden images were made with."""
    shutil.rmtree(lab.authority, ignore_errors=True)
    shutil.copytree(kept / "ca", lab.authority)
    write_atomically(lab.secrets, (kept / "secrets.yml").read_text(encoding="utf-8"), mode=0o600)
    evidence.give_keys(lab)
    point_to_release(lab, suite)


def keep(lab: Lab, kept: Path) -> None:
    """Put a lab's secrets and authority where `adopt` finds them, and the record of its deployment."""
    for former in kept.parent.glob(f"{kept.name.split('-')[0]}-*"):
        shutil.rmtree(former)
    draft = kept.with_name(f".{kept.name}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True, mode=0o700)
    shutil.copytree(lab.authority, draft / "ca")
    shutil.copy2(lab.folder / "site.log", draft)
    shutil.copy2(lab.secrets, draft)
    draft.rename(kept)


def new_secrets() -> dict[str, object]:
    """Passwords and tokens of one platform (JSON is YAML, too)."""
    return {
        "database_password": secrets.token_urlsafe(24),
        "replication_password": secrets.token_urlsafe(24),
        "tokens": {submitter: secrets.token_urlsafe(24) for submitter in SUBMITTERS},
        "database_backup_cipher_passphrase": secrets.token_urlsafe(48),
        "file_backup": {
            host: {"login": secrets.token_urlsafe(32), "passphrase": secrets.token_urlsafe(48)} for host in FILE_BACKUPS
        },
    }


def bundle(suite: str) -> Path:
    """The archive of one release: source, lock file and the wheels for the release's Python. Built once."""
    release = f"1.0.0-{digest(suite, files=files_below(APPLICATION), root=ROOT)[:8]}"
    archive = CACHE / "evidence-api" / suite / f"evidence-api-{release}.tar"
    with locked("evidence-api"):
        if not archive.exists():
            archive.parent.mkdir(parents=True, exist_ok=True)
            wheels = download_wheels(suite)
            draft = archive.with_suffix(".draft")
            with tarfile.open(draft, "w") as tar:
                tar.add(APPLICATION, arcname=".", filter=without_owner)
                tar.add(wheels, arcname="wheels", filter=without_owner)
            draft.replace(archive)
    return archive


def without_owner(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Files of a release belong to root, whoever packed them; caches stay outside."""
    if "__pycache__" in member.name:
        return None
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    return member


def download_wheels(suite: str) -> Path:
    """Fetch the locked wheels for the release's Python with the pip of the bootstrap environment."""
    lock = APPLICATION / "requirements.lock"
    folder = CACHE / "wheels" / f"{suite}-{digest(files=[lock], root=ROOT)}"
    if folder.exists():
        return folder
    print(f"Downloading the wheels of evidence-api for Python {PYTHON[suite]}", flush=True)
    draft = folder.with_suffix(".draft")
    shutil.rmtree(draft, ignore_errors=True)
    command = [
        *(str(ROOT / ".bootstrap/bin/python"), "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
        *("--no-deps", "--only-binary=:all:", "--implementation=cp", f"--python-version={PYTHON[suite]}"),
        *("--require-hashes", "--dest", str(draft), "--requirement", str(lock)),
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise LabError(f"downloading the wheels failed: {result.stderr.strip()[-1000:]}")
    draft.replace(folder)
    return folder
