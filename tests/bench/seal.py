"""Sealing against sha256sum and b3sum, and what proofs cost as the log grows."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ansible_collections.ops.runbook.plugins.module_utils.merkle import (
    Tree,
    leaf_hash,
    verify_consistency,
    verify_inclusion,
)

from tests.bench.backup import FILES, against
from tests.bench.maintenance import playbook
from tests.bench.measure import Command, in_lab, median_seconds, seconds, taken
from tests.lab import evidence
from tests.lab.commands import up
from tests.lab.hosts import ssh_command
from tests.lab.images import PLATFORM_HOSTS, release
from tests.lab.state import ROOT, Lab
from tests.scenario import shell

KEYS = Lab("bench-seal")
STORE = Lab("bench-store")
SMALL_FILES, SMALL_BYTES = 10_000, 4_096
LARGE_FILES = 8
LARGE_BYTES = 2 * 10**9
LOGS = (1_000, 10_000, 100_000)
#: Manifest, tree, signature and time stamp: all of a seal but its way to the store.
SEAL = """
import hashlib, sys
from pathlib import Path
sys.path.insert(0, "collections")
from ansible_collections.ops.runbook.plugins.module_utils.evidence_checkpoint import Checkpoint, Item
from ansible_collections.ops.runbook.plugins.module_utils.evidence_checkpoint import manifest_of, safe_path
from ansible_collections.ops.runbook.plugins.module_utils.evidence_hash import files_below, hash_files
from ansible_collections.ops.runbook.plugins.module_utils.ledger_entry import utc_now
from ansible_collections.ops.runbook.plugins.module_utils.merkle import Tree
from ansible_collections.ops.runbook.plugins.plugin_utils.evidence_keys import Keys
data, keys = sys.argv[1], Path(sys.argv[2])
hashes, failures = hash_files(data, dict(files_below(data)))
assert not failures
items = [Item(safe_path("bench", path), hashes[path]) for path in sorted(hashes)]
manifest = manifest_of(items).encode()
tree = Tree(item.leaf for item in items)
digest = hashlib.sha256(manifest).hexdigest()
text = Checkpoint(1, len(tree), tree.root().hex(), digest, "0" * 64, utc_now()).text.encode()
names = {"signing_key": "signing_key", "tsa_certificate": "tsa.pem", "tsa_key": "tsa.key", "tsa_authority": "tsa.pem"}
own = Keys(allowed_signers=str(keys / "allowed_signers"), **{name: str(keys / file) for name, file in names.items()})
for name, content in (("manifest", manifest), ("sig", own.sign(text)), ("tsr", own.stamp(text)), ("checkpoint", text)):
    Path(sys.argv[3], name).write_bytes(content)
