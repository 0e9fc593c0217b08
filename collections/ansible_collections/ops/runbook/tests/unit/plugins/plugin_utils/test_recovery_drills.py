# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A drill passes only where everything is there, in time, and says precisely what is not."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.ops.runbook.plugins.action.restore_drill_plan import exposed
from ansible_collections.ops.runbook.plugins.module_utils.drill_content import differences
from ansible_collections.ops.runbook.plugins.module_utils.ledger_entry import LedgerError
from ansible_collections.ops.runbook.plugins.plugin_utils import recovery_drills
from ansible_collections.ops.runbook.plugins.plugin_utils.recovery_drills import Seen

LIVE = {"lsn": "0/9000028", "tables": {"app.public.a": [3, "17"], "app.public.b": [1, "5"]}, "sequences": {"app.s": 4}}
PLAN = {
    "stanza": "evidence",
    "source": "db2",
    "scratch": "scratch1",
    "exposed": 60.0,
    "objective": {"rto": 100.0, "rpo": 300.0},
    "estimate": {"backup": "20261123-210000F", "backup_ended": 1795467600.0, "size": 10**9, "segments": 10},
}
SECONDS = {"fetched": 20.0, "recovered": 10.0, "verified": 5.0}


def changed(**tables: list[Any]) -> dict[str, Any]:
    return {**LIVE, "tables": {**LIVE["tables"], **{f"app.public.{name}": value for name, value in tables.items()}}}


def made(**more: Any) -> dict[str, Any]:
    values = {"plan": PLAN, "live": LIVE, "restored": LIVE, "seconds": SECONDS, **more}
    return recovery_drills.result(Seen(**values), "f" * 32, 1795470000.0)


def statuses(found: dict[str, Any]) -> dict[str, str]:
    return {finding.check: finding.status for finding in recovery_drills.findings(found, "scratch1", signed=True)}


def test_the_same_content_passes() -> None:
    found = made()
    assert found["passed"]
    assert found["recovery_time"] == {"seconds": 35.0, "promised": 100.0}
    assert set(statuses(found).values()) == {"ok"}


@pytest.mark.parametrize(
    ("restored", "words"),
    [
        (changed(a=[2, "17"]), "app.public.a has 3 rows, restored 2"),
        (changed(a=[3, "18"]), "app.public.a has other content"),
        (changed(c=[0, "0"]), "app.public.c is only in the restored database"),
        ({**LIVE, "tables": {}}, "app.public.a is only in the live database"),
        ({**LIVE, "sequences": {"app.s": 3}}, "app.s is 4, restored 3"),
    ],
)
def test_every_difference_is_named(restored: dict[str, Any], words: str) -> None:
    found = made(restored=restored)
    assert words in found["differences"]
    assert not found["passed"]
    assert statuses(found)["restore drill"] == "critical"


def test_a_sequence_may_be_ahead_by_what_the_log_promises() -> None:
    assert differences(LIVE, {**LIVE, "sequences": {"app.s": 36}}) == []


@pytest.mark.parametrize(
    ("more", "check"),
    [
        ({"seconds": {**SECONDS, "fetched": 90.0}}, "recovery time (RTO)"),
        ({"plan": {**PLAN, "exposed": 301.0}}, "recovery point (RPO)"),
    ],
)
def test_a_missed_objective_is_critical(more: dict[str, Any], check: str) -> None:
    found = made(**more)
    assert not found["passed"]
    assert {name for name, status in statuses(found).items() if status == "critical"} == {check}


def test_a_backup_that_cannot_be_restored_is_critical() -> None:
    found = made(restored={}, seconds={}, failure="checksum error")
    assert not found["passed"]
    assert statuses(found) == {"restore drill": "critical", "recovery point (RPO)": "ok"}


def test_results_are_kept_signed_and_measure_the_next_restore(tmp_path: Path) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    path, signature = recovery_drills.keep(tmp_path, made(), str(key))
    signers = tmp_path / "signers"
    signers.write_text(f"a@b {key.with_suffix('.pub').read_text(encoding='utf-8')}", encoding="utf-8")
    words = ["ssh-keygen", "-Y", "verify", "-f", signers, "-I", "a@b", "-n", recovery_drills.NAMESPACE, "-s", signature]
    assert subprocess.run(words, input=path.read_bytes(), capture_output=True, check=False).returncode == 0
    altered = path.read_bytes().replace(b'"passed": true', b'"passed": null')
    assert subprocess.run(words, input=altered, capture_output=True, check=False).returncode != 0
    assert json.loads(path.read_text(encoding="utf-8")) == made()
    speed = recovery_drills.speed(tmp_path)
    assert (speed.bytes_per_second, speed.segments_per_second, speed.measured) == (5e7, 1.0, True)
    trend = recovery_drills.tables(made(), recovery_drills.drills(tmp_path))[1]
    assert [row[-1] for row in trend["rows"]] == ["passed", "passed"]


def test_a_key_that_cannot_sign_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="cannot be signed"):
        recovery_drills.keep(tmp_path, made(), str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("more", "seconds"),
    [({}, 60.0), ({"waiting": 3}, 900.0), ({"archive_fails": True}, 900.0), ({"archive_timeout": 0}, 900.0)],
)
def test_what_a_loss_now_would_cost(more: dict[str, Any], seconds: float) -> None:
    server = {"archived": 100.0, "archive_timeout": 60, "archive_fails": False, "waiting": 0, **more}
    assert exposed(server, 1000.0) == seconds
