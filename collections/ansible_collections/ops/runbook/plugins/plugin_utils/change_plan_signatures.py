# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who approved a plan: SSH signatures beside its file, made and checked with ssh-keygen."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import shlex
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.ops.runbook.plugins.module_utils.ledger_entry import LedgerError
from ansible_collections.ops.runbook.plugins.module_utils.ledger_signature import ssh_keygen
from ansible_collections.ops.runbook.plugins.plugin_utils.change_plan import NAMESPACE, PlanError

_ARMOUR = re.compile(r"-----BEGIN SSH SIGNATURE-----(.*)-----END SSH SIGNATURE-----", re.DOTALL)
_MAGIC = b"SSHSIG"
_VERSION_BYTES = 4
#: Principals of allowed_signers that stand for many people name none.
_PATTERN = set("*?!")


@dataclass(frozen=True)
class Signer:
    """Somebody who signed: a key, and all names that the key has in allowed_signers."""

    key: str
    principals: frozenset[str]

    @property
    def name(self) -> str:
        """The name that messages show."""
        return min(self.principals)

    def is_also(self, other: Signer) -> bool:
        """Whether both are the same person: by the key, or by a name."""
        return self.key == other.key or any(alike(a, b) for a in self.principals for b in other.principals)


@dataclass(frozen=True)
class Requester:
    """Who made the plan: the accounts of the record, and the key that signs the records, if one does."""

    names: frozenset[str]
    key: str = ""

    @classmethod
    def of(cls, who: Mapping[str, str], accounts: Mapping[str, str]) -> Requester:
        """The requester in a plan, under every name. Accounts that have another name as principals are mapped."""
        names = {str(who[name]) for name in ("user", "sudo_user", "awx_user") if who.get(name)}
        return cls(frozenset(names | {str(accounts[name]) for name in names if name in accounts}), who.get("key", ""))

    def is_signer(self, signer: Signer) -> bool:
        """Whether the requester signed."""
        by_name = any(alike(principal, name) for principal in signer.principals for name in self.names)
        return by_name or signer.key == self.key


@dataclass(frozen=True)
class Approvals:
    """The signatures beside a plan, judged."""

    signers: tuple[Signer, ...]
    #: Why signatures do not count, one line each.
    rejected: tuple[str, ...]


def alike(one: str, other: str) -> bool:
    """Whether two names are one person's: equal, or one is the other without its @domain."""
    one, other = one.casefold(), other.casefold()
    if "@" in one and "@" in other:
        return one == other
    return one.partition("@")[0] == other.partition("@")[0]


def fingerprint(key: Path) -> str:
    """The fingerprint of a key file, private or public, as ssh-keygen writes it. Raises PlanError."""
    result = _ssh_keygen(["-l", "-f", str(key)], b"")
    words = result.stdout.decode("utf-8", "replace").split()
    if result.returncode or len(words) < 2:  # noqa: PLR2004 - bits, fingerprint, comment
        raise PlanError(f"{key} is not an SSH key: {_said(result)}")
    return words[1]


