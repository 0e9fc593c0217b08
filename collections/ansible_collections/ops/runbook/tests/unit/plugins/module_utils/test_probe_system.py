from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.ops.runbook.plugins.module_utils import probe
from ansible_collections.ops.runbook.plugins.module_utils import probe_system as system
from ansible_collections.ops.runbook.plugins.plugin_utils.checks_resolve import resolve


def look(spec: dict[str, Any]) -> probe.Result:
    check = resolve("x", spec)
    return probe.CHECKS[check["type"]](check["options"])


def faults(spec: dict[str, Any]) -> list[str]:
    return [text for _unused, text in look(spec).faults]


def test_disk_agrees_with_df() -> None:
    shown = subprocess.run(["df", "--output=pcent", "/"], capture_output=True, text=True, check=True).stdout
    assert abs(look({"disk": "/"}).values["used_percent"] - int(shown.split()[1].rstrip("%"))) <= 1


def test_disk_of_a_path_that_is_no_mount_point(tmp_path: Path) -> None:
    assert faults({"disk": str(tmp_path)}) == []
    assert faults({"disk": str(tmp_path), "mount": True}) == [f"nothing is mounted at {tmp_path}"]
    with pytest.raises(probe.UnobservableError, match="No such file"):
        look({"disk": str(tmp_path / "absent")})


def test_disk_that_is_read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    values = (4096, 4096, 100, 50, 40, 100, 50, 50, os.ST_RDONLY, 255)
    monkeypatch.setattr(os, "statvfs", lambda _path: os.statvfs_result(values))
    assert faults({"disk": "/"}) == ["/ is mounted read-only"]
    assert faults({"disk": "/", "writable": False}) == []


def test_inodes_agree_with_df() -> None:
    shown = subprocess.run(["df", "--output=ipcent", "/"], capture_output=True, text=True, check=True).stdout
    text = shown.split()[1].rstrip("%")
    assert text == "-" or abs(look({"inodes": "/"}).values["used_percent"] - int(text)) <= 1


def test_the_machine_is_measured() -> None:
    for spec in ({"memory": True}, {"swap": True}, {"load": 1}, {"zombies": True}):
        result = look(spec)
        assert result.title
        assert result.faults == []
    assert 0 < look({"memory": True}).values["used_percent"] < 100


def test_pressure_of_several_resources_is_the_worst_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "exists", lambda _path: True)
    monkeypatch.setattr(system, "read", lambda path: f"some avg10={len(path)}.00 avg60=0 avg300=0 total=1\n")
    result = look({"pressure": ["cpu", "memory"]})
    assert result.values == {"stalled_percent": len("/proc/pressure/memory")}
    assert result.title.startswith("work waited for memory 21 %")


def test_a_kernel_without_pressure_is_unobservable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "exists", lambda _path: False)
    with pytest.raises(probe.UnobservableError, match="reports no pressure"):
        look({"pressure": "cpu"})


def test_processes_are_counted_by_name_and_by_command_line() -> None:
    marker = f"marker-{os.getpid()}"
    process = subprocess.Popen([sys.executable, "-c", f"import time; time.sleep(30)  # {marker}"])
    try:
        assert look({"process": marker, "match": "command"}).metrics["processes"] == 1
        (fault,) = faults({"process": marker, "match": "command", "min": 2})
        assert fault.endswith("fewer than 2")
        assert faults({"process": marker, "match": "command", "max": 0})[0].endswith("more than 0")
    finally:
        process.kill()
        process.wait()
    assert faults({"process": "no-such-program"}) == ["0 no-such-program processes, fewer than 1"]


def test_a_zombie_is_seen_with_its_parent() -> None:
    process = subprocess.Popen(["true"])
    try:
        time.sleep(0.2)
        result = look({"zombies": True})
        assert result.values["zombies"] >= 1
        assert f"true ({process.pid}) of " in result.detail
    finally:
        process.wait()


