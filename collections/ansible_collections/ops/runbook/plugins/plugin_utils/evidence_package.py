# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The package that a third party verifies offline, with openssl, ssh-keygen and sha256sum, and nothing of ours."""

from __future__ import annotations

import base64
import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from ansible_collections.ops.runbook.plugins.module_utils.evidence_checkpoint import CHECKPOINT, SIGNATURE, TOKEN, Item
from ansible_collections.ops.runbook.plugins.module_utils.evidence_log import Log
from ansible_collections.ops.runbook.plugins.module_utils.merkle import sides
from ansible_collections.ops.runbook.plugins.plugin_utils.evidence_store import EvidenceError, EvidenceStore

_TEXTS = Path(__file__).parent
README, SCRIPT = "evidence_package.txt", "evidence_package.sh"


def write(store: EvidenceStore, log: Log, items: Sequence[Item], folder: Path) -> None:
    """Write the package; the folder appears when it is whole."""
    draft = folder.with_name(f".{folder.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True, mode=0o700)
    index = log.index
    for number, item in enumerate(items, 1):
        content = store.content(item.path)
        if hashlib.sha256(content).hexdigest() != item.sha256:
            raise EvidenceError(f"items/{item.path} is not as it was sealed, so it is not exported")
        _put(draft / "items" / item.path, content)
        _put(draft / "proofs" / f"{number:06}", _proof(log, index[item.path]).encode("ascii"))
    _put(draft / "SHA256SUMS", "".join(f"{item.line}\n" for item in items).encode("ascii"))
    for seal in sorted({log.seals[index[item.path]] for item in items}):
        files = store.seals[f"{seal:06}"]
        for name in (CHECKPOINT, SIGNATURE, TOKEN):
            _put(draft / "seals" / f"{seal:06}" / name, files[name])
    _put(draft / "keys/allowed_signers", Path(store.keys.allowed_signers).read_bytes())
    _put(draft / "keys/tsa.pem", Path(store.keys.tsa_authority).read_bytes())
    _put(draft / "README.txt", (_TEXTS / README).read_bytes())
    _put(draft / "verify.sh", (_TEXTS / SCRIPT).read_bytes())
    (draft / "verify.sh").chmod(0o755)
    draft.rename(folder)


def _proof(log: Log, leaf: int) -> str:
    """The item's seal, and the hashes beside its way to that seal's root."""
    seal = log.seals[leaf]
    size = log.checkpoints[seal - 1].items
    lines = [f"seal {seal:06}"]
    for side, node in zip(sides(leaf, size), log.tree.inclusion(leaf, size), strict=True):
        lines.append(f"{side} {base64.b64encode(node).decode('ascii')}")
    return "\n".join(lines) + "\n"


def _put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
