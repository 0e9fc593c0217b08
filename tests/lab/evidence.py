"""What seals evidence in a lab, and no host of the platform has: a key that signs, an authority that stamps times."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.lab import authority
from tests.lab.state import Lab, write_atomically

SIGNER = "evidence@lab.example.com"
DAYS = 3650


def give_keys(lab: Lab) -> None:
    """Make them for the lab, unless it has them."""
    folder = lab.folder / "evidence"
    if (folder / "tsa.pem").exists():
        return
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = folder / "signing_key"
    key.unlink(missing_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", SIGNER, "-f", key], check=True)
    public = key.with_suffix(".pub").read_text(encoding="utf-8")
    write_atomically(folder / "allowed_signers", f'{SIGNER} namespaces="ops-runbook-evidence" {public}')
    _authority(lab)


def _authority(lab: Lab) -> None:
    """A time stamping authority of its own, which signs itself: whoever trusts it trusts it for nothing else."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    subject = authority.name("Lab time stamping authority")
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=DAYS))
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    authority.save(lab.folder / "evidence", "tsa", certificate, key)
