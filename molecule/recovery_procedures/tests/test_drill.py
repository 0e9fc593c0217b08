"""A drill restores the newest backup, finds out whether it is good, and leaves a signed result; it changes nothing."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from backups import archived, pgbackrest, sql

from tests.lab.state import Lab
from tests.scenario import ROOT, Outcome, Procedure, changed_files, files, shell

EVIDENCE = "/var/lib/evidence/items/restore-drills"
REPOSITORY = "/var/lib/pgbackrest/backup/evidence"


@pytest.fixture(scope="module")
def drill(state: Path) -> Procedure:
    return Procedure("backup_recovery/recovery_procedures_drill", (ROOT / "inventories/lab",), state)


def given(**values: Any) -> tuple[str, str]:
    """Options of a run: the role's variables."""
    return "--extra-vars", json.dumps({f"restore_drill_{name}": value for name, value in values.items()})


def results() -> list[dict[str, Any]]:
    """The results among the evidence, oldest first."""
    script = f"cd {EVIDENCE}; for file in *.json; do tr -d '\\n' < $file; echo; done"
    return [json.loads(line) for line in shell("store1", script).splitlines()]


def finding(outcome: Outcome, check: str) -> dict[str, Any]:
    return next(found for found in outcome.findings if found["check"] == check)


def verified(tmp_path: Path) -> str:
    """What ssh-keygen says of the newest result and its signature, with the allowed signers of the evidence."""
    name = shell("store1", f"ls {EVIDENCE} | grep json$ | tail -1").strip()
    signature = tmp_path / "signature"
    signature.write_text(shell("store1", f"cat {EVIDENCE}/{name}.sig"), encoding="utf-8")
    signers = Lab(os.environ["LAB"]).folder / "evidence/allowed_signers"
    words = ["-I", signers.read_text(encoding="utf-8").split()[0], "-n", "ops-runbook-evidence", "-s", str(signature)]
    return subprocess.run(
        ["ssh-keygen", "-Y", "verify", "-f", str(signers), *words],
        input=shell("store1", f"cat {EVIDENCE}/{name}").encode(),
        capture_output=True,
        check=True,
    ).stdout.decode()


def test_success_compares_measures_and_signs(drill: Procedure, tmp_path: Path) -> None:
    """Rows written after the backup are in it too; the databases' hosts keep every file, and the scratch host none."""
    sql("create table if not exists drilled (id int); insert into drilled select generate_series(1, 77)")
    before = {host: files(host) for host in ("db1", "db2", "scratch1")}
    outcome = drill.run()
    assert outcome.returncode == 0, outcome.output
    touched = {host: changed_files(before[host], files(host)) for host in before}
    assert touched == {host: {} for host in before}
    (result,) = results()
    assert result["passed"]
    assert result["compared_with"] == "db2"
    assert result["tables"]["evidence.public.drilled"] == 77
    assert finding(outcome, "restore drill")["status"] == "ok"
    for check, promised in (("recovery time (RTO)", "3600"), ("recovery point (RPO)", "300")):
        found = finding(outcome, check)
        assert (found["status"], found["unit"], found["expected"]) == ("ok", "s", f"≤ {promised} s")
    assert "Good" in verified(tmp_path)


def test_failure_of_a_damaged_backup_or_a_missed_objective_is_critical(drill: Procedure) -> None:
    """One byte of the newest backup is flipped on the store; then an objective that no restore can meet."""
    label = json.loads(pgbackrest("info --output=json"))[0]["backup"][-1]["label"]
    bundle = shell("store1", f"find {REPOSITORY}/{label}/bundle -type f -size +100k | head -1").strip()
    flip = f"""python3 - <<'END'
with open({bundle!r}, "r+b") as file:
    file.seek(50_000)
    byte = file.read(1)[0]
    file.seek(50_000)
    file.write(bytes([byte ^ 1]))
END"""
    shell("store1", flip)
    damaged = drill.run()
    shell("store1", flip)
    assert damaged.returncode != 0
    assert damaged.bad[("scratch1", "restore drill")] == "critical"
    assert not results()[-1]["passed"]
    assert "cannot restore" in results()[-1]["failure"]
    late = drill.run("--extra-vars", json.dumps({"objectives_tiers": {"database": {"rto": "1s", "rpo": "5m"}}}))
    assert late.returncode != 0
    assert late.bad == {("scratch1", "recovery time (RTO)"): "critical"}
    assert [result["passed"] for result in results()] == [True, False, False]
    trend = late.output.partition("Trend of drills")[2].splitlines()[2:5]
    assert [row.split()[-1] for row in trend] == ["passed", "failed", "failed"]


def test_bad_input_a_folder_of_somebody_else(drill: Procedure) -> None:
    shell("scratch1", "mkdir -p /srv/taken; touch /srv/taken/precious")
    archived()
    for options, words in (
        (given(folder="/srv/taken"), "is not empty and is no drill's: it holds precious"),
        (given(host="app1"), "is no host of this run"),
        (given(tier="nowhere"), "promises nothing for 'nowhere'"),
    ):
        outcome = drill.run(*options)
        assert outcome.record["outcome"] == "refused"
        assert words in outcome.output
    assert shell("scratch1", "ls /srv/taken") == "precious\n"
