from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.ops.runbook.plugins.module_utils.ledger import Ledger
from ansible_collections.ops.runbook.plugins.module_utils.ledger_entry import Head, LedgerError, canonical
from ansible_collections.ops.runbook.plugins.module_utils.ledger_signature import BadSignatureError, signed_by, signer
from ansible_collections.ops.runbook.plugins.module_utils.ledger_verifier import Verification, verify

ENTRIES = 6


def fill(ledger: Ledger) -> None:
    for number in range(1, ENTRIES + 1):
        kind = "started" if number % 2 else "finished"
        ledger.append(kind, f"r{(number + 1) // 2}", {"number": number, "process": {"pid": number}})


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    ledger = Ledger(tmp_path / "ledger")
    fill(ledger)
    return ledger


def lines(ledger: Ledger) -> list[bytes]:
    return ledger.path.read_bytes().splitlines(keepends=True)


def put(ledger: Ledger, content: list[bytes]) -> Verification:
    ledger.path.write_bytes(b"".join(content))
    return verify(ledger.directory)


def forged(line: bytes, **members: Any) -> bytes:
    """The line with other members and a hash that fits them."""
    data = {**json.loads(line), **members}
    del data["hash"]
    return canonical({**data, "hash": hashlib.sha256(canonical(data)).hexdigest()}) + b"\n"


def hashed_again(content: list[bytes], start: int) -> list[bytes]:
    """The lines with a chain of their own from that index on."""
    out = content[:start]
    for line in content[start:]:
        out.append(forged(line, prev=json.loads(out[-1])["hash"]) if out else forged(line))
    return out


def found(verification: Verification) -> tuple[str, int, int]:
    assert not verification.ok
    assert verification.problem is not None
    return verification.problem.kind, verification.problem.line, verification.problem.seq


def test_a_whole_ledger_is_verified(ledger: Ledger) -> None:
    result = verify(ledger.directory)
    assert (result.ok, result.entries, result.head) == (True, ENTRIES, json.loads(lines(ledger)[-1])["hash"])
    assert verify(ledger.path).ok
    assert "ledger verified: 6 entries" in str(result)