class AllowedSigners:
    """A file in the format of allowed_signers (man ssh-keygen)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise PlanError(f"change_guard_allowed_signers: {path} cannot be read: {error}") from error
        self._lines = [_entry(line) for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]

    @property
    def principals(self) -> frozenset[str]:
        """Everybody in the file."""
        return frozenset(name for names, _words in self._lines for name in names)

    def of(self, key: bytes) -> frozenset[str]:
        """All principals of a public key."""
        encoded = base64.b64encode(key).decode("ascii")
        return frozenset(name for names, words in self._lines if encoded in words for name in names)

    def refusal(self, principal: str, signature: Path, content: bytes) -> str:
        """Why the signature is not a valid one of the principal now; empty where it is."""
        files = ["-f", str(self.path), "-s", str(signature)]
        result = _ssh_keygen(["-Y", "verify", "-n", NAMESPACE, "-I", principal, *files], content)
        return _said(result) if result.returncode else ""


def approvals(plan: Path, content: bytes, allowed: AllowedSigners, requester: Requester) -> Approvals:
    """Judge every signature beside the plan. Of one person's signatures one counts, of the requester's none."""
    signers: list[Signer] = []
    rejected = []
    for path in signature_files(plan):
        try:
            signer = _signer(path, content, allowed)
            _admit(signer, requester, signers)
        except PlanError as error:
            rejected.append(f"{path.name}: {error}")
        else:
            signers.append(signer)
    return Approvals(tuple(signers), tuple(rejected))


def signature_files(plan: Path) -> list[Path]:
    """PLAN.sig and PLAN.*.sig."""
    try:
        names = sorted(path for path in plan.parent.iterdir() if path.name.startswith(f"{plan.name}."))
    except OSError:
        return []
    return [path for path in names if path.suffix == ".sig"]


def _admit(signer: Signer, requester: Requester, others: Iterable[Signer]) -> None:
    if requester.is_signer(signer):
        raise PlanError(f"{signer.name} requested the change, and nobody approves their own")
    for other in others:
        if signer.is_also(other):
            raise PlanError(f"{signer.name} has signed already ({other.name}, key {other.key}); one person counts once")


def _signer(path: Path, content: bytes, allowed: AllowedSigners) -> Signer:
    key, namespace = _parse(path)
    name = "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode("ascii").rstrip("=")
    if namespace != NAMESPACE:
        raise PlanError(f"it was made for {namespace!r}; sign with -n {NAMESPACE}")
    check = _ssh_keygen(["-Y", "check-novalidate", "-n", NAMESPACE, "-s", str(path)], content)
    if check.returncode:
        raise PlanError(f"it is a signature over something else than this plan ({_said(check)})")
    principals = allowed.of(key)
    if not principals:
        raise PlanError(f"nobody in {allowed.path} has the key {name} that made it")
    reasons = [allowed.refusal(principal, path, content) for principal in sorted(principals)]
    if all(reasons):
        raise PlanError(f"{', '.join(sorted(principals))} may not sign: {reasons[0]}")
    return Signer(name, principals)


def _parse(path: Path) -> tuple[bytes, str]:
    """Public key and namespace of a signature (OpenSSH's PROTOCOL.sshsig)."""
    try:
        match = _ARMOUR.search(path.read_text(encoding="ascii"))
        data = base64.b64decode(match[1] if match else "", validate=False)
        if not data.startswith(_MAGIC):
            raise ValueError("no SSH signature")
        key, rest = _string(data[len(_MAGIC) + _VERSION_BYTES :])
        return key, _string(rest)[0].decode("utf-8")
    except (OSError, ValueError, binascii.Error) as error:
        raise PlanError(f"it is no signature of ssh-keygen ({error})") from error


def _string(data: bytes) -> tuple[bytes, bytes]:
    """A string with its length before it, and what follows."""
    length = int.from_bytes(data[:4], "big")
    if len(data) < 4 + length:
        raise ValueError("it ends early")
    return data[4 : 4 + length], data[4 + length :]


def _entry(line: str) -> tuple[frozenset[str], frozenset[str]]:
    """The principals of a line that name a person, and all its words, the key among them."""
    try:
        words = shlex.split(line)
    except ValueError:
        words = line.split()
    names = (name.strip() for name in words[0].split(","))
    return frozenset(name for name in names if name and not _PATTERN & set(name)), frozenset(words[1:])


def _said(result: subprocess.CompletedProcess[bytes]) -> str:
    """The first thing that the program said; later lines only repeat that it failed."""
    lines = (result.stderr + result.stdout).decode("utf-8", "replace").strip().splitlines()
    return lines[0] if lines else f"exit status {result.returncode}"


def _ssh_keygen(arguments: Sequence[str], message: bytes) -> subprocess.CompletedProcess[bytes]:
    try:
        return ssh_keygen(arguments, message)
    except LedgerError as error:
        raise PlanError(str(error)) from error
