"""A drill restores the newest backup, finds out whether it is good, and leaves a signed result; it changes nothing."""

from __future__ import annotations

import json
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ansible_collections.ops.runbook.plugins.plugin_utils.evidence_keys import Keys
from ansible_collections.ops.runbook.plugins.plugin_utils.recovery_overdue import judged, kept, program
from backups import LOCK, archived, await_lock, pgbackrest, side_by_side, sql

from tests.lab.state import Lab
from tests.scenario import Outcome, Procedure, changed_files, files, on_all, shell

DRILLS = "/var/lib/restore-drills"
EVIDENCE = "/var/lib/evidence"
REPOSITORY = "/var/lib/pgbackrest/backup/evidence"


def given(**values: Any) -> tuple[str, str]:
    """Options of a run: the role's variables."""
    return "--extra-vars", json.dumps({f"restore_drill_{name}": value for name, value in values.items()})


def results() -> list[dict[str, Any]]:
    """The results on the store, oldest first."""
    script = f"cd {DRILLS}; for file in *.json; do tr -d '\\n' < $file; echo; done"
    return [json.loads(line) for line in shell("store1", script).splitlines()]


def finding(outcome: Outcome, check: str) -> dict[str, Any]:
    return next(found for found in outcome.findings if found["check"] == check)


def verified(tmp_path: Path) -> str:
    """What ssh-keygen says of the newest result and its signature, with the allowed signers of the evidence."""
    name = shell("store1", f"ls {DRILLS} | grep json$ | tail -1").strip()
    signature = tmp_path / "signature"
    signature.write_text(shell("store1", f"cat {DRILLS}/{name}.sig"), encoding="utf-8")
    signers = Lab(os.environ["LAB"]).folder / "evidence/allowed_signers"
    words = ["-I", signers.read_text(encoding="utf-8").split()[0], "-n", "ops-runbook-evidence", "-s", str(signature)]
    return subprocess.run(
        ["ssh-keygen", "-Y", "verify", "-f", str(signers), *words],
        input=shell("store1", f"cat {DRILLS}/{name}").encode(),
        capture_output=True,
        check=True,
    ).stdout.decode()


def overdue(later: int = 0) -> dict[str, str]:
    """What the verification of backups says about the results that the store keeps, so many days from now."""
    keys = Keys(allowed_signers=str(Lab(os.environ["LAB"]).folder / "evidence/allowed_signers"))
    found = kept(shell("store1", f"python3 -I - <<'END'\n{program(DRILLS).decode()}\nEND"))
    now = time.time() + later * 86400
    return {finding.check: finding.status for finding in judged("store1", found, 7 * 86400, now, keys)}


def test_failure_by_loss_of_the_databases_host_frees_the_scratch_host(drill: Procedure) -> None:
    lost = drill.losing("db1", "Say what is in the database")
    assert (lost.returncode, lost.record["outcome"]) == (2, "failed"), lost.output
    assert "No backup was restored: db1 is lost" in str(lost.record["failures"])
    assert shell("scratch1", f"[ ! -e {LOCK} ] || echo locked") == ""


def test_success_compares_measures_and_signs(drill: Procedure, tmp_path: Path) -> None:
    """Rows written after the backup are in it too; the databases' hosts keep every file, and the scratch host none.

    Another drill meanwhile is refused, and told who makes this one.
    """
    sql("create table if not exists drilled (id int); insert into drilled select generate_series(1, 77)")
    before = on_all(files, ("db1", "db2", "scratch1"))
    with ThreadPoolExecutor() as pool:
        running = pool.submit(drill.run)
        await_lock("scratch1")
        second = drill.run()
        outcome = running.result()
    assert second.record["outcome"] == "refused", second.output
    assert f"run {outcome.record['run_id'][:12]}. Wait for its end" in " ".join(second.output.split())
    assert outcome.returncode == 0, outcome.output
    after = on_all(files, before)
    changed = {host: changed_files(before[host], after[host]) for host in before}
    # The folder of the lock, which is free again, stays.
    assert {host: [path for path in paths if path != str(LOCK.parent)] for host, paths in changed.items()} == {
        host: [] for host in before
    }
    (result,) = results()
    assert result["passed"]
    assert result["compared_with"] == "db2"
    assert result["tables"]["evidence.public.drilled"] == 77
    assert finding(outcome, "restore drill")["status"] == "ok"
    for check, promised in (("recovery time (RTO)", "3600"), ("recovery point (RPO)", "300")):
        found = finding(outcome, check)
        assert (found["status"], found["unit"], found["expected"]) == ("ok", "s", f"≤ {promised} s")
    assert "Good" in verified(tmp_path)
    assert overdue() == {"restore drill": "ok"}
    assert overdue(later=8) == {"restore drill": "warning"}
    assert overdue(later=15) == {"restore drill": "critical"}


def test_the_result_becomes_evidence_at_the_next_seal(drill: Procedure) -> None:
    """Sealed from the controller, so that nothing on the store is past the procedure; the replica has it, too."""
    seal, verify = (
        Procedure(f"backup_recovery/evidence_protection{name}", drill.inventories, drill.state)
        for name in ("", "_verify")
    )
    sealed = seal.run()
    assert sealed.returncode == 0, sealed.output
    kept = sorted(path.name for path in (drill.state / "drills").iterdir())
    assert [name.rpartition(".")[2] for name in kept] == ["json", "sig"]
    items = f"{EVIDENCE}/items/restore-drills"
    assert shell("store1", f"ls {items}").split() == kept
    assert shell("store1", f"cat {items}/{kept[0]}") == shell("store1", f"cat {DRILLS}/{kept[0]}")
    assert "  restore-drills/" in shell("store1", f"cat {EVIDENCE}/seals/000001/manifest")
    assert sorted(path.name for path in (drill.state / "evidence/items/restore-drills").iterdir()) == kept
    whole = verify.run()
    assert (whole.returncode, whole.bad) == (0, {}), whole.output


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
    assert overdue() == {"restore drill": "critical"}
    shell("store1", f'cd {DRILLS}; sed -i \'s/"passed": false/"passed": true/\' $(ls *.json | tail -1)')
    assert overdue()["signatures of restore drills"] == "critical"
    trend = late.output.partition("Trend of drills")[2].splitlines()[2:5]
    assert [row.split()[-1] for row in trend] == ["passed", "failed", "failed"]


def test_bad_input_a_folder_of_somebody_else(drill: Procedure) -> None:
    shell("scratch1", "mkdir -p /srv/taken; touch /srv/taken/precious")
    archived()
    known = results()
    before = files("scratch1")
    cases: dict[str, tuple[str, ...]] = {
        "is not empty and is no drill's: it holds precious": given(folder="/srv/taken"),
        "is no host of this run": given(host="app1"),
        "promises nothing for 'nowhere'": given(tier="nowhere"),
    }
    *outcomes, looked = side_by_side(drill, [*cases.values(), ("--check",)])
    for words, outcome in zip(cases, outcomes, strict=True):
        assert outcome.record["outcome"] == "refused"
        assert words in outcome.output
    # Check mode chooses as a drill does, says so, and restores nothing.
    assert looked.returncode == 0, looked.output
    assert "would be restored and compared with db2" in finding(looked, "restore drill")["title"]
    assert {change.host for change in looked.changes} == {"scratch1"}
    assert results() == known
    assert changed_files(before, files("scratch1"), touched=True) == {}
