# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Signatures and time stamps over checkpoints: made and judged with ssh-keygen and openssl, on the controller."""

from __future__ import annotations

import secrets
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from ansible.module_utils.urls import open_url
from ansible_collections.ops.runbook.plugins.module_utils.evidence_checkpoint import (
    NAMESPACE,
    Checkpoint,
    SealError,
    moment,
)
from ansible_collections.ops.runbook.plugins.module_utils.ledger_entry import LedgerError
from ansible_collections.ops.runbook.plugins.module_utils.ledger_signature import ssh_keygen

#: What openssl needs to know of an authority whose key is at hand.
_CONFIGURATION = """\
[tsa]
serial = {folder}/serial
digests = sha256, sha384, sha512
signer_digest = sha256
ess_cert_id_alg = sha256
default_policy = 1.3.6.1.4.1.13762.3
accuracy = secs:1
"""
_TIMEOUT = 30.0


class SealingError(Exception):
    """A signature or a time stamp cannot be had."""


@dataclass(frozen=True)
class Keys:
    """Who signs, who may have signed, and whose time stamps count: paths on the controller, or empty."""

    signing_key: str = ""
    allowed_signers: str = ""
    tsa_url: str = ""
    tsa_certificate: str = ""
    tsa_key: str = ""
    tsa_authority: str = ""

    def sign(self, content: bytes) -> bytes:
        """A signature over the content."""
        done = ssh_keygen(["-q", "-Y", "sign", "-n", NAMESPACE, "-f", self.signing_key], content)
        if done.returncode or b"BEGIN SSH SIGNATURE" not in done.stdout:
            reason = done.stderr.decode("utf-8", "replace").strip() or "no signature came back"
            raise SealingError(f"the checkpoint cannot be signed with {self.signing_key}: {reason}")
        return done.stdout

    def unsigned(self, content: bytes, signature: bytes) -> str:
        """Why nobody among the allowed signers made the signature over the content; empty where somebody did."""
        with tempfile.TemporaryDirectory(prefix="evidence-") as folder:
            path = Path(folder) / "signature"
            path.write_bytes(signature)
            files = ["-f", self.allowed_signers, "-s", str(path)]
            found = ssh_keygen(["-Y", "find-principals", *files], b"")
            reason = found.stderr.decode("utf-8", "replace").strip() or "its key is not among the allowed signers"
            for principal in found.stdout.decode("utf-8", "replace").splitlines():
                done = ssh_keygen(["-q", "-Y", "verify", "-n", NAMESPACE, "-I", principal, *files], content)
                if done.returncode == 0:
                    return ""
                reason = (done.stdout + done.stderr).decode("utf-8", "replace").strip() or "it is not over this text"
        return f"it is no signature of an allowed signer over this checkpoint ({reason.splitlines()[0]})"

    def stamp(self, content: bytes) -> bytes:
        """A time stamp over the content: from the authority's address, or made with its key."""
        with tempfile.TemporaryDirectory(prefix="evidence-") as name:
            folder = Path(name)
            query = folder / "query"
            (folder / "content").write_bytes(content)
            _openssl(["ts", "-query", "-data", str(folder / "content"), "-sha256", "-cert", "-out", str(query)])
            reply = self._asked(query) if self.tsa_url else self._made(folder, query)
        refusal = self.unstamped(content, reply)
        if refusal:
            raise SealingError(f"the time stamping authority's answer is not accepted: {refusal}")
        return reply

    def _asked(self, query: Path) -> bytes:
        headers = {"Content-Type": "application/timestamp-query"}
        try:
            with open_url(
                self.tsa_url, data=query.read_bytes(), headers=headers, method="POST", timeout=_TIMEOUT
            ) as answer:
                content: bytes = answer.read()
        except (OSError, HTTPException, ValueError) as error:
            raise SealingError(f"the time stamping authority {self.tsa_url} does not answer: {error}") from error
        return content

    def _made(self, folder: Path, query: Path) -> bytes:
        configuration, reply = folder / "tsa.cnf", folder / "reply"
        configuration.write_text(_CONFIGURATION.format(folder=folder), encoding="ascii")
        (folder / "serial").write_text(secrets.token_hex(8).upper() + "\n", encoding="ascii")
        files = ["-queryfile", str(query), "-signer", self.tsa_certificate, "-inkey", self.tsa_key, "-out", str(reply)]
        _openssl(["ts", "-reply", "-config", str(configuration), "-section", "tsa", *files])
        return reply.read_bytes()

    def unstamped(self, content: bytes, token: bytes) -> str:
        """Why the token is no time stamp of the authority over the content; empty where it is."""
        with tempfile.TemporaryDirectory(prefix="evidence-") as name:
            folder = Path(name)
            (folder / "content").write_bytes(content)
            (folder / "token").write_bytes(token)
            try:
                when = str(int(moment(Checkpoint.parse(content).time).timestamp()))
            except SealError as error:
                return f"it is over {error}"
            # Of that time: the authority's certificate ends long before the evidence's retention does.
            files = ["-data", str(folder / "content"), "-in", str(folder / "token"), "-CAfile", self.tsa_authority]
            try:
                _openssl(["ts", "-verify", *files, "-attime", when])
            except SealingError as error:
                return f"it is no time stamp of the authority over this checkpoint ({error})"
        return ""

    def problems(self) -> list[str]:
        """What is wrong with the options, and whether the key can sign at all."""
        named = {
            "evidence_store_signing_key": self.signing_key,
            "evidence_store_allowed_signers": self.allowed_signers,
            "evidence_store_tsa_authority": self.tsa_authority,
        }
        if not self.tsa_url:
            named |= {
                "evidence_store_tsa_certificate": self.tsa_certificate,
                "evidence_store_tsa_key": self.tsa_key,
            }
        found = [
            f"{name} is {path or 'empty'!r}, which is no file on the controller"
            for name, path in named.items()
            if not Path(path).is_file()
        ]
        if found:
            return found
        try:
            refusal = self.unsigned(b"may this key sign?", self.sign(b"may this key sign?"))
        except (SealingError, LedgerError) as error:
            return [f"evidence_store_signing_key: {error}"]
        return [f"evidence_store_signing_key is not among evidence_store_allowed_signers: {refusal}"] if refusal else []


def _openssl(arguments: Sequence[str]) -> None:
    try:
        done = subprocess.run(["openssl", *arguments], capture_output=True, check=False, timeout=_TIMEOUT)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SealingError(f"openssl cannot be run: {error}") from error
    if done.returncode:
        lines = [line for line in done.stderr.decode("utf-8", "replace").splitlines() if "error:" in line]
        raise SealingError(lines[-1].split(":", 5)[-1] if lines else f"openssl {arguments[1]} failed")
