"""Which processes run replaced files, and what they belong to."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible_collections.ops.runbook.plugins.module_utils import stale

MAPS = """\
55d0c0000000-55d0c0100000 r-xp 00000000 00:2e 123 /usr/sbin/nginx (deleted)
7f0000000000-7f0000100000 r-xp 00001000 00:2e 124 /usr/lib/x86_64-linux-gnu/libssl.so.3 (deleted)
7f0000200000-7f0000300000 r--p 00000000 00:2e 125 /usr/lib/x86_64-linux-gnu/libz.so.1
7f0000400000-7f0000500000 rw-s 00000000 00:01 126 /dev/zero (deleted)
7f0000600000-7f0000700000 r-xp 00000000 00:01 127 /memfd:code (deleted)
7f0000800000-7f0000900000 rw-p 00000000 00:2e 128 /var/lib/x/data (deleted)
7f0000a00000-7f0000b00000 r-xp 00000000 00:00 0 [vdso]
"""


def test_only_programs_and_libraries_count() -> None:
    process = stale.Process(7, 1, "nginx.service", stale.code_files(MAPS))
    assert process.deleted == ["/usr/lib/x86_64-linux-gnu/libssl.so.3", "/usr/sbin/nginx"]
    assert "/usr/lib/x86_64-linux-gnu/libz.so.1" in process.files


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("0::/system.slice/nginx.service\n", "nginx.service"),
        ("5:memory:/\n1:name=systemd:/system.slice/system-postgresql.slice/postgresql@15-main.service\n0::/\n", None),
        ("0::/machine.slice/libpod-1234.scope/system.slice/ssh.service\n", "ssh.service"),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/x.service\n", "user@1000.service"),
        ("0::/init.scope\n", "init.scope"),
        ("0::/\n", ""),
    ],
)
def test_unit_of_a_process(text: str, unit: str | None) -> None:
    assert stale.unit_of(text) == ("postgresql@15-main.service" if unit is None else unit)


def test_longest_pattern_decides() -> None:
    methods = {"*": "restart", "nginx*": "upgrade", "nginx-debug.service": "never"}
    assert stale.method_for("nginx.service", methods) == "upgrade"
    assert stale.method_for("nginx-debug.service", methods) == "never"
    assert stale.method_for("chrony.service", methods) == "restart"
    assert stale.method_for("chrony.service", {}) == "restart"


def test_a_process_whose_program_is_replaced_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stale, "_NO_CODE", re.compile("/dev/"))  # temporary files are no programs otherwise
    program = tmp_path / "sleeper"
    program.write_bytes(Path("/bin/sleep").read_bytes())
    program.chmod(0o755)
    with subprocess.Popen([program, "60"]) as process:
        program.unlink()
        deadline = time.monotonic() + 10
        while str(program) not in (found := stale.processes()[process.pid].deleted) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.kill()
    assert found == [str(program)]


def test_descendants_of_the_main_process_belong_to_it() -> None:
    table = {
        10: stale.Process(10, 1, "ssh.service", set()),
        11: stale.Process(11, 10, "ssh.service", set()),
        12: stale.Process(12, 1, "ssh.service", set()),
    }
    assert stale._below(table[11], 10, table)
    assert not stale._below(table[12], 10, table)


@pytest.mark.parametrize(
    ("changes", "dead"),
    [
        ({}, False),
        ({"ActiveState": "inactive", "SubState": "dead"}, True),
        ({"ActiveState": "failed", "SubState": "failed"}, True),
        ({"ActiveState": "activating", "SubState": "auto-restart"}, True),
        ({"ActiveState": "activating", "SubState": "start"}, False),
        ({"ActiveState": "inactive", "LoadState": "not-found"}, False),
        ({"ActiveState": "inactive", "UnitFileState": "static"}, False),
        (
            {
                "ActiveState": "inactive",
                "UnitFileState": "static",
                "FragmentPath": "/usr/lib/systemd/system/agent.service",
            },
            True,
        ),
    ],
)
def test_a_service_that_ran_and_does_not_now(
    changes: dict[str, str], dead: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = {"LoadState": "loaded", "ActiveState": "active", "SubState": "running", "UnitFileState": "enabled"}
    monkeypatch.setattr(stale, "package_files", lambda _packages: {"/lib/systemd/system/agent.service"})
    monkeypatch.setattr(stale, "show_units", lambda units, *_names: {unit: {**shown, **changes} for unit in units})
    assert stale.dead_services(["agent.service"], ["agent"]) == (["agent.service"] if dead else [])


def test_it_is_a_program_by_itself() -> None:
    """An inspection sends it through a pipe."""
    source = Path(stale.__file__).read_text(encoding="utf-8")
    subprocess.run([sys.executable, "-ISB", "-"], input=source, text=True, check=True)
