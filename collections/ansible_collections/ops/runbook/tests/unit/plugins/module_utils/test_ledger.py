from __future__ import annotations

import fcntl
import hashlib
import json
import multiprocessing
import os
from pathlib import Path

import pytest
from ansible_collections.ops.runbook.plugins.module_utils import ledger as ledger_module
from ansible_collections.ops.runbook.plugins.module_utils.ledger import Ledger
from ansible_collections.ops.runbook.plugins.module_utils.ledger_entry import (
    GENESIS,
    Entry,
    Head,
    LedgerBrokenError,
    LedgerError,
    NotAnEntryError,
    canonical,
)
from ansible_collections.ops.runbook.plugins.module_utils.ledger_verifier import verify


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger")


def confirmed(ledger: Ledger) -> Head:
    head = ledger.head()
    assert head is not None
    return head


def test_an_entry_can_be_checked_with_nothing_but_json_and_sha256(ledger: Ledger) -> None:
    ledger.append("started", "r1", {"text": 'ü "quoted" ,"hash":"not mine"', "hash": "neither"})
    ledger.append("finished", "r1", {})
    prev = GENESIS
    for line in ledger.path.read_bytes().splitlines():
        data = json.loads(line)
        assert data["prev"] == prev
        prev = data.pop("hash")
        text = json.dumps(data, sort_keys=True, separators=(",", ":")).encode()
        assert hashlib.sha256(text).hexdigest() == prev


def test_the_checkpoint_follows_each_entry(ledger: Ledger) -> None:
    first = ledger.append("started", "r1", {"process": {"pid": 7}})
    head = confirmed(ledger)
    assert (head.entries, head.hash, head.size) == (1, first.hash, ledger.path.stat().st_size)
    assert head.open["r1"] == {"pid": 7, "since": first.time}
    second = ledger.append("finished", "r1", {})
    assert confirmed(ledger).hash == second.hash
    assert confirmed(ledger).open == {}


def test_bodies_come_back_as_they_were(ledger: Ledger) -> None:
    body = {"text": "line\u2028separator\nand 'quotes' \\ \"", "list": [1, 2.5, None, True], "nested": {"hash": "x"}}
    ledger.append("finished", "r1", body)
    assert [entry.body for entry in ledger.entries()] == [body]


def test_others_cannot_read_it(ledger: Ledger) -> None:
    ledger.append("started", "r1", {})
    for path in (ledger.directory, *ledger.directory.iterdir()):
        assert path.stat().st_mode & 0o007 == 0, path


def test_an_unknown_kind_and_what_is_not_json_are_errors(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="started"):
        ledger.append("begun", "r1", {})
    with pytest.raises(ValueError, match="JSON"):
        ledger.append("started", "r1", {"number": float("nan")})
    assert ledger.path.read_bytes() == b""


@pytest.mark.parametrize("line", [b"", b"{}", b"[1]", b'{"body":{},"hash":"x"}', b"\x00\xff", b'"a"'])
def test_a_line_that_no_writer_wrote_is_not_an_entry(line: bytes) -> None:
    with pytest.raises(NotAnEntryError):
        Entry.from_line(line)


def _append(directory: Path, name: str, count: int) -> None:
    for number in range(count):
        Ledger(directory).append("finished", f"{name}-{number}", {"name": name})


def test_concurrent_writers_make_one_chain(ledger: Ledger) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_append, args=(ledger.directory, f"w{n}", 50)) for n in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0] * 8
    found = verify(ledger.directory)
    assert found.ok, found
    assert found.entries == 400
    assert len({entry.run_id for entry in ledger.entries()}) == 400


class TestKilledWriter:
    def test_an_entry_without_its_checkpoint_is_adopted_and_noted(self, ledger: Ledger) -> None:
        ledger.append("started", "r1", {"process": {"pid": 1}})
        before = ledger.head_path.read_bytes()
        ledger.append("started", "r2", {"process": {"pid": 2}})
        ledger.append("finished", "r1", {})
        ledger.head_path.write_bytes(before)
        entry = ledger.append("started", "r3", {})
        assert entry.seq == 4
        assert entry.note == {"adopted": 2}
        assert set(confirmed(ledger).open) == {"r2", "r3"}
        assert verify(ledger.directory).ok
        assert ledger.append("finished", "r3", {}).note == {}

    @pytest.mark.parametrize("rest", [b'{"body":{"changes":[{"ho', b"\x00" * 4096, b"not an entry\n"])
    def test_a_torn_line_is_set_aside_and_noted(self, ledger: Ledger, rest: bytes) -> None:
        ledger.append("started", "r1", {})
        with ledger.path.open("ab") as file:
            file.write(rest)
        entry = ledger.append("finished", "r1", {})
        aside = entry.note["set_aside"]
        assert (ledger.directory / aside["file"]).read_bytes() == rest
        assert aside["sha256"] == hashlib.sha256(rest).hexdigest()
        assert aside["bytes"] == len(rest)
        assert verify(ledger.directory).ok

    def test_adopts_up_to_a_torn_line(self, ledger: Ledger) -> None:
        ledger.append("started", "r1", {})
        before = ledger.head_path.read_bytes()
        ledger.append("finished", "r1", {})
        ledger.head_path.write_bytes(before)
        with ledger.path.open("ab") as file:
            file.write(b'{"body":')
        entry = ledger.append("started", "r2", {})
        assert (entry.seq, entry.note["adopted"], entry.note["set_aside"]["bytes"]) == (3, 1, 8)
        assert verify(ledger.directory).ok

    def test_a_forged_entry_after_the_checkpoint_is_set_aside(self, ledger: Ledger) -> None:
        ledger.append("started", "r1", {})
        line = ledger.path.read_bytes()
        with ledger.path.open("ab") as file:
            file.write(line)
        assert "set_aside" in ledger.append("finished", "r1", {}).note

    def test_an_edited_entry_after_the_checkpoint_is_set_aside(self, ledger: Ledger) -> None:
        ledger.append("started", "r1", {})
        before = ledger.head_path.read_bytes()
        ledger.append("finished", "r1", {"number": 1})
        ledger.head_path.write_bytes(before)
        ledger.path.write_bytes(ledger.path.read_bytes().replace(b'"number":1', b'"number":2'))
        note = ledger.append("finished", "r1", {}).note
        assert "adopted" not in note
        assert b'"number":2' in (ledger.directory / note["set_aside"]["file"]).read_bytes()

    def test_killed_before_the_first_entry(self, ledger: Ledger) -> None:
        with ledger.writer():
            pass
        assert ledger.append("started", "r1", {}).seq == 1
        assert verify(ledger.directory).ok