def test_the_newest_file_of_a_pattern_counts(tmp_path: Path) -> None:
    for name, age in (("old", 5000), ("new", 50)):
        (tmp_path / name).write_text(name * 100, encoding="ascii")
        os.utime(tmp_path / name, (time.time() - age, time.time() - age))
    result = look({"file": f"{tmp_path}/*", "warning": "1h"})
    assert 50 <= result.values["age"] < 60
    assert result.metrics["files"] == 2
    assert faults({"file": f"{tmp_path}/*", "min_size": "1KiB"}) == [f"{tmp_path}/new has 300 B, less than 1.0 KiB"]
    assert faults({"file": f"{tmp_path}/*", "max_size": "10B"}) == [f"{tmp_path}/new has 300 B, more than 10 B"]


def test_a_file_that_is_absent_or_should_be(tmp_path: Path) -> None:
    path = tmp_path / "flag"
    assert faults({"file": str(path)}) == [f"{path} does not exist"]
    assert faults({"file": str(path), "exists": False}) == []
    path.touch()
    assert faults({"file": str(path), "exists": False}) == [f"{path} exists"]


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of programs that come before the machine's own."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(probe, "NOBODY", os.geteuid())  # the folder of this test is closed to nobody
    return tmp_path


def install(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)


#: What chronyd 4.3 says: as long as a server answers, after it has gone, and of a host that trusts its own clock.
FOLLOWS = "^,*,192.0.2.1,8,0,377,1,0.000000548,0.000000978,0.000005450"
LOST = "^,?,192.0.2.1,8,0,0,13,0.000000548,0.000000978,0.000005450"
CHRONY = "C0A80001,ntp.example.org,2,{set},{offset},0.00000043,0,0.014,0.013,3.658,0.000010768,0.000065273,64,{leap}"
LOCAL = "7F7F0101,,8,1795783449.6,0.0,0.0,0.0,0.000,0.000,0.000,0.0,0.0,0.0,Normal"


def chronyc(folder: Path, *sources: str, offset: str = "0", leap: str = "Normal", tracking: str = CHRONY) -> None:
    said = tracking.format(set=time.time() - 7200, offset=offset, leap=leap)
    install(folder, "chronyc", "cat <<'END'\n" + "\n".join([said, *sources]) + "\nEND")


def test_a_clock_that_chrony_keeps(programs: Path) -> None:
    chronyc(programs, FOLLOWS, LOST, offset="-0.025")
    result = look({"clock": True, "source": "chrony"})
    assert (result.faults, result.values) == ([], {"offset": 0.025})
    assert "asked: chronyc tracking, sources; source ntp.example.org, stratum 2" in result.detail


def test_a_clock_that_chrony_cannot_keep(programs: Path) -> None:
    chronyc(programs, LOST, leap="Not synchronised")
    assert faults({"clock": True, "source": "chrony"}) == ["the clock is not synchronised"]
    install(programs, "chronyc", "echo '506 Cannot talk to daemon'; exit 1")
    assert faults({"clock": True, "source": "chrony"}) == ["chronyd does not answer: 506 Cannot talk to daemon"]


def test_a_clock_that_nothing_sets_any_more(programs: Path) -> None:
    alone = "the clock follows no time source, and was last set 2 h ago: of "
    spec = {"clock": True, "source": "chrony"}
    chronyc(programs, LOST, LOST, offset="0.05")
    result = look(spec)
    assert result.faults == [("warning", f"{alone}2 sources, 0 answer")]
    assert result.values == {"offset": 0.05}
    chronyc(programs, FOLLOWS.replace("*", "x"), LOST)
    assert faults(spec) == [f"{alone}2 sources, 1 answer"]
    chronyc(programs)
    assert faults(spec) == [f"{alone}0 sources, 0 answer"]


def test_a_clock_that_others_follow_needs_no_source(programs: Path) -> None:
    spec = {"clock": True, "source": "chrony"}
    chronyc(programs, tracking=LOCAL)
    assert faults(spec) == []
    chronyc(programs, LOST, tracking=LOCAL)
    assert len(faults(spec)) == 1, "it has a server, which does not answer"


def test_a_clock_that_systemd_knows(programs: Path) -> None:
    install(programs, "timedatectl", "echo NTP=yes; echo NTPSynchronized=yes")
    assert faults({"clock": True, "source": "systemd"}) == []
    install(programs, "timedatectl", "echo NTP=no; echo NTPSynchronized=no")
    assert faults({"clock": True, "source": "systemd"}) == ["the clock is not synchronised: no time service is on"]
