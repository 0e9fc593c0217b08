"""Root on an app host forges snapshots, to lose good ones or have his own restored: the store's clock counts."""

from __future__ import annotations

import json
from pathlib import Path

from stored import FILES, altered, program

from tests.scenario import ROOT, Procedure, shell

SETTINGS = "/etc/ops-runbook/file_backup.json"
SHORT = r's/"\(application\|configuration\|evidence\)": [0-9]\+/"\1": 1/'
#: Restic dates a snapshot as it is told: after everything that will ever be made, and long ago.
FORGE = """
set -a
. /etc/restic/environment
for time in '2099-01-01 00:00:00' '2001-01-01 00:00:00'; do
    restic backup --quiet --tag configuration --tag application --time "$time" /etc/hostname
done
"""
RESTORE = """
set -a
. /etc/restic/environment
restic restore --quiet --target /tmp/proof --include /etc/ssh {snapshot}
diff -r /etc/ssh /tmp/proof/etc/ssh
rm -r /tmp/proof
"""


def snapshots() -> dict[str, list[str]]:
    """Year of the snapshots of the configuration of app1 → their ids, oldest first."""
    words = "set -a; . /etc/restic/environment; restic snapshots --no-lock --json --tag configuration"
    found: dict[str, list[str]] = {}
    for row in json.loads(shell("app1", words)):
        found.setdefault(row["time"][:4], []).append(row["id"])
    return found


def test_forged_snapshots_expire_no_good_one() -> None:
    """Everything is kept for a second only: the newest that was really made stays, and the forged ones are named."""
    assert program(f"{FILES} run --kind all", "app1")["made"] == ["application", "configuration"]
    real = next(iter(snapshots().values()))
    assert len(real) > 1
    shell("app1", FORGE)
    forged = snapshots()
    with altered(SETTINGS, f"sleep 2; sed -i '{SHORT}' {SETTINGS}"):
        dry = program(f"{FILES} expire --dry-run")
        answer = program(f"{FILES} expire")
        again = program(f"{FILES} expire")
    assert answer["made"] == dry["made"]
    assert f"app1: {real[0][:8]} forgotten" in answer["made"]
    assert f"app1: {forged['2001'][0][:8]} forgotten" in answer["made"]
    noted = [json.loads(line) for line in shell("store1", "cat /var/lib/file-backup/history.jsonl").splitlines()]
    expired = {row["host"]: row["labels"] for row in noted if row["event"] == "expired"}
    assert {real[0], forged["2001"][0]} <= set(expired["app1"])
    left = snapshots()
    assert left == {real_year(real, forged): real[-1:], "2099": forged["2099"]}
    said = {finding["check"]: finding for finding in again["findings"]}["snapshots of app1"]
    assert said["status"] == "critical"
    assert forged["2099"][0][:8] in said["title"]
    assert again["made"] == []
    shell("app1", RESTORE.format(snapshot=real[-1]))


def test_no_forged_snapshot_is_restored_as_the_latest(state: Path) -> None:
    """The forged one, which was left above, has no such folder."""
    restore = Procedure("backup_recovery/recovery_procedures_files", (ROOT / "inventories/lab",), state)
    wanted = {"file_restore_paths": ["/etc/ssh"], "file_restore_snapshot": "latest"}
    looked = restore.run("--check", "--limit", "app1", "--extra-vars", json.dumps(wanted))
    assert looked.returncode == 0, looked.output
    named = restore.run(
        "--check",
        "--limit",
        "app1",
        "--extra-vars",
        json.dumps({**wanted, "file_restore_snapshot": snapshots()["2099"][0]}),
    )
    assert named.record["outcome"] == "refused", named.output
    assert "has no /etc/ssh" in named.output


def real_year(real: list[str], found: dict[str, list[str]]) -> str:
    """The year that the real snapshots bear."""
    return next(year for year, ids in found.items() if set(ids) & set(real))