def test_a_copy_is_verified_anywhere(ledger: Ledger, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copy(ledger.path, copy)
    shutil.copy(ledger.head_path, copy)
    assert verify(copy).ok


@pytest.mark.parametrize("index", range(ENTRIES))
@pytest.mark.parametrize("member", ["body", "kind", "prev", "run_id", "seq", "time", "hash"])
def test_an_edit_of_any_member_of_any_entry(ledger: Ledger, index: int, member: str) -> None:
    content = lines(ledger)
    data = json.loads(content[index])
    data[member] = {
        "body": {"number": 99},
        "kind": "interrupted",
        "prev": "f" * 64,
        "run_id": "x",
        "seq": data["seq"] + 1,
        "time": "1970-01-01T00:00:00.000Z",
        "hash": "e" * 64,
    }[member]
    content[index] = canonical(data) + b"\n"
    assert found(put(ledger, content))[:2] == ("edited", index + 1)


@pytest.mark.parametrize("index", range(ENTRIES))
def test_an_edit_of_white_space_only(ledger: Ledger, index: int) -> None:
    content = lines(ledger)
    content[index] = json.dumps(json.loads(content[index])).encode() + b"\n"
    assert found(put(ledger, content))[:2] == ("edited", index + 1)


@pytest.mark.parametrize("index", range(ENTRIES))
def test_an_edited_entry_with_a_new_hash(ledger: Ledger, index: int) -> None:
    content = lines(ledger)
    content[index] = forged(content[index], body={"number": 99, "process": {"pid": index + 1}})
    kind, line, seq = found(put(ledger, content))
    assert (kind, line, seq) == ("edited", index + 1, index + 1)


@pytest.mark.parametrize("index", range(ENTRIES))
def test_an_edited_entry_with_everything_after_it_hashed_again(ledger: Ledger, index: int) -> None:
    content = lines(ledger)
    content[index] = forged(content[index], body={"number": 99})
    assert found(put(ledger, hashed_again(content, index + 1)))[0] == "edited"


@pytest.mark.parametrize("index", range(ENTRIES - 1))
def test_a_deleted_entry(ledger: Ledger, index: int) -> None:
    content = lines(ledger)
    del content[index]
    assert found(put(ledger, content)) == ("deleted", index + 1, index + 1)


def test_several_deleted_entries_are_named(ledger: Ledger) -> None:
    result = put(ledger, lines(ledger)[:1] + lines(ledger)[4:])
    assert "entries 2 to 4 are missing" in str(result)


@pytest.mark.parametrize("kept", range(ENTRIES))
def test_a_truncation(ledger: Ledger, kept: int) -> None:
    result = put(ledger, lines(ledger)[:kept])
    assert found(result) == ("truncated", kept, kept + 1)
    assert f"the last {ENTRIES - kept} of {ENTRIES} entries are gone" in str(result)


def test_a_ledger_without_its_file_is_truncated(ledger: Ledger) -> None:
    ledger.path.unlink()
    assert found(verify(ledger.directory))[0] == "truncated"


@pytest.mark.parametrize(("a", "b"), [(0, 1), (2, 3), (1, 4), (4, 5), (0, 5)])
def test_two_exchanged_entries(ledger: Ledger, a: int, b: int) -> None:
    content = lines(ledger)
    content[a], content[b] = content[b], content[a]
    assert found(put(ledger, content)) == ("reordered", a + 1, b + 1)


@pytest.mark.parametrize("index", range(ENTRIES + 1))
def test_an_inserted_line_of_nonsense(ledger: Ledger, index: int) -> None:
    content = lines(ledger)
    content.insert(index, b'{"body":{},"note":"hello"}\n')
    assert found(put(ledger, content))[:2] == ("inserted", index + 1)


@pytest.mark.parametrize("index", range(2, ENTRIES + 1))
def test_a_copy_of_an_earlier_entry(ledger: Ledger, index: int) -> None:
    content = lines(ledger)
    content.insert(index, content[0])
    assert found(put(ledger, content)) == ("inserted", index + 1, 1)


@pytest.mark.parametrize("index", range(1, ENTRIES))
def test_a_forged_entry_that_continues_the_chain(ledger: Ledger, index: int) -> None:
    content = lines(ledger)
    content.insert(index, forged(content[index], body={"forged": True}))
    assert found(put(ledger, content)) == ("inserted", index + 1, index + 1)


@pytest.mark.parametrize("index", range(1, ENTRIES))
def test_a_forged_entry_after_the_true_one(ledger: Ledger, index: int) -> None:
    content = lines(ledger)
    content.insert(index + 1, forged(content[index], body={"forged": True}))
    assert found(put(ledger, content)) == ("inserted", index + 2, index + 1)


def test_a_missing_checkpoint(ledger: Ledger) -> None:
    ledger.head_path.unlink()
    assert found(verify(ledger.directory))[0] == "missing checkpoint"


@pytest.mark.parametrize("text", ["", "{}x", '{"unknown":1}', "[]"])
def test_a_checkpoint_that_is_none(ledger: Ledger, text: str) -> None:
    ledger.head_path.write_text(text)
    assert found(verify(ledger.directory))[0] == "bad checkpoint"


@pytest.mark.parametrize("changed", [{"open": {"r9": {}}}, {"size": 3}])
def test_a_checkpoint_that_says_something_else(ledger: Ledger, changed: dict[str, Any]) -> None:
    head = json.loads(ledger.head_path.read_text())
    ledger.head_path.write_text(json.dumps({**head, **changed}))
    assert found(verify(ledger.directory))[0] == "bad checkpoint"


def test_a_checkpoint_with_another_hash(ledger: Ledger) -> None:
    head = json.loads(ledger.head_path.read_text())
    ledger.head_path.write_text(json.dumps({**head, "hash": "a" * 64}))
    assert found(verify(ledger.directory)) == ("edited", ENTRIES, ENTRIES)


def test_a_checkpoint_rolled_back(ledger: Ledger) -> None:
    before = ledger.head_path.read_bytes()
    ledger.append("started", "r9", {})
    ledger.head_path.write_bytes(before)
    assert found(verify(ledger.directory)) == ("unconfirmed", ENTRIES + 1, ENTRIES + 1)


def test_a_torn_last_line(ledger: Ledger) -> None:
    result = put(ledger, [*lines(ledger), b'{"body":{"x'])
    assert found(result) == ("unconfirmed", ENTRIES + 1, ENTRIES + 1)
    assert "next run sets it aside" in str(result)


@pytest.mark.parametrize("kept", range(ENTRIES))
def test_a_truncation_in_the_middle_of_a_line(ledger: Ledger, kept: int) -> None:
    content = lines(ledger)
    result = put(ledger, [*content[:kept], content[kept][:50]])
    assert found(result) == ("truncated", kept + 1, kept + 1)


def test_what_is_not_there_is_not_verified(tmp_path: Path) -> None:
    assert found(verify(tmp_path / "ledger"))[0] == "absent"


def test_what_is_empty_is_not_verified(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    with ledger.writer():
        pass
    assert found(verify(ledger.directory))[0] == "empty"


def _rewritten(ledger: Ledger) -> None:
    """Somebody who may write both files edits an entry and makes everything fit."""
    content = lines(ledger)
    content[1] = forged(content[1], body={"number": 99})
    content = hashed_again(content, 2)
    ledger.path.write_bytes(b"".join(content))
    head = ledger.head()
    assert head is not None
    new = {**vars(head), "hash": json.loads(content[-1])["hash"], "size": ledger.path.stat().st_size}
    Head(**new).write(ledger.head_path)


class TestSignatures:
    @pytest.fixture
    def key(self, tmp_path: Path) -> Path:
        return self.make_key(tmp_path, "operator")

    @staticmethod
    def make_key(directory: Path, name: str, passphrase: str = "") -> Path:
        key = directory / name
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", f"{name}@lab", "-f", str(key)]
        subprocess.run(command, check=True)
        return key

    @staticmethod
    def allow(directory: Path, *keys: Path) -> Path:
        path = directory / "allowed_signers"
        path.write_text("".join(f"{key.name}@lab {key.with_suffix('.pub').read_text()}" for key in keys))
        return path

    @pytest.fixture
    def signed(self, tmp_path: Path, key: Path) -> Ledger:
        ledger = Ledger(tmp_path / "ledger", signer(key))
        fill(ledger)
        return ledger

    def test_the_signer_is_named(self, signed: Ledger, key: Path, tmp_path: Path) -> None:
        result = verify(signed.directory, self.allow(tmp_path, key), every_signature=True)
        assert (result.ok, result.signed_by) == (True, "operator@lab")
        assert verify(signed.directory).signed
        assert verify(signed.directory).signed_by == ""

    def test_each_entry_carries_the_signature_before_it(self, signed: Ledger, key: Path, tmp_path: Path) -> None:
        signers = self.allow(tmp_path, key)
        entries = list(signed.entries())
        assert entries[0].signature == ""
        for entry in entries[1:]:
            assert signed_by(entry.seq - 1, entry.prev, entry.signature, signers) == "operator@lab"

    def test_a_rewritten_history_has_a_bad_signature(self, signed: Ledger, key: Path, tmp_path: Path) -> None:
        _rewritten(signed)
        assert verify(signed.directory).ok, "without a signature nothing can tell"
        assert found(verify(signed.directory, self.allow(tmp_path, key)))[0] == "bad signature"

    def test_a_rewritten_history_shows_also_when_the_next_run_has_signed_it(
        self, signed: Ledger, key: Path, tmp_path: Path
    ) -> None:
        signers = self.allow(tmp_path, key)
        ledger = Ledger(tmp_path / "forged")
        for entry in signed.entries():
            ledger.append(entry.kind, entry.run_id, {"forged": True})
        Ledger(ledger.directory, signer(key)).append("started", "r9", {})
        assert verify(ledger.directory, signers).unsigned == ENTRIES
        assert found(verify(ledger.directory, signers, every_signature=True)) == ("unsigned", 1, 1)
        assert verify(signed.directory, signers).unsigned == 0

    def test_the_last_word_of_a_killed_writer_needs_no_signature(
        self, signed: Ledger, key: Path, tmp_path: Path
    ) -> None:
        before = signed.head()
        assert before is not None
        signed.append("started", "r9", {})
        before.write(signed.head_path)  # killed when the entry was written, and not yet confirmed
        signed.append("finished", "r9", {})
        assert verify(signed.directory, self.allow(tmp_path, key), every_signature=True).ok

    def test_a_stranger_is_not_allowed(self, signed: Ledger, tmp_path: Path) -> None:
        stranger = self.make_key(tmp_path, "stranger")
        result = verify(signed.directory, self.allow(tmp_path, stranger))
        assert found(result)[0] == "bad signature"

    def test_an_older_signature_by_a_stranger_shows(self, signed: Ledger, key: Path, tmp_path: Path) -> None:
        stranger = self.make_key(tmp_path, "stranger")
        Ledger(signed.directory, signer(stranger)).append("started", "r9", {})
        signed.append("finished", "r9", {})
        signers = self.allow(tmp_path, key)
        assert verify(signed.directory, signers).ok
        result = verify(signed.directory, signers, every_signature=True)
        assert found(result) == ("bad signature", ENTRIES + 1, ENTRIES + 1)

    def test_an_unsigned_end_is_not_accepted(self, signed: Ledger, key: Path, tmp_path: Path) -> None:
        Ledger(signed.directory).append("started", "r9", {})
        assert found(verify(signed.directory, self.allow(tmp_path, key)))[0] == "unsigned"

    def test_missing_signers_are_an_error(self, signed: Ledger, tmp_path: Path) -> None:
        with pytest.raises(LedgerError, match="is not a file"):
            verify(signed.directory, tmp_path / "nobody")

    @pytest.mark.parametrize("signature", ["", "AAAA", "x" * 300])
    def test_nonsense_is_a_bad_signature(self, signature: str, key: Path, tmp_path: Path) -> None:
        with pytest.raises(BadSignatureError):
            signed_by(1, "a" * 64, signature, self.allow(tmp_path, key))

    def test_a_key_with_a_passphrase_fails_at_once(self, tmp_path: Path) -> None:
        key = self.make_key(tmp_path, "locked", "open sesame")
        with pytest.raises(LedgerError, match=r"cannot be signed.*ssh-agent"):
            Ledger(tmp_path / "ledger", signer(key)).append("started", "r1", {})

    def test_a_key_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(LedgerError, match="cannot be signed"):
            Ledger(tmp_path / "ledger", signer(tmp_path / "nokey")).append("started", "r1", {})


def test_verification_holds_one_entry_in_memory(tmp_path: Path) -> None:
    def build(name: str, count: int) -> Path:
        ledger = Ledger(tmp_path / name)
        with ledger.writer() as writer:
            entry = writer.append("finished", "r1", {"text": "x" * 500})
        content = [entry.line + b"\n"]
        for seq in range(2, count + 1):
            content.append(forged(content[-1], seq=seq, prev=json.loads(content[-1])["hash"]))
        ledger.path.write_bytes(b"".join(content))
        last = json.loads(content[-1])
        Head(entries=count, hash=last["hash"], size=ledger.path.stat().st_size).write(ledger.head_path)
        return ledger.directory

    directory = build("long", 5_000)
    tracemalloc.start()
    assert verify(directory).ok
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 500_000, "3.5 MB of ledger must not be held in memory"
