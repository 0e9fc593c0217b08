"""Compares the procedures with the bare tools and with peers; every ratio comes from one run on one machine.

Usage: python -m tests.bench [--runs N] [--keep] [--small] [ledger|sweep|idle|busy|failover|seal|backup|restore ...]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from ansible_collections.ops.runbook.plugins.module_utils.ledger import Ledger, Writer
from ansible_collections.ops.runbook.plugins.module_utils.ledger_verifier import verify

from tests.bench import backup, contestants, failover, maintenance, restore, seal
from tests.bench.measure import median_seconds, peak_bytes, seconds

ROOT = contestants.ROOT
LAB = ROOT / ".lab/bench"
SIZES = (10, 20, 40)
#: What `--small` divides sizes by.
SMALL = 50
PARTS = ("ledger", "sweep", "idle", "busy", "failover", "seal", "backup", "restore")


def tests_lab(*words: str) -> None:
    """Run the lab's command."""
    subprocess.run([sys.executable, "-m", "tests.lab", *words], cwd=ROOT, check=True)


def close_connections() -> None:
    """End the contestants' shared ssh connections, so that the next one connects anew."""
    for socket in contestants.SOCKETS.iterdir():
        subprocess.run(["ssh", "-O", "exit", "-S", str(socket), "bench"], check=True, capture_output=True)


def row(*cells: str) -> None:
    """Print one line of a table."""
    print(f"  {cells[0]:<28}" + "".join(f"{cell:>14}" for cell in cells[1:]), flush=True)


def bench_sweep(runs: int, scratch: Path) -> None:
    """The sweep of 20 checks on 10, 20 and 40 hosts."""
    ports: dict[str, int] = {
        name: host["port"] for name, host in json.loads((LAB / "lab.json").read_text(encoding="utf-8"))["hosts"].items()
    }
    linear: dict[int, float] = {}
    for size in SIZES:
        hosts = dict(sorted(ports.items())[:size])
        folder = scratch / str(size)
        folder.mkdir()
        probe = contestants.probe_program(folder)
        raw = contestants.raw_ssh(hosts, LAB, folder, probe)
        sweep = contestants.sweep(hosts, LAB, folder)
        if size == SIZES[0]:
            linear[size] = median_seconds([sweep], runs, close_connections)[0]
            continue
        peers = [
            raw,
            contestants.pyinfra_probe(hosts, LAB, folder, probe),
            contestants.pyinfra_operations(hosts, LAB, folder),
        ]
        slow = contestants.task_per_check(hosts, LAB, folder)
        ours, *theirs = median_seconds([sweep, *peers], runs, close_connections)
        theirs += median_seconds([slow], 1, close_connections)
        linear[size] = ours
        print(f"\nSweep of 20 checks on {size} hosts, no connection open beforehand")
        row("", "seconds", "ours is")
        row(sweep.name, f"{ours:.1f}", "")
        for peer, taken in zip([*peers, slow], theirs, strict=True):
            ratio = f"{ours / taken:.2f}x slower" if ours > taken else f"{taken / ours:.2f}x faster"
            row(peer.name, f"{taken:.1f}", ratio)
        warm = (seconds(raw), seconds(raw))[1], (seconds(sweep), seconds(sweep))[1]
        row("connections open: raw ssh", f"{warm[0]:.1f}", f"{warm[1] / warm[0]:.2f}x ({warm[1]:.1f} s)")
        row("controller memory", f"{peak_bytes(sweep) / 2**20:.0f} MiB", "")
    few, many = SIZES[0], SIZES[-1]
    growth = linear[many] / linear[few]
    print(f"\nFrom {few} to {many} hosts, {many // few}x as many, the sweep takes {growth:.1f}x as long.")


def append(writer: Ledger | Writer, number: int) -> None:
    """The start of a run, or its end: runs that never end would make the checkpoint grow."""
    body = {"procedure": "bench", "what": {"commit": "0" * 40}, "outcome": "succeeded"}
    writer.append(("started", "finished")[number % 2], f"{number // 2:032x}", body)


def large_ledger(directory: Path, entries: int) -> Path:
    """A ledger as that many appends would leave it, without waiting for the disk after each."""
    with patch("os.fsync"), Ledger(directory).writer() as writer:
        for number in range(entries):
            append(writer, number)
    return directory


def bench_ledger(scratch: Path) -> None:
    """Appending to and verifying a ledger of 100,000 entries."""
    print("\nLedger")
    row("", "measured", "aim")
    ledger = Ledger(scratch / "ledger")
    times = []
    for number in range(200):
        start = time.perf_counter()
        append(ledger, number)
        times.append(time.perf_counter() - start)
    row("append", f"{sorted(times)[len(times) // 2] * 1000:.1f} ms", "< 10 ms")
    large = large_ledger(scratch / "large", 100_000)
    start = time.perf_counter()
    verify(large)
    row("verify 100,000 entries", f"{time.perf_counter() - start:.1f} s", "< 5 s")


def main() -> None:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="runs of each contestant; the median counts (default 3)")
    parser.add_argument("--keep", action="store_true", help="leave the hosts of the sweep running")
    parser.add_argument(
        "--small", action="store_true", help="a fiftieth of database and files: to try the bench itself"
    )
    parser.add_argument("parts", nargs="*", default=list(PARTS), help=f"of {', '.join(PARTS)} (default all)")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    contestants.SOCKETS.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="runbook-bench-") as scratch:
        if "ledger" in options.parts:
            bench_ledger(Path(scratch))
        if "sweep" in options.parts:
            with sweep_lab(keep=options.keep):
                bench_sweep(options.runs, Path(scratch))
        if "idle" in options.parts:
            maintenance.bench_idle(options.runs, Path(scratch, "idle"), close_connections)
        if "busy" in options.parts:
            maintenance.bench_busy(Path(scratch, "busy"))
        if "failover" in options.parts:
            failover.bench_failover(options.runs, Path(scratch, "failover"))
        part = SMALL if options.small else 1
        if "seal" in options.parts:
            sizes = seal.SMALL_FILES // part, seal.LARGE_BYTES // part
            seal.bench_seal(options.runs, Path(scratch, "seal"), *sizes)
        if "backup" in options.parts:
            amounts = backup.MEGABYTES // part, backup.SMALL // part, backup.LARGE // part
            backup.bench_backup(Path(scratch, "backup"), *amounts)
        if "restore" in options.parts:
            restore.bench_restore(Path(scratch, "restore"), restore.MEGABYTES // part)


@contextmanager
def sweep_lab(*, keep: bool) -> Iterator[None]:
    """Hosts for the sweep."""
    tests_lab("up", "--name", "bench", "--from", "bare", *(f"h{number:02}" for number in range(1, max(SIZES) + 1)))
    try:
        yield
    finally:
        if not keep:
            tests_lab("down", "--name", "bench")


if __name__ == "__main__":
    main()
