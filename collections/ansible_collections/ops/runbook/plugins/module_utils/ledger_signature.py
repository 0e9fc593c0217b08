# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""SSH signatures over checkpoints of the ledger: made and checked with ssh-keygen, which every operator has."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ansible_collections.ops.runbook.plugins.module_utils.ledger import Sign
from ansible_collections.ops.runbook.plugins.module_utils.ledger_entry import LedgerError, canonical

NAMESPACE = "ops-runbook-ledger"
_BEGIN = "-----BEGIN SSH SIGNATURE-----"
_END = "-----END SSH SIGNATURE-----"
_TIMEOUT_SECONDS = 15


class BadSignatureError(LedgerError):
    """A signature that nobody among the allowed signers made over this checkpoint."""


def statement(entries: int, head: str) -> bytes:
    """What is signed: how many entries there are, and the hash of the newest."""
    return canonical({"entries": entries, "hash": head})


def signer(key: Path) -> Sign:
    """A function that signs with the key: a private key without passphrase, or a public key whose agent is running."""

    def sign(entries: int, head: str) -> str:
        result = ssh_keygen(["-q", "-Y", "sign", "-n", NAMESPACE, "-f", str(key)], statement(entries, head))
        text = result.stdout.decode("ascii", "replace")
        if result.returncode or _BEGIN not in text:
            reason = result.stderr.decode("utf-8", "replace").strip()
            raise LedgerError(
                f"the ledger cannot be signed with {key}: {reason or 'no signature came back'}. Use a key without "
                "passphrase, or load it into ssh-agent and name its .pub file."
            )
        return "".join(line for line in text.splitlines() if not line.startswith("-----"))

    return sign


def signed_by(entries: int, head: str, signature: str, allowed_signers: Path) -> str:
    """The principal in the allowed_signers file who made the signature.

    Raises BadSignatureError when nobody there did.
    """
    if not allowed_signers.is_file():
        raise LedgerError(f"{allowed_signers} is not a file; it must list the allowed signers (man ssh-keygen)")
    lines = [signature[start : start + 70] for start in range(0, len(signature), 70)]
    with tempfile.TemporaryDirectory(prefix="ledger-") as directory:
        path = Path(directory) / "signature"
        path.write_text("\n".join([_BEGIN, *lines, _END, ""]), encoding="ascii")
        files = ["-f", str(allowed_signers), "-s", str(path)]
        found = ssh_keygen(["-Y", "find-principals", *files], b"")
        reason = found.stderr.decode("utf-8", "replace").strip()
        for principal in found.stdout.decode("utf-8", "replace").splitlines():
            result = ssh_keygen(
                ["-q", "-Y", "verify", "-n", NAMESPACE, "-I", principal, *files], statement(entries, head)
            )
            if result.returncode == 0:
                return principal
            reason = (result.stdout + result.stderr).decode("utf-8", "replace").strip()
    raise BadSignatureError(f"nobody in {allowed_signers} signed this checkpoint ({reason or 'the key is not listed'})")


def ssh_keygen(arguments: Sequence[str], message: bytes) -> subprocess.CompletedProcess[bytes]:
    """Run ssh-keygen with the message as its input. LedgerError where it cannot be run."""
    try:
        # The callback signs too, on the controller, where there is no module whose run_command could be called.
        return subprocess.run(  # pylint: disable=ansible-bad-function
            ["ssh-keygen", *arguments],
            input=message,
            capture_output=True,
            check=False,
            timeout=_TIMEOUT_SECONDS,
            # Without a terminal of its own it fails on a key with a passphrase, where it would wait for an answer.
            start_new_session=True,
            env={**os.environ, "SSH_ASKPASS_REQUIRE": "never", "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LedgerError(f"ssh-keygen cannot be run: {error}") from error
