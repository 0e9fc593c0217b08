"""A lab whose start was killed, or whose record is damaged: the next start makes a whole one of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.lab import hosts
from tests.lab.podman import podman
from tests.lab.state import ROOT, Lab

HOSTS = ("h1", "h2", "h3")
COMMAND = (sys.executable, "-m", "tests.lab")


@pytest.fixture
def lab() -> Iterator[Lab]:
    yield Lab("killed")
    subprocess.run([*COMMAND, "down", "--name", "killed"], cwd=ROOT, check=True)
    assert hosts.containers(Lab("killed")) == {}
    assert not Lab("killed").folder.exists()


def up() -> subprocess.Popen[str]:
    words = [*COMMAND, "up", "--name", "killed", "--from", "bare", *HOSTS]
    return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True)


def assert_comes_up(lab: Lab, new: int) -> None:
    output, _nothing = up().communicate()
    assert f"3 hosts up, {new} of them new" in output
    state = lab.read()
    assert state
    assert {host: hosts.answers(lab, host, state.hosts[host].port) for host in HOSTS} == dict.fromkeys(HOSTS, True)


def test_a_lab_that_was_killed_half_built_or_lost_its_record_comes_up(lab: Lab) -> None:
    half = up()
    while not hosts.containers(lab):
        assert half.poll() is None, "it was there before it could be killed"
        time.sleep(0.05)
    os.killpg(half.pid, signal.SIGKILL)
    half.communicate()
    assert lab.read() is None
    assert_comes_up(lab, new=3)

    (lab.folder / "lab.json").write_text('{"schema": 1, "hosts"', encoding="utf-8")
    assert_comes_up(lab, new=3)

    podman("stop", "--time", "0", lab.container("h2"))
    assert_comes_up(lab, new=1)
