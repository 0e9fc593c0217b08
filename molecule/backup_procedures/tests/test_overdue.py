"""The verification of backups says when the last good restore drill is too long ago, and believes signed ones only."""

from __future__ import annotations

import json
import os
import subprocess
import time

from stored import DRILLS

from tests.lab.state import Lab
from tests.scenario import Outcome, Procedure, shell


def keep(days: float, *, passed: bool = True, signed: bool = True) -> None:
    """A result so many days old on the store, signed with the lab's key as a drill's is."""
    moment = time.gmtime(time.time() - days * 86400)
    found = {"time": time.strftime("%Y-%m-%d %H:%M:%S+00:00", moment), "backup": f"{days:g}F", "passed": passed}
    key = str(Lab(os.environ["LAB"]).folder / "evidence/signing_key")
    words = ["ssh-keygen", "-q", "-Y", "sign", "-n", "ops-runbook-evidence", "-f", key]
    text = json.dumps(found)
    signature = subprocess.run(words, input=text, capture_output=True, text=True, check=True).stdout if signed else ""
    name = f"{DRILLS}/{time.strftime('%Y%m%dT%H%M%SZ', moment)}-{days:g}.json"
    shell("store1", f"mkdir -p {DRILLS}; cat > {name} <<'END'\n{text}\nEND\ntruncate -s -1 {name}")
    if signature:
        shell("store1", f"cat > {name}.sig <<'END'\n{signature}END\n")


def said(outcome: Outcome) -> dict[str, str]:
    """What the verification says about drills and tests, and only that."""
    return {check: status for (_host, check), status in outcome.bad.items() if "drill" in check or "test" in check}


def test_failure_to_restore_for_a_proof_in_time(verification: Procedure) -> None:
    """Promised every seven days. One that nobody has signed counts for nothing; without any, nothing is known."""
    keep(20)
    late = verification.run("--limit", "store1")
    assert said(late) == {"restore drill": "critical"}, late.output
    keep(8)
    keep(1, signed=False)
    forged = verification.run("--limit", "db1,store1")
    assert said(forged) == {"restore drill": "warning", "signatures of restore drills": "critical"}, forged.output
    assert "8F was restored and compared 8.0 d ago" in forged.output
    shell("store1", f"rm -r {DRILLS}")
