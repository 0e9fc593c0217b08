# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The last drill that passed is too old, was followed by one that failed, or was made up by somebody."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from ansible_collections.ops.runbook.plugins.plugin_utils.evidence_keys import Keys
from ansible_collections.ops.runbook.plugins.plugin_utils.recovery_overdue import (
    MARK,
    Kept,
    judged,
    kept,
    kept_here,
    program,
)

NOW = 1795470000.0
DAY = 86400.0


def result(days: float, *, passed: bool = True) -> Kept:
    moment = datetime.fromtimestamp(NOW - days * DAY, UTC).isoformat(sep=" ")
    return Kept(f"{days}.json", json.dumps({"time": moment, "backup": "F1", "passed": passed}), "")


@pytest.mark.parametrize(
    ("results", "status", "words"),
    [
        ([], "unknown", "No backup was ever restored"),
        ([result(1)], "ok", "F1 was restored and compared 24.0 h ago."),
        ([result(-0.001)], "ok", "F1 was restored and compared 0 s ago."),
        ([result(7.5)], "warning", "7.5 d ago"),
        ([result(15)], "critical", "15.0 d ago"),
        ([result(1, passed=False), result(2)], "critical", "the newest, of"),
        ([result(1, passed=False)], "critical", "No drill has passed"),
        ([result(1), result(2, passed=False)], "ok", "24.0 h ago."),
    ],
)
def test_age_of_the_last_that_passed(results: list[Kept], status: str, words: str) -> None:
    (finding,) = judged("store1", results, 7 * DAY, NOW, Keys())
    assert (finding.status, words in finding.title) == (status, True), finding


def test_what_cannot_be_read_is_named() -> None:
    results = [Kept("torn.json", "{", ""), result(-3), result(8)]
    finding, refused = judged("store1", results, 7 * DAY, NOW, Keys())
    assert (finding.status, refused.status) == ("warning", "critical")
    assert "torn.json: it cannot be read" in refused.title
    assert "-3.json: it bears a time in the future" in refused.detail


def test_without_a_good_signature_it_counts_for_nothing(tmp_path: Path) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    signers = tmp_path / "signers"
    signers.write_text(f"drills {key.with_suffix('.pub').read_text(encoding='utf-8')}", encoding="utf-8")
    text = result(20).text
    words = ["ssh-keygen", "-q", "-Y", "sign", "-n", "ops-runbook-evidence", "-f", str(key)]
    signature = subprocess.run(words, input=text, capture_output=True, check=True, text=True).stdout
    old = Kept("old.json", text, signature)
    forged = Kept("new.json", result(1).text, signature)
    finding, refused = judged("store1", [forged, result(2), old], 7 * DAY, NOW, Keys(allowed_signers=str(signers)))
    assert finding.status == "critical"
    assert "20.0 d ago" in finding.title
    assert refused.title.startswith("2 results of restore drills count for nothing: new.json: ")
    assert "it is not signed" in refused.detail


def test_program_reads_the_newest_first(tmp_path: Path) -> None:
    for name in ("20261101T000000Z-a.json", "20261102T000000Z-b.json"):
        (tmp_path / name).write_text(name, encoding="utf-8")
    (tmp_path / "20261101T000000Z-a.json.sig").write_text("signed", encoding="utf-8")
    words = [sys.executable, "-ISB", "-"]
    done = subprocess.run(words, input=program(str(tmp_path)), capture_output=True, check=True)
    assert [(each.name[-6], each.signature) for each in kept(done.stdout.decode())] == [("b", ""), ("a", "signed")]
    assert kept(f"{MARK}[]") == []
    with pytest.raises(ValueError, match="no answer"):
        kept("sudo: a password is required")


def test_controller_knows_the_drills_that_it_has_run(tmp_path: Path) -> None:
    assert kept_here(tmp_path) == []
    (finding,) = judged("store1", [], 7 * DAY, NOW, Keys(), none="None was run.")
    assert (finding.status, finding.title) == ("unknown", "None was run.")
    (tmp_path / "drills").mkdir()
    for name in ("20261101T000000Z-a.json", "20261102T000000Z-b.json"):
        (tmp_path / "drills" / name).write_text(name, encoding="utf-8")
    (tmp_path / "drills/20261101T000000Z-a.json.sig").write_text("signed", encoding="utf-8")
    newer, older = kept_here(tmp_path)
    assert (newer.text, newer.signature) == ("20261102T000000Z-b.json", "")
    assert older.signature == "signed"