class TestDamage:
    @pytest.fixture
    def full(self, ledger: Ledger) -> Ledger:
        for number in range(3):
            ledger.append("finished", f"r{number}", {"number": number})
        return ledger

    def test_nothing_is_appended_without_the_checkpoint(self, full: Ledger) -> None:
        full.head_path.unlink()
        with pytest.raises(LedgerBrokenError, match=r"head\.json is missing"):
            full.append("started", "r9", {})

    def test_nothing_is_appended_after_a_truncation(self, full: Ledger) -> None:
        lines = full.path.read_bytes().splitlines(keepends=True)
        full.path.write_bytes(b"".join(lines[:2]))
        with pytest.raises(LedgerBrokenError, match=r"shorter.*runbook-ledger restart"):
            full.append("started", "r9", {})

    def test_nothing_is_appended_after_an_edit_of_the_newest_entry(self, full: Ledger) -> None:
        full.path.write_bytes(full.path.read_bytes().replace(b'"number":2', b'"number":7'))
        with pytest.raises(LedgerBrokenError, match="entry 3"):
            full.append("started", "r9", {})

    def test_an_unreadable_checkpoint_is_an_error_and_not_a_new_beginning(self, full: Ledger) -> None:
        full.head_path.write_text("{")
        with pytest.raises(LedgerError, match="is not a checkpoint"):
            full.append("started", "r9", {})

    def test_a_restart_keeps_the_damaged_ledger_and_says_why(self, full: Ledger) -> None:
        damaged = full.path.read_bytes()[:-100]
        full.path.write_bytes(damaged)
        aside = full.restart({"reason": "disk was full"})
        assert (aside / "ledger.jsonl").read_bytes() == damaged
        entry = next(full.entries())
        assert (entry.kind, entry.body) == ("restarted", {"reason": "disk was full", "set_aside": aside.name})
        assert verify(full.directory).ok


def test_an_entry_longer_than_what_is_read_at_once_is_found_again(ledger: Ledger) -> None:
    ledger.append("finished", "r1", {"text": "x" * 100_000})
    assert ledger.append("finished", "r2", {}).seq == 2


def test_a_full_disk_leaves_no_half_entry(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.append("started", "r1", {})
    whole = ledger.path.read_bytes()
    write = os.write
    monkeypatch.setattr(ledger_module.os, "write", lambda descriptor, data: write(descriptor, data[: len(data) // 2]))
    with pytest.raises(LedgerError, match="only a part"):
        ledger.append("finished", "r1", {})
    assert ledger.path.read_bytes() == whole


def test_a_lock_that_is_never_released_is_named(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.append("started", "r1", {})
    monkeypatch.setattr(ledger_module, "LOCK_TIMEOUT_SECONDS", 0.05)
    with (ledger.directory / "lock").open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(LedgerError, match="another process has held"):
            ledger.append("finished", "r1", {})
    assert ledger.append("finished", "r1", {}).seq == 2


def test_a_directory_that_cannot_be_made_is_a_ledger_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match="cannot be written"):
        Ledger(tmp_path / "file" / "ledger").append("started", "r1", {})


def test_a_signature_that_cannot_be_made_leaves_no_trace(ledger: Ledger) -> None:
    ledger.append("started", "r1", {})
    whole = ledger.path.read_bytes()

    def refuse(_entries: int, _head: str) -> str:
        raise LedgerError("no key")

    with pytest.raises(LedgerError, match="no key"):
        Ledger(ledger.directory, refuse).append("finished", "r1", {})
    assert ledger.path.read_bytes() == whole
    assert verify(ledger.directory).ok


def test_reading_back_finds_what_changed_meanwhile(ledger: Ledger) -> None:
    with ledger.writer() as writer:
        before = writer.head
        writer.append("started", "r1", {"number": 1})
        writer.append("finished", "r1", {})
        writer.check_since(before)
        ledger.path.write_bytes(ledger.path.read_bytes().replace(b'"number":1', b'"number":2'))
        with pytest.raises(LedgerBrokenError, match="entry 1 does not continue entry 0"):
            writer.check_since(before)


def test_canonical_json_is_ascii_sorted_and_tight() -> None:
    assert canonical({"b": "ü", "a": [1, None]}) == b'{"a":[1,null],"b":"\\u00fc"}'
