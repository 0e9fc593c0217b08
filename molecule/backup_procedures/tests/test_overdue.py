"""The verification of backups says when the last good restore drill, or restore of files, is too long ago."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import yaml
from conftest import INVENTORIES
from stored import DRILLS
from test_backups import given

from tests.lab.state import Lab
from tests.scenario import Outcome, Procedure, shell

PROMISED = yaml.safe_load((INVENTORIES[0] / "group_vars/all/objectives.yml").read_text(encoding="utf-8"))


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
    """What the verification says about drills, and only that."""
    return {check: status for (_host, check), status in outcome.bad.items() if "drill" in check}


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


def test_failure_to_read_files_back_in_time(tmp_path: Path) -> None:
    """Nothing is known of it until a restore has read files of such a backup; then its age counts."""
    verify, restore = (
        Procedure(f"backup_recovery/{name}", INVENTORIES, tmp_path)
        for name in ("backup_procedures_verify", "recovery_procedures_files")
    )
    check = ("store1", "restore test of configuration and secrets")
    limit = ("--limit", "app1,store1")
    assert verify.run(*limit).bad[check] == "unknown"
    shell("app1", "rm /etc/issue.net")
    which = {
        "file_restore_paths": ["/etc/issue.net"],
        "file_restore_snapshot": "latest",
        "file_restore_tag": "configuration",
    }
    restored = restore.run("--limit", "app1", *given(**which))
    assert restored.returncode == 0, restored.output
    assert check not in verify.run(*limit).bad
    often = PROMISED["objectives_backups"] | {
        "configuration and secrets": {"every": "1d", "keep": "90d", "restore_test": "1s"}
    }
    late = verify.run(*limit, *given(objectives_backups=often))
    assert late.bad[check] == "critical", late.output
    assert "Files of such a backup were read back and compared" in late.output