"""


def row(*cells: str) -> None:
    """Print one line of a table."""
    print(f"  {cells[0]:<34}" + "".join(f"{cell:>14}" for cell in cells[1:]), flush=True)


def fill(folder: Path, small: int, large: int) -> None:
    """Many small files, and some large ones with so many bytes together."""
    for number in range(small):
        path = folder / f"small/{number % 100:02}/{number:05}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(SMALL_BYTES))
    (folder / "large").mkdir()
    for number in range(LARGE_FILES if large else 0):
        with (folder / "large" / str(number)).open("wb") as file:
            for _block in range(max(1, large // LARGE_FILES // 10**6)):
                file.write(os.urandom(10**6))


def bench_hashes(runs: int, scratch: Path, small: int = SMALL_FILES, large: int = LARGE_BYTES) -> None:
    """A whole seal against a list of bare hashes of the same files."""
    data, out = scratch / "data", scratch / "seal"
    data.mkdir(parents=True)
    out.mkdir()
    fill(data, small, large)
    evidence.give_keys(KEYS)
    contestants = [
        Command("seal", [sys.executable, "-c", SEAL, str(data), str(KEYS.folder / "evidence"), str(out)], {}, ROOT)
    ]
    for program in ("sha256sum", "b3sum"):
        if shutil.which(program):
            line = f"find . -type f -print0 | xargs -0 {program} > {out / program}"
            contestants.append(Command(program, ["sh", "-c", line], {}, data))
    try:
        ours, *theirs = median_seconds(contestants, runs, lambda: None)
    finally:
        KEYS.forget()
    print(f"\nSealing {small} small files and {large / 10**9:g} GB of large ones (aim: faster than sha256sum)")
    row("", "seconds", "ours is")
    row("seal: manifest, tree, keys", f"{ours:.2f}")
    for contestant, their in zip(contestants[1:], theirs, strict=True):
        ratio = f"{ours / their:.2f}x slower" if ours > their else f"{their / ours:.2f}x faster"
        row(contestant.name, f"{their:.2f}", ratio)
    if not shutil.which("b3sum"):
        row("b3sum", "-", "not installed")


#: What an operator would do for the same files: take them in, note their hashes, and fetch a copy.
COLLECT = """
cp -r /srv/bench /var/lib/bench
cd /var/lib/bench
find . -type f -print0 | xargs -0 sha256sum > /var/lib/bench.sha256
"""


def fetch(folder: Path) -> None:
    """Bring what was taken in from the store to the controller, and compare it there."""
    folder.mkdir()
    state = STORE.read()
    assert state
    words = ("sudo", "tar", "--create", "--directory=/var/lib", "bench", "bench.sha256")
    command = ssh_command(STORE, state.hosts["store1"].port, *words, account="storekeeper")
    with subprocess.Popen(command, stdout=subprocess.PIPE) as sent:
        subprocess.run(["tar", "--extract", f"--directory={folder}"], stdin=sent.stdout, check=True)
    subprocess.run(["sha256sum", "--check", "--quiet", "../bench.sha256"], cwd=folder / "bench", check=True)


def bench_procedure(scratch: Path, small: int, large: int) -> None:
    """The whole way of evidence: into the store, sealed, and as a replica on the controller."""
    beside = scratch / "source.json"
    source = {"evidence_store_sources": {"bench": {"directory": "/srv/bench"}}}
    beside.write_text(json.dumps({"all": {"hosts": {"store1": source}}}), encoding="utf-8")
    inventories = (ROOT / "inventories/lab", beside)
    command = playbook("backup_recovery/evidence_protection", inventories, scratch / "state")
    with in_lab(STORE):
        up(STORE, release(), "golden", list(PLATFORM_HOSTS), fresh=True)
        shell("store1", "mkdir /srv/bench")
        seconds(command)
        shell("store1", FILES.format(small=small, large=large // 10**6))
        ours = seconds(command)
        theirs = taken(lambda: shell("store1", COLLECT)) + taken(lambda: fetch(scratch / "fetched"))
    print("\nThe same files into the store, sealed, and a copy on the controller (aim: at most 10 % and 10 s beyond)")
    row("", "seconds", "ratio", "beyond")
    row("evidence_protection.yml", f"{ours:.1f}")
    against("cp, sha256sum, tar over ssh", theirs, ours)


def microseconds(work: Callable[[], object], times: int = 200) -> float:
    """Median time of something short."""
    found = []
    for _time in range(times):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return statistics.median(found) * 1e6


def bench_proofs(scratch: Path) -> None:
    """Proofs from the kept hashes of subtrees, and their verification, in logs of three sizes."""
    print("\nProofs in logs of growing size (aim: they grow with the logarithm)")
    row("items", *(f"{size:,}" for size in LOGS))
    rows: dict[str, list[str]] = {}
    for size in LOGS:
        start = time.perf_counter()
        Tree(leaf_hash(b"%d" % number) for number in range(size)).save(scratch / str(size))
        built = time.perf_counter() - start
        tree = Tree.load(scratch / str(size))
        root, old = tree.root(), size * 2 // 3
        index, old_root = size // 3, tree.root(old)
        leaf, proof, bridge = tree.leaf(index), tree.inclusion(index), tree.consistency(old)
        verified = partial(verify_inclusion, leaf, index, size, proof, root)
        consistent = partial(verify_consistency, old, old_root, size, root, bridge)
        assert verified()
        assert consistent()
        cells = {
            "tree from nothing, ms": f"{built * 1e3:.0f}",
            "inclusion: hashes": f"{len(proof)}",
            "inclusion: prove, us": f"{microseconds(partial(tree.inclusion, index)):.0f}",
            "inclusion: verify, us": f"{microseconds(verified):.0f}",
            "consistency: hashes": f"{len(bridge)}",
            "consistency: prove, us": f"{microseconds(partial(tree.consistency, old)):.0f}",
            "consistency: verify, us": f"{microseconds(consistent):.0f}",
        }
        for name, cell in cells.items():
            rows.setdefault(name, []).append(cell)
    for name, found in rows.items():
        row(name, *found)


def bench_seal(runs: int, scratch: Path, small: int = SMALL_FILES, large: int = LARGE_BYTES) -> None:
    """Everything about seals."""
    scratch.mkdir(parents=True, exist_ok=True)
    bench_proofs(scratch / "trees")
    bench_hashes(runs, scratch, small, large)
    bench_procedure(scratch, small, large)
