"""The time without a database: from the promotion of the standby to the first write accepted through the proxy."""

from __future__ import annotations

import json
import shlex
import statistics
import subprocess
from pathlib import Path

from tests.bench.contestants import ROOT
from tests.bench.maintenance import playbook, row
from tests.bench.measure import in_lab, seconds
from tests.lab import hosts as lab_hosts
from tests.lab.commands import up
from tests.lab.images import SERVING_HOSTS, release
from tests.lab.state import Lab

LAB = Lab("bench-failover")
FAILOVER = "backup_recovery/disaster_recovery"
INVENTORY = (ROOT / "inventories/lab",)
#: Seconds from the promotion to the first accepted write that are promised.
AIM = 10.0
#: A pattern without the type of unit would match none, and say nothing.
KILL = """
systemctl kill --signal=KILL 'postgresql@*-main.service'
while pg_lsclusters -h | grep -q online; do sleep 0.1; done
"""


def bench_failover(runs: int, scratch: Path) -> None:
    """Kill the primary, fail over, fail back; as often as asked."""
    scratch.mkdir()
    print(f"\nFailover of the database, {runs} times (aim: a write through the proxy {AIM:g} s after the promotion)")
    row("", "seconds", "aim", "ratio")
    with in_lab(LAB):
        up(LAB, release(), "golden", list(SERVING_HOSTS), fresh=True)
        measured = [_once(scratch / str(number), ("db1", "db2")[number % 2]) for number in range(runs)]
    writes = statistics.median(found["promoted_to_write_seconds"] for found in measured)
    row("promotion to first accepted write", f"{writes:.1f}", f"{AIM:g}", f"{writes / AIM:.2f}")
    outages = statistics.median(found["outage_seconds"] for found in measured)
    row("loss of the primary to that write", f"{outages:.1f}", "", "")


def _once(state: Path, primary: str) -> dict[str, float]:
    """Lose that primary once, and bring it back; the metrics of the recovery time."""
    recorded = LAB.read()
    assert recorded
    command = lab_hosts.ssh_command(LAB, recorded.hosts[primary].port, f"sudo sh -c {shlex.quote(KILL)}")
    subprocess.run(command, check=True, capture_output=True)
    seconds(playbook(FAILOVER, INVENTORY, state))
    (report,) = state.glob(f"reports/{FAILOVER}/*/findings.json")
    findings = json.loads(report.read_text(encoding="utf-8"))["findings"]
    (time,) = [finding["metrics"] for finding in findings if finding["check"] == "recovery time (RTO)"]
    seconds(playbook(f"{FAILOVER}_failback", INVENTORY, state))
    metrics: dict[str, float] = time
    return metrics
