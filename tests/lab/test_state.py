from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.lab import state
from tests.lab.state import Host, Lab, State, locked, write_atomically


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setattr(state, "LABS", tmp_path)
    return Lab("demo")


STATE = State("demo", "bookworm", "golden", {"app1": Host(2201, "sha"), "db1": Host(2202, "sha")})


def test_state_is_read_as_written(lab: Lab) -> None:
    lab.write(STATE)
    assert lab.read() == STATE
    assert [path.name for path in lab.folder.iterdir()] == ["lab.json"]


def test_no_state_is_no_lab(lab: Lab) -> None:
    assert lab.read() is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"schema": 1}',
        STATE.to_json()[:-20],
        STATE.to_json().replace('"schema": 1', '"schema": 2'),
        STATE.to_json().replace("port", "door"),
    ],
)
def test_damaged_state_is_no_lab(lab: Lab, text: str) -> None:
    write_atomically(lab.folder / "lab.json", text)
    assert lab.read() is None


@pytest.mark.parametrize("name", ["", "../etc", "a/b", "-x", "Demo", "a" * 50])
def test_names_that_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no lab name"):
        Lab(name)


def test_write_atomically_sets_the_mode_and_leaves_no_draft(tmp_path: Path) -> None:
    write_atomically(tmp_path / "new" / "secret", "a", mode=0o600)
    write_atomically(tmp_path / "new" / "secret", "b", mode=0o600)
    assert (tmp_path / "new" / "secret").read_text() == "b"
    assert (tmp_path / "new" / "secret").stat().st_mode & 0o777 == 0o600
    assert len(list((tmp_path / "new").iterdir())) == 1


def test_client_key_is_made_once_and_again_when_half_is_lost(lab: Lab) -> None:
    first = lab.public_key()
    assert first.startswith("ssh-ed25519 ")
    assert lab.public_key() == first
    assert lab.key.stat().st_mode & 0o777 == 0o600
    lab.key.unlink()
    assert lab.public_key() != first


def test_lock_keeps_others_out_until_its_process_is_gone(lab: Lab, tmp_path: Path) -> None:
    program = (
        "import pathlib, sys, time; from tests.lab import state; state.LABS = pathlib.Path(sys.argv[1])\n"
        "with state.locked('x'): print('locked', flush=True); time.sleep(60)"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=state.ROOT
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "locked\n"
    started = time.monotonic()
    killer = subprocess.Popen(["sh", "-c", f"sleep 0.5; kill -9 {other.pid}"])
    with locked("x"):
        assert time.monotonic() - started > 0.4
    assert (killer.wait(), other.wait()) == (0, -9)
    other.stdout.close()


def test_forgotten_lab_leaves_nothing(lab: Lab) -> None:
    lab.write(STATE)
    lab.public_key()
    lab.forget()
    assert not lab.folder.exists()
    lab.forget()


def test_json_is_what_the_inventory_reads() -> None:
    assert json.loads(STATE.to_json())["hosts"]["app1"] == {"port": 2201, "image": "sha", "account": "ops"}
