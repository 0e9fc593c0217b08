"""A whole store in a folder: sealed with real keys, damaged in every way, and what the verifier names."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.ops.runbook.plugins.module_utils.evidence_checkpoint import Checkpoint, SealError, safe_path
from ansible_collections.ops.runbook.plugins.module_utils.evidence_log import (
    Log,
    Problem,
    Remembered,
    check_items,
    read,
)
from ansible_collections.ops.runbook.plugins.module_utils.ledger import Ledger
from ansible_collections.ops.runbook.plugins.plugin_utils import evidence_package, evidence_records
from ansible_collections.ops.runbook.plugins.plugin_utils.evidence_keys import Keys, SealingError
from ansible_collections.ops.runbook.plugins.plugin_utils.evidence_memory import (
    check_ledger,
    damaged_entry,
    new_entries,
    remembered,
)
from ansible_collections.ops.runbook.plugins.plugin_utils.evidence_store import (
    EvidenceError,
    EvidenceStore,
    Remote,
    of_bytes,
)
from ansible_collections.ops.runbook.plugins.plugin_utils.fan_out import Command, Reply

WHY = evidence_records.Why("because the test says so")
DAY = 86_400


class Machine:
    """All hosts are this machine; programs run in processes of their own, as they do there."""

    def __init__(self, *, flowing: bool = True, shell: str = "{}") -> None:
        self.flowing = flowing
        self.shell = shell

    def interpreter(self, _host: str) -> str:
        return sys.executable

    def streamed(self, _host: str, line: str) -> list[str] | None:
        return ["sh", "-c", self.shell.format(line)] if self.flowing else None

    def run(self, commands: Mapping[str, Command], _timeout: float) -> dict[str, Reply]:
        return {host: self._reply(self.shell.format(command.line), command.stdin) for host, command in commands.items()}

    def run_python(self, programs: Mapping[str, bytes], _timeout: float) -> dict[str, Reply]:
        return {host: self._reply(f"{sys.executable} -ISBX utf8 -", code) for host, code in programs.items()}

    @staticmethod
    def _reply(line: str, data: bytes) -> Reply:
        done = subprocess.run(["sh", "-c", line], input=data, capture_output=True, check=False)
        return Reply(done.returncode, *(said.decode("utf-8", "surrogateescape") for said in (done.stdout, done.stderr)))


def here(*, flowing: bool = True, shell: str = "{}") -> Remote:
    """Hosts that answer on this machine, where contents flow or not, and commands run in that shell."""
    return Remote(Machine(flowing=flowing, shell=shell))  # type: ignore[arg-type]


@dataclass
class Sealed:
    """A store with three seals, and what was remembered of it."""

    store: EvidenceStore
    known: list[Remembered]

    @property
    def root(self) -> Path:
        return Path(self.store.root)

    def problems(self, *, known: bool = True) -> list[Problem]:
        said = self.store.ask("log")
        seals = {name: {f: t.encode("latin-1") for f, t in files.items()} for name, files in said["seals"].items()}
        control = {path: text.encode("latin-1") for path, text in said["control"].items()}
        keys = self.store.keys
        log = read(seals, control, self.known if known else (), keys.unsigned, keys.unstamped)
        hashes = self.store.ask("hash")
        return [*log.problems, *check_items(log, hashes["hashes"], hashes["failures"])]


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return make_keys(tmp_path_factory.mktemp("keys"))


def make_keys(folder: Path) -> Keys:
    key = folder / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    (folder / "signers").write_text(f"keeper@example.org {key.with_suffix('.pub').read_text(encoding='ascii')}")
    files = ["-keyout", folder / "tsa.key", "-out", folder / "tsa.pem"]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=Time stamps"]
    usage = ["-addext", "extendedKeyUsage=critical,timeStamping", "-addext", "basicConstraints=CA:FALSE"]
    subprocess.run(["openssl", "req", "-x509", *kind, *usage, *files], check=True, capture_output=True)
    return Keys(
        signing_key=str(key),
        allowed_signers=str(folder / "signers"),
        tsa_certificate=str(folder / "tsa.pem"),
        tsa_key=str(folder / "tsa.key"),
        tsa_authority=str(folder / "tsa.pem"),
    )


@pytest.fixture(scope="session")
def master(keys: Keys, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Remembered]]:
    """Three seals, made once."""
    root = tmp_path_factory.mktemp("store") / "evidence"
    store = EvidenceStore(here(), "store1", str(root), keys, root.parent, {"": DAY})
    known = []
    for number in range(3):
        names = [f"documents/{number}-{name}.json" for name in range(5)]
        candidates = [of_bytes(name, f'{{"name": "{name}"}}\n'.encode()) for name in names]
        known.append(Remembered(store.seal(store.sound_log(), candidates), f"run {number}"))
    return root, known


@pytest.fixture
def sealed(master: tuple[Path, list[Remembered]], keys: Keys, tmp_path: Path) -> Sealed:
    root, known = master
    shutil.copytree(root, tmp_path / "evidence")
    store = EvidenceStore(here(), "store1", str(tmp_path / "evidence"), keys, tmp_path / "state", {"": DAY})
    return Sealed(store, list(known))


def flip(path: Path, at: int = -1) -> None:
    """One bit of the byte in the middle, or at the place."""
    content = bytearray(path.read_bytes())
    content[at if at >= 0 else len(content) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(bytes(content))


def test_what_was_sealed_is_whole(sealed: Sealed) -> None:
    assert sealed.problems() == []
    log = sealed.store.sound_log()
    assert [checkpoint.items for checkpoint in log.checkpoints] == [5, 10, 15]
    assert [point.checkpoint for point in sealed.known] == log.checkpoints


@pytest.mark.parametrize(
    ("path", "kind", "name"),
    [
        ("items/documents/1-2.json", "item", "documents/1-2.json"),
        ("seals/000002/manifest", "manifest", "of seal 000002"),
        ("seals/000002/checkpoint", "checkpoint", "of seal 000002"),
        ("seals/000002/checkpoint.sig", "signature", "of seal 000002"),
        ("seals/000002/checkpoint.tsr", "token", "of seal 000002"),
        ("seals/000003/checkpoint", "checkpoint", "of seal 000003"),
        ("seals/000003/checkpoint.sig", "signature", "of seal 000003"),
        ("seals/000003/checkpoint.tsr", "token", "of seal 000003"),
    ],
)
@pytest.mark.parametrize("known", [True, False], ids=["remembered", "offline"])
def test_one_flipped_bit_is_named(sealed: Sealed, path: str, kind: str, name: str, *, known: bool) -> None:
    flip(sealed.root / path)
    found = sealed.problems(known=known)
    assert [(problem.kind, problem.name) for problem in found] == [(kind, name)]
    if kind != "item":
        with pytest.raises(EvidenceError, match="Nothing is sealed upon it"):
            sealed.store.sound_log()


def test_every_byte_of_a_checkpoint_counts(sealed: Sealed) -> None:
    """It has one form: whatever is altered makes it another checkpoint, or none."""
    made = sealed.known[-1].checkpoint
    for at in range(len(made.text)):
        altered = bytearray(made.text.encode("ascii"))
        altered[at] ^= 1
        try:
            assert Checkpoint.parse(bytes(altered)) != made
        except SealError as error:
            assert "no checkpoint" in str(error)  # noqa: PT017 - either will do


def rename(sealed: Sealed, *moves: tuple[str, str]) -> None:
    for old, new in moves:
        (sealed.root / old).rename(sealed.root / new)


def drop_last_seal(sealed: Sealed) -> None:
    shutil.rmtree(sealed.root / "seals/000003")
    for path in sealed.root.glob("items/documents/2-*"):
        path.unlink()


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda s: (s.root / "items/documents/0-1.json").unlink(), ["item documents/0-1.json: it is missing"]),
        (lambda s: os.truncate(s.root / "items/documents/0-1.json", 3), ["item documents/0-1.json: it was altered"]),
        (lambda s: (s.root / "items/documents/x.json").write_text("new"), ["not sealed documents/x.json"]),
        (lambda s: shutil.rmtree(s.root / "seals/000002"), ["seal 000002: it is missing"]),
        (lambda s: (s.root / "seals/000002/checkpoint.tsr").unlink(), ["token of seal 000002: it is missing"]),
        (lambda s: os.truncate(s.root / "seals/000002/manifest", 70), ["manifest of seal 000002"]),
        (drop_last_seal, ["seal 000003: it is missing, but run 2 has kept"]),
        (
            lambda s: rename(
                s, ("seals/000002", "seals/x"), ("seals/000001", "seals/000002"), ("seals/x", "seals/000001")
            ),
            ["checkpoint of seal 000001: it is another one than run 0"],
        ),
    ],
    ids=["item gone", "item cut", "item added", "seal gone", "token gone", "manifest cut", "rolled back", "reordered"],
)
def test_damage_is_named(sealed: Sealed, damage: Callable[[Sealed], None], expected: list[str]) -> None:
    for folder in sealed.root.glob("seals/*"):
        folder.chmod(0o700)
        for path in folder.iterdir():
            path.chmod(0o600)
    for path in sealed.root.glob("items/documents/*"):
        path.chmod(0o600)
    damage(sealed)
    found = [str(problem) for problem in sealed.problems()]
    for text, start in zip(found, expected, strict=True):
        assert text.startswith(start), found


def test_whoever_has_root_and_a_key_of_his_own_is_found(sealed: Sealed, tmp_path: Path) -> None:
    """The whole store made anew, well-formed, with other content and another key."""
    (tmp_path / "forger").mkdir()
    forged = EvidenceStore(
        here(),
        "store1",
        str(tmp_path / "forged"),
        make_keys(tmp_path / "forger"),
        tmp_path / "state",
        {"": DAY},
    )
    for number in range(3):
        forged.seal(forged.sound_log(), [of_bytes(f"documents/{number}.json", b"forged")])
    other = Sealed(EvidenceStore(here(), "store1", forged.root, sealed.store.keys, forged.state, {}), sealed.known)  # type: ignore[arg-type]
    assert str(other.problems()[0]).startswith("checkpoint of seal 000001: it is another one than run 0 has kept")
    assert {problem.kind for problem in other.problems(known=False)} >= {"signature", "token"}


def test_history_that_the_right_key_rewrote_is_found(sealed: Sealed, keys: Keys, tmp_path: Path) -> None:
    """With the signing key and the authority, too: the run records still know better."""
    again = EvidenceStore(here(), "store1", str(tmp_path / "again"), keys, tmp_path / "state", {"": DAY})
    for number in range(3):
        again.seal(again.sound_log(), [of_bytes(f"documents/{number}.json", b"rewritten")])
    other = Sealed(again, sealed.known)
    assert "another one than run 0 has kept" in str(other.problems()[0])
    assert other.problems(known=False) == []


@pytest.mark.parametrize("flowing", [True, False], ids=["through a pipe", "by batches"])
def test_contents_come_to_the_store_whole(keys: Keys, tmp_path: Path, flowing: bool) -> None:
    """More than one batch of it, some small, some in pieces, one empty; and back."""
    store = EvidenceStore(here(flowing=flowing), "store1", str(tmp_path / "store"), keys, tmp_path / "state", {"": DAY})
    contents = {f"files/{number}": os.urandom(number * 1_500_000) for number in range(6)}
    store.seal(store.sound_log(), [of_bytes(path, content) for path, content in contents.items()])
    assert {path: store.content(path) for path in contents} == contents


@pytest.mark.parametrize("flowing", [True, False], ids=["through a pipe", "by batches"])
def test_a_store_that_can_take_no_more_says_why(sealed: Sealed, flowing: bool) -> None:
    """As on a full disk: no file may become as large as what is sent."""
    sealed.store.remote = here(flowing=flowing, shell="ulimit -f 2048; trap '' XFSZ; {}")
    with pytest.raises(EvidenceError, match=r"store1: .*File too large"):
        sealed.store.seal(sealed.store.sound_log(), [of_bytes("documents/large", bytes(1 << 24))])


def test_names_that_stand_twice_come_twice_by_batches(sealed: Sealed) -> None:
    """Each ends a batch: what is asked for next is counted, not looked up by its name."""
    content = os.urandom(9 << 20)
    (sealed.root / "items/large").write_bytes(content)
    found = list(here(flowing=False).fetch("store1", "send_items", ["large"] * 3, sealed.store.root))
    assert b"".join(piece for _path, _offset, piece in found) == content * 3


def test_a_host_that_takes_nothing_says_why(sealed: Sealed) -> None:
    """More names than a pipe holds, for an ssh that does not come to the host."""
    remote = here(shell="echo no route to the host >&2; exit 255; {}")
    with pytest.raises(EvidenceError, match="store1 does not answer: no route to the host"):
        list(remote.fetch("store1", "send_items", ["documents/0-0.json"] * 100_000, sealed.store.root))


def test_a_host_that_is_lost_on_the_way_is_told_from_an_empty_one(sealed: Sealed) -> None:
    """A transfer without its end is none."""
    remote = here(shell="{} | head -c 60")
    with pytest.raises(EvidenceError, match="cut off"):
        list(remote.fetch("store1", "send_items", ["documents/0-0.json"], sealed.store.root))


def test_what_is_not_sealed_yet_never_shows(sealed: Sealed) -> None:
    """A time stamping authority that does not answer: nothing of it stays but what the next seal forgets."""
    store = sealed.store
    store.keys = Keys(**{**vars(store.keys), "tsa_url": "http://127.0.0.1:9/"})
    with pytest.raises(SealingError, match="does not answer"):
        store.seal(store.sound_log(), [of_bytes("documents/new.json", b"new")])
    assert sealed.problems() == []
    assert store.ask("discard") == {"discarded": 1}
    with pytest.raises(EvidenceError, match="somebody else has sealed meanwhile"):
        store.ask("commit", number=3, files={"manifest": ""})
    with pytest.raises(EvidenceError, match="leads out of"):
        store.content("../seals/000001/manifest")
    with pytest.raises(EvidenceError, match="is never deleted"):
        store.ask("remove", paths=["custody/000001.json"])


def test_an_authority_is_asked_at_its_address(keys: Keys, sealed: Sealed, tmp_path: Path) -> None:
    """A real answer over HTTP: whoever has only the address and the certificates seals and verifies as well."""

    class Authority(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = tmp_path / "query"
            query.write_bytes(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(keys._made(tmp_path, query))

        def log_message(self, *_words: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Authority) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/"
        own = {**vars(keys), "tsa_url": address, "tsa_certificate": "", "tsa_key": ""}
        sealed.store.keys = Keys(**own)
        assert sealed.store.keys.problems() == []
        sealed.store.seal(sealed.store.sound_log(), [of_bytes("documents/asked", b"asked")])
        server.shutdown()
    assert sealed.problems() == []


def test_holds_and_retention(sealed: Sealed) -> None:
    store = sealed.store
    log = store.sound_log()
    with pytest.raises(EvidenceError, match=r"documents/0-0.json: kept until \d{4}"):
        evidence_records.due(store, log, ["documents/0-0.json"])
    assert evidence_records.due(store, log, []).leaves == []
    # The promise at the time of the seal counts, whatever is promised now.
    store.keep = {"": 0}
    assert evidence_records.due(store, log, []).leaves == []

    store.keep = {"": 0, "temporary": 0}
    store.seal(log, [of_bytes(f"temporary/{number}", b"%d" % number) for number in range(3)])
    log = store.log()
    with pytest.raises(EvidenceError, match="at least three words"):
        evidence_records.hold(log, "case-1", ["temporary/1"], evidence_records.Why("no"))
    store.seal(log, [evidence_records.hold(log, "case-1", ["temporary/1"], WHY)])
    log = store.log()
    assert [log.items[leaf].path for leaf in evidence_records.due(store, log, []).leaves] == [
        "temporary/0",
        "temporary/2",
    ]
    with pytest.raises(EvidenceError, match="under the legal hold case-1"):
        evidence_records.due(store, log, ["temporary/*"])

    leaves = evidence_records.due(store, log, []).leaves
    store.seal(log, [evidence_records.deletion(store, log, leaves, WHY)])
    store.ask("remove", paths=["temporary/0", "temporary/2"])
    assert sealed.problems() == []
    log = store.log()
    assert set(log.deleted()) == {"temporary/0", "temporary/2"}
    # A hold whose record is taken away does not end it unnoticed.
    (store_hold,) = sealed.root.glob("items/holds/*")
    store_hold.unlink()
    assert [problem.kind for problem in sealed.problems()] == ["item"]


def test_the_chain_of_custody_and_a_package(sealed: Sealed, tmp_path: Path) -> None:
    store = sealed.store
    log = store.sound_log()
    items = evidence_records.chosen(log, ["documents/0-*", "documents/2-1.json"])
    assert len(items) == 6
    for _time in range(2):
        log = store.sound_log()
        store.seal(log, [evidence_records.custody(log, "exported", items, WHY)])
    log = store.sound_log()
    record = log.items[log.index["custody/000002.json"]]
    assert log.control["custody/000002.json"]["previous"] == log.items[log.index["custody/000001.json"]].sha256
    folder = tmp_path / "package"
    evidence_package.write(store, log, [*items, record], folder)
    good = verify_package(folder)
    assert good.returncode == 0, good.stdout + good.stderr
    assert "All 7 items are as they were sealed." in good.stdout
    for path, said in (
        ("items/documents/0-1.json", "items/documents/0-1.json is not what was sealed"),
        ("proofs/000002", "proofs/000002 does not lead"),
        ("seals/000001/checkpoint.sig", "seals/000001/checkpoint.sig is no signature"),
        ("seals/000001/checkpoint.tsr", "seals/000001/checkpoint.tsr is no time stamp"),
        ("seals/000003/checkpoint", "seals/000003/checkpoint.sig is no signature"),
    ):
        original = (folder / path).read_bytes()
        flip(folder / path)
        bad = verify_package(folder)
        assert bad.returncode == 1, path
        assert said in bad.stdout
        (folder / path).write_bytes(original)
    # What was exported and is not there, with all that spoke of it.
    less = tmp_path / "less"
    shutil.copytree(folder, less)
    lines = (less / "SHA256SUMS").read_text(encoding="ascii").splitlines(keepends=True)
    (less / "SHA256SUMS").write_text("".join([lines[0], *lines[2:]]), encoding="ascii")
    (less / "items" / lines[1].split()[1]).unlink()
    for number in range(2, len(lines)):
        (less / f"proofs/{number + 1:06}").rename(less / f"proofs/{number:06}")
    bad = verify_package(less)
    assert (bad.returncode, f"items/{lines[1].split()[1]} was exported, and is withheld" in bad.stdout) == (1, True)
    (less / "SHA256SUMS").write_text("".join([lines[0], *lines[2:-1]]), encoding="ascii")
    assert "SHA256SUMS does not end with the record of the export" in verify_package(less).stdout
    # What was never exported, and stands among what was.
    (folder / "items/documents/planted").touch()
    bad = verify_package(folder)
    assert (bad.returncode, "items/documents/planted is no item" in bad.stdout) == (1, True)
    (folder / "items/documents/planted").unlink()
    # A line for an item that was never sealed.
    with (folder / "SHA256SUMS").open("a", encoding="ascii") as sums:
        sums.write("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  documents/empty\n")
    (folder / "items/documents/empty").touch()
    assert verify_package(folder).returncode == 1


def test_a_chain_of_custody_that_leaves_out_a_record(sealed: Sealed) -> None:
    """Whoever has the keys seals a record that does not name the one before: an export that nobody is to learn of."""
    store = sealed.store
    store.seal(store.sound_log(), [evidence_records.custody(store.log(), "exported", [], WHY)])
    log = store.sound_log()
    whole = b"".join(evidence_records.custody(log, "exported", [], WHY).pieces())
    strange = json.loads(whole) | {"previous": "0" * 64}
    store.seal(log, [of_bytes("custody/000002.json", json.dumps(strange).encode("ascii"))])
    assert [str(problem) for problem in sealed.problems()] == [
        "custody custody/000002.json: it does not continue the record before"
    ]


def verify_package(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", str(folder / "verify.sh")], capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin"}
    )


def record(ledger: Ledger, procedure: str, run: str, **more: Any) -> None:
    start = {"run_id": run, "procedure": procedure, "started": "2026-01-02T03:04:05Z", "process": {}}
    ledger.append("started", run, start)
    ledger.append("finished", run, {**start, "outcome": "succeeded", **more})


def test_ledger_and_store_watch_each_other(sealed: Sealed) -> None:
    store = sealed.store
    ledger = Ledger(store.state / "ledger")
    for number in range(3):
        record(ledger, "maintenance/x", f"run{number}", checkpoints=[sealed.known[number].checkpoint.text])
    assert [point.checkpoint for point in remembered(store.state)] == [point.checkpoint for point in sealed.known]

    log = store.sound_log()
    new = new_entries(store.state, log.items)
    assert new
    assert new.due
    store.seal(log, [of_bytes(new.piece.path, new.content)])
    log = store.sound_log()
    assert new_entries(store.state, log.items) is None
    assert check_ledger(store.state, log.items) == []
    record(ledger, "backup_recovery/evidence_protection", "own")
    own = new_entries(store.state, log.items)
    assert own
    assert (own.piece.first, own.piece.last, own.due) == (7, 8, False)

    lines = ledger.path.read_bytes().splitlines(keepends=True)
    ledger.path.write_bytes(b"".join(lines[:4]))
    assert "ledger entry 5: the store has it" in str(check_ledger(store.state, log.items)[0])
    edited = lines[2].replace(b"maintenance/x", b"maintenance/y")
    ledger.path.write_bytes(b"".join([*lines[:2], edited, *lines[3:]]))
    assert [problem.name for problem in check_ledger(store.state, log.items)] == ["3"]
    assert damaged_entry(new.content) == 0
    assert damaged_entry(b"".join([*lines[:2], edited, *lines[3:6]])) == 3
    assert damaged_entry(b"".join([*lines[:2], *lines[3:6]])) == 3
    shutil.rmtree(ledger.directory)
    assert "no such ledger any more" in str(check_ledger(store.state, log.items)[0])


def test_a_lost_store_begins_anew_only_when_told(sealed: Sealed, tmp_path: Path) -> None:
    store = sealed.store
    ledger = Ledger(store.state / "ledger")
    record(ledger, "x", "run", checkpoints=[point.checkpoint.text for point in sealed.known])
    store.root = str(tmp_path / "empty")
    with pytest.raises(EvidenceError, match="the store was rolled back"):
        store.sound_log()
    store.anew = "the store burnt down"
    first = store.seal(store.sound_log(), [of_bytes("documents/1", b"1")])
    # The same run asks again, or the next one after it was killed: it is in no record yet.
    assert store.sound_log().checkpoints == [first]
    assert store.begun_anew(store.sound_log()) == first
    store.anew = ""
    with pytest.raises(EvidenceError, match="the history was written anew"):
        store.sound_log()
    record(ledger, "x", "later", checkpoints=[first.text])
    assert [point.checkpoint for point in remembered(store.state)] == [first]
    assert store.sound_log().checkpoints == [first]
    # Said once more, it makes nobody forget what was sealed since.
    store.anew = "the store burnt down"
    second = store.seal(store.sound_log(), [of_bytes("documents/2", b"2")])
    record(ledger, "x", "latest", checkpoints=[second.text])
    assert store.begun_anew(store.sound_log()) is None
    shutil.rmtree(Path(store.root, "seals/000002"))
    with pytest.raises(EvidenceError, match="the store was rolled back"):
        store.sound_log()


def test_paths_need_no_quoting() -> None:
    assert safe_path("documents", "a b/../.c\n*.json") == "documents/a%20b/%2E./%2Ec%0A%2A.json"
    assert safe_path("reports", "x/2026-01-01T00:00Z.html") == "reports/x/2026-01-01T00%3A00Z.html"


def test_an_empty_store_has_nothing_to_say(keys: Keys, tmp_path: Path) -> None:
    store = EvidenceStore(here(), "store1", str(tmp_path / "none"), keys, tmp_path, {"": DAY})
    log: Log = store.sound_log()
    assert (log.items, log.problems, log.last) == ([], [], None)
    assert keys.problems() == []
    assert "which is no file" in Keys().problems()[0]
    other = Keys(**{**vars(keys), "allowed_signers": str(tmp_path / "signers")})
    (tmp_path / "signers").write_text("nobody@example.org ssh-ed25519 AAAA\n")
    assert "is not among evidence_store_allowed_signers" in other.problems()[0]
    assert json.dumps(store.ask("hash")) == '{"hashes": {}, "failures": {}}'
