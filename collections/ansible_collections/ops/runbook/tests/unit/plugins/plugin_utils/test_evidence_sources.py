"""What is new: of hosts that answer on this machine, and of a controller's state directory."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import pytest
from ansible_collections.ops.runbook.plugins.module_utils.evidence_checkpoint import Item
from ansible_collections.ops.runbook.plugins.module_utils.evidence_files import MARK, pack
from ansible_collections.ops.runbook.plugins.module_utils.evidence_log import Log
from ansible_collections.ops.runbook.plugins.module_utils.ledger import Ledger
from ansible_collections.ops.runbook.plugins.plugin_utils.evidence_sources import Gatherer, Source, sources_of
from ansible_collections.ops.runbook.plugins.plugin_utils.evidence_store import EvidenceError, Remote
from ansible_collections.ops.runbook.plugins.plugin_utils.fan_out import Reply
from test_evidence_store import Machine

MEGABYTES = 9


class Hosts(Machine):
    """All but one of them are standbys of each database."""

    def run_python(self, programs: Mapping[str, bytes], timeout: float) -> dict[str, Reply]:
        replies = super().run_python(programs, timeout)
        standby = MARK + pack({"standby": True, "items": {}})
        return {h: Reply(0, standby) if b"SELECT nothing" in programs[h] else reply for h, reply in replies.items()}


def gatherer(state: Path, *items: Item, flowing: bool = True) -> Gatherer:
    return Gatherer(Remote(Hosts(flowing=flowing)), Log(items=list(items)), state)


def ledger_entry(state: Path, procedure: str) -> None:
    body = {"procedure": procedure, "started": "2026-01-02T03:04:05Z", "process": {}}
    Ledger(state / "ledger").append("finished", "run", body)


@pytest.mark.parametrize("flowing", [True, False], ids=["through a pipe", "by batches"])
def test_files_of_a_host_come_whole(tmp_path: Path, flowing: bool) -> None:
    folder = tmp_path / "files"
    (folder / "deep").mkdir(parents=True)
    (folder / "a b.txt").write_text("small")
    (folder / "deep/large").write_bytes(bytes(range(256)) * 4096 * MEGABYTES)
    (folder / "link").symlink_to("/etc/shadow")
    (folder / "deep/empty").touch()
    sources = [Source("files", "app1", {"directory": str(folder)})]
    found = gatherer(tmp_path / "state", flowing=flowing).gather(sources, {})
    assert found.due
    assert [candidate.item.path for candidate in found.candidates] == [
        "files/a%20b.txt",
        "files/deep/empty",
        "files/deep/large",
    ]
    for candidate in found.candidates:
        assert hashlib.sha256(b"".join(candidate.pieces())).hexdigest() == candidate.item.sha256


def test_only_what_is_new_and_every_version(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "same").write_text("same")
    (folder / "other").write_text("altered")
    same = Item("files/same", hashlib.sha256(b"same").hexdigest())
    other = Item("files/other", hashlib.sha256(b"original").hexdigest())
    source = [Source("files", "app1", {"directory": str(folder)})]
    found = gatherer(tmp_path / "state", same, other).gather(source, {})
    version = Item(f"files/other@{hashlib.sha256(b'altered').hexdigest()[:12]}", hashlib.sha256(b"altered").hexdigest())
    assert [candidate.item for candidate in found.candidates] == [version]
    assert found.altered == ["files/other"]
    again = gatherer(tmp_path / "state", same, other, version).gather(source, {})
    assert (again.candidates, again.altered, again.due) == ([], [], False)


def test_the_controller_gives_reports_drills_ledger_and_former_ledgers(tmp_path: Path) -> None:
    own = tmp_path / "reports/backup_recovery/evidence_protection/x"
    own.mkdir(parents=True)
    (own / "report.html").write_text("own")
    ledger_entry(tmp_path, "backup_recovery/evidence_protection")
    assert not gatherer(tmp_path).gather([], {}).due, "its own traces would make every run seal again"

    drill = tmp_path / "drills/20260102T030405Z-1.json"
    drill.parent.mkdir()
    drill.write_text("{}")
    found = gatherer(tmp_path).gather([], {})
    assert found.due
    assert found.lines[0].endswith("  restore-drills/20260102T030405Z-1.json")
    drill.unlink()

    ledger_entry(tmp_path, "maintenance/security_updates")
    Ledger(tmp_path / "ledger").restart({"reason": "test"})
    found = gatherer(tmp_path).gather([], {})
    assert found.due
    names = sorted(candidate.item.path.rpartition("/")[2] for candidate in found.candidates)
    assert names[1:] == ["head.json", "ledger.jsonl", "report.html"]
    assert "maintenance/security_updates" in str([list(candidate.pieces()) for candidate in found.candidates])


def test_bad_sources_are_named(tmp_path: Path) -> None:
    bad = {
        "Documents": {"directory": "/x"},
        "custody": {"directory": "/x"},
        "restore-drills": {"directory": "/x"},
        "one": "text",
        "two": {"query": "SELECT 1"},
        "three": {"directory": "/x", "query": "SELECT 1"},
    }
    sources, errors = sources_of("db1", bad)
    assert sources == []
    assert [error.partition("]")[0] for error in errors] == [
        f"evidence_store_sources[{name!r}"[:-1] + "'" for name in bad
    ]
    assert "no mapping" in sources_of("db1", ["x"])[1][0]
    with pytest.raises(EvidenceError, match="No such file"):
        gatherer(tmp_path).gather([Source("files", "app1", {"directory": "/no/such/folder"})], {})


def test_somebody_has_to_be_the_primary(tmp_path: Path) -> None:
    query = {"database": "evidence", "query": "SELECT nothing"}
    with pytest.raises(EvidenceError, match="no primary answers, only the standbys db1, db2"):
        gatherer(tmp_path).gather([Source("documents", host, query) for host in ("db1", "db2")], {})
