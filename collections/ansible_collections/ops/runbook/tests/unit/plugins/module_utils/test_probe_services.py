"""Checks that ask programs of the system. The programs here answer as the real ones do; the lab has the real ones."""

from __future__ import annotations

import gzip
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.ops.runbook.plugins.module_utils import probe, probe_postgresql
from ansible_collections.ops.runbook.plugins.module_utils import probe_services as services
from ansible_collections.ops.runbook.plugins.plugin_utils.checks_judge import judge
from ansible_collections.ops.runbook.plugins.plugin_utils.checks_resolve import resolve
from ansible_collections.ops.runbook.tests.unit.plugins.module_utils.test_apt_archives import ARCHIVES, HIDDEN

LOADED = (services, probe_postgresql)  # importing them registers their checks


def look(spec: dict[str, Any]) -> probe.Result:
    check = resolve("x", spec)
    return probe.CHECKS[check["type"]](check["options"])


def faults(spec: dict[str, Any]) -> list[str]:
    return [text for _unused, text in look(spec).faults]


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of programs that come before the machine's own."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path


def install(folder: Path, name: str, output: str, code: int = 0) -> Path:
    """Install a program that prints this; gives the file in which it notes its arguments."""
    (folder / f"{name}.out").write_text(output, encoding="utf-8")
    path, called = folder / name, folder / f"{name}.called"
    path.write_text(f'#!/bin/sh\necho "$@" > {called}\ncat {folder}/{name}.out\nexit {code}\n', encoding="utf-8")
    path.chmod(0o755)
    return called


FAILED = """cron.service loaded failed failed Regular background program processing daemon
mnt-data.mount loaded failed failed /mnt/data
"""


def test_failed_units(programs: Path) -> None:
    install(programs, "systemctl", FAILED)
    result = look({"failed_units": True})
    assert result.title == "2 failed units: cron.service, mnt-data.mount"
    assert look({"failed_units": True, "ignore": ["mnt-*"]}).values == {"failed_units": 1}
    install(programs, "systemctl", "")
    assert look({"failed_units": True}).values == {"failed_units": 0}


UNIT = "Id={}\nLoadState={}\nActiveState={}\nSubState={}\nResult={}\nUnitFileState={}\nNRestarts=2\n"


@pytest.mark.parametrize(
    ("state", "fault"),
    [
        (("cron.service", "loaded", "active", "running", "success", "enabled"), []),
        (("cron.service", "loaded", "reloading", "reload", "success", "enabled"), []),
        (("cron.service", "loaded", "inactive", "dead", "success", "enabled"), ["cron.service is inactive (dead)"]),
        (
            ("cron.service", "loaded", "failed", "failed", "exit-code", "enabled"),
            ["cron.service is failed (failed: exit-code)"],
        ),
        (
            ("cron.service", "loaded", "activating", "auto-restart", "exit-code", "enabled"),
            ["cron.service is activating (auto-restart: exit-code)"],
        ),
        (("cron.service", "not-found", "inactive", "dead", "success", ""), ["cron.service does not exist"]),
        (("cron.service", "loaded", "active", "running", "success", "disabled"), ["cron.service is disabled"]),
    ],
)
def test_a_unit(programs: Path, state: tuple[str, ...], fault: list[str]) -> None:
    install(programs, "systemctl", UNIT.format(*state))
    assert faults({"unit": "cron", "enabled": True}) == fault


def test_several_units_are_one_finding(programs: Path) -> None:
    good = UNIT.format("a.service", "loaded", "active", "running", "success", "enabled")
    bad = UNIT.format("b.service", "loaded", "inactive", "dead", "success", "enabled")
    install(programs, "systemctl", f"{good}\n{bad}")
    result = look({"unit": ["a", "b"]})
    assert result.faults == [("critical", "b.service is inactive (dead)")]
    assert result.metrics == {"units": 2, "faulty_units": 1, "restarts": 4}


def test_a_host_without_systemd_is_unobservable(programs: Path) -> None:
    install(programs, "systemctl", "System has not been booted with systemd", code=1)
    with pytest.raises(probe.UnobservableError, match="systemctl ended with 1: System has not been booted"):
        look({"failed_units": True})


def test_oom_kills(programs: Path) -> None:
    line = "2026-01-01T00:00:00+0000 kernel: Out of memory: Killed process 42 (api) total-vm:1kB\n"
    called = install(programs, "journalctl", line * 2)
    result = look({"oom_kills": "24h"})
    assert result.title == "2 OOM kills in the last 24 h: api"
    assert "--since=@" in called.read_text(encoding="utf-8")
    assert "--dmesg" not in called.read_text(encoding="utf-8"), "that would be since the last boot only"
    look({"oom_kills": True})
    assert "--boot" in called.read_text(encoding="utf-8")
    install(programs, "journalctl", "", code=1)  # what journalctl --grep does if nothing matches
    assert look({"oom_kills": "24h"}).values == {"oom_kills": 0}


def test_journal_errors_are_counted_by_hour_without_the_ignored(programs: Path) -> None:
    lines = [f"2026-01-01T00:00:0{n}+0000 api[{n}]: broken pipe" for n in range(4)]
    lines.append("2026-01-01T00:00:09+0000 kernel: usb 1-1 gone")
    install(programs, "journalctl", "\n".join(lines))
    result = look({"journal_errors": "2h", "ignore": ["^kernel: usb"]})
    assert result.values == {"errors_per_hour": 2}
    assert result.detail == "4x api: broken pipe"


def test_errors_are_counted_to_the_last_behind_any_number_of_ignored(programs: Path) -> None:
    noise = "".join(f"2026-01-01T00:00:01+0000 api[{n}]: broken pipe\n" for n in range(6000))
    called = install(programs, "journalctl", "2026-01-01T00:00:00+0000 kernel: I/O error\n" + noise)
    result = look({"journal_errors": "1h", "ignore": ["broken pipe"]})
    assert result.metrics["errors"] == 1
    assert look({"journal_errors": "1h"}).metrics["errors"] == 6001
    assert "--lines" not in called.read_text(encoding="utf-8"), "journalctl would leave out the rest"


def test_ever_different_errors_are_counted_in_bounded_memory(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services.Tally, "MOST", 3)
    install(programs, "journalctl", "".join(f"2026-01-01T00:00:01+0000 api: {n}\n" for n in range(9)))
    assert look({"journal_errors": "1h"}).metrics["errors"] == 9
    lines = (f"2026-01-01T00:00:02+0000 sshd[{n}]: Failed none for u{n} from 192.0.2.{n} port 1" for n in range(9))
    install(programs, "journalctl", "\n".join(lines))
    assert look({"failed_logins": "1h"}).metrics == {"failed_logins": 9}, "how many sources there are is not known"


# ruff: noqa: E501
AUTHENTICATION = """\
2026-01-01T00:00:01+0000 sshd[1]: Invalid user admin from 192.0.2.1 port 1
2026-01-01T00:00:02+0000 sshd[1]: Failed password for invalid user admin from 192.0.2.1 port 1 ssh2
2026-01-01T00:00:02+0000 sshd[1]: Connection closed by invalid user admin 192.0.2.1 port 1 [preauth]
2026-01-01T00:00:02+0000 sshd[7]: Connection closed by authenticating user root 192.0.2.7 port 1 [preauth]
2026-01-01T00:00:03+0000 sshd[2]: Failed password for root from 192.0.2.2 port 1 ssh2
2026-01-01T00:00:04+0000 sshd[3]: Accepted publickey for ops from 192.0.2.3 port 1 ssh2
2026-01-01T00:00:05+0000 sudo[4]:     eve : 3 incorrect password attempts ; TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/ls
2026-01-01T00:00:06+0000 sudo[5]:      ops : PWD=/home/ops ; USER=root ; COMMAND=/bin/sh -c 'echo BECOME-SUCCESS-abc ; python3'
2026-01-01T00:00:07+0000 sudo[6]:     eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/cat /etc/shadow
2026-01-01T00:00:08+0000 sudo[6]: pam_unix(sudo:session): session opened for user root(uid=0) by eve(uid=1000)
"""


def test_failed_logins(programs: Path) -> None:
    install(programs, "journalctl", AUTHENTICATION)
    result = look({"failed_logins": "24h"})
    assert result.metrics == {"failed_logins": 6, "failed_login_sources": 4}
    assert result.detail.splitlines() == [
        "from: sudo (3), 192.0.2.1 (1), 192.0.2.2 (1), 192.0.2.7 (1)",
        "as: eve (3), root (2), admin (1)",
    ]


def refused(number: int, moment: str = "2026-01-01T00:00:01+0000") -> str:
    return f"{moment} sshd[{number}]: Failed password for root from 192.0.2.{number % 9} port 22 ssh2\n"


def test_refused_logins_are_counted_to_the_last(programs: Path) -> None:
    """Of a log that is longer than what is kept of a program's output."""
    install(programs, "journalctl", "".join(refused(number) for number in range(20000)))
    result = look({"failed_logins": "24h"})
    assert result.metrics == {"failed_logins": 20000, "failed_login_sources": 9}
    sudo = "2026-01-01T00:00:07+0000 sudo[6]:     eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/cat /{}\n"
    install(programs, "journalctl", "".join(sudo.format(number) for number in range(20000)))
    result = look({"sudo_use": "24h"})
    assert result.metrics["sudo_commands"] == 20000
    assert result.detail.splitlines()[1::10] == ["eve: /usr/bin/cat /19999", "and 19990 more"]


def test_a_connection_with_the_number_of_an_earlier_one_counts(programs: Path) -> None:
    gave_up = (
        "2026-01-01T00:00:02+0000 sshd[1]: Connection closed by authenticating user root 192.0.2.1 port 1 [preauth]\n"
    )
    install(programs, "journalctl", refused(1) + gave_up * 2)
    assert look({"failed_logins": "24h"}).values == {"failed_logins": 2}


@pytest.fixture
def log(programs: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The log of a host on which the journal cannot be read."""
    (programs / "journalctl").write_text(
        "#!/bin/sh\necho 'No journal files were found.' >&2\nexit 1\n", encoding="ascii"
    )
    (programs / "journalctl").chmod(0o755)
    path = programs / "auth.log"
    monkeypatch.setattr(services, "AUTHENTICATION_LOGS", (str(path),))
    return path


def ago(hours: float, form: str) -> str:
    return time.strftime(form, time.localtime(time.time() - hours * 3600))


@pytest.mark.parametrize("form", ["%b %d %H:%M:%S host", "%Y-%m-%dT%H:%M:%S.123456%z host"])
def test_without_a_journal_the_whole_log_is_counted(log: Path, form: str) -> None:
    form = form.replace("%z", "+00:00" if time.strftime("%z") == "+0000" else time.strftime("%z"))
    old = refused(1, ago(30, form)) * 9
    log.write_text(old + refused(1, ago(2, form)) * 15000 + refused(2, ago(1, form)), encoding="utf-8")
    assert log.stat().st_size > probe.OUTPUT_LIMIT
    assert look({"failed_logins": "24h"}).metrics == {"failed_logins": 15001, "failed_login_sources": 2}


def test_what_was_rotated_away_within_the_window_counts(log: Path) -> None:
    form = "%b %d %H:%M:%S host"
    log.write_text(refused(1, ago(1, form)), encoding="utf-8")
    for hours, name in ((2, "auth.log.1"), (20, "auth.log.2.gz"), (40, "auth.log.3.gz")):
        text = refused(1, ago(hours, form)).encode()
        path = log.with_name(name)
        path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
        os.utime(path, (time.time() - hours * 3600,) * 2)
    assert look({"failed_logins": "24h"}).values == {"failed_logins": 3}


def test_a_log_with_times_of_an_unknown_form_is_unobservable(log: Path) -> None:
    log.write_text(refused(1, "11/27 10:00 host"), encoding="utf-8")
    with pytest.raises(probe.UnobservableError, match=r"auth.log: '11/27 10:00 host sshd.* does not begin with a time"):
        look({"failed_logins": "24h"})


def test_a_journal_that_breaks_off_is_not_made_up_for_by_the_log(log: Path) -> None:
    """Some of its lines would count twice."""
    log.write_text(refused(1, ago(1, "%b %d %H:%M:%S host")), encoding="utf-8")
    program = log.with_name("journalctl")
    program.write_text(f"#!/bin/sh\necho '{refused(1).strip()}'\necho 'Bad message' >&2\nexit 1\n", encoding="ascii")
    with pytest.raises(probe.UnobservableError, match="journalctl ended with 1: Bad message"):
        look({"failed_logins": "24h"})


def test_a_log_that_takes_too_long_is_unobservable(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (programs / "journalctl").write_text(f"#!/bin/sh\nexec yes '{refused(1).strip()}'\n", encoding="ascii")
    (programs / "journalctl").chmod(0o755)
    limit = probe.Cancellation(0.3)
    monkeypatch.setattr(probe, "time_limit", lambda: limit)
    threading.Timer(0.3, limit.expire).start()
    with pytest.raises(probe.UnobservableError, match=r"did not answer within 0\.3 s"):
        look({"failed_logins": "24h"})


def test_nobody_hides_behind_the_mark_of_automation(programs: Path) -> None:
    line = "2026-01-01T00:00:07+0000 sudo[6]:     eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/cat {}"
    install(programs, "journalctl", line.format("/etc/shadow BECOME-SUCCESS-x"))
    assert look({"sudo_use": "24h"}).values == {"sudo_commands": 1}


def test_sudo_use_of_people_and_of_automation(programs: Path) -> None:
    install(programs, "journalctl", AUTHENTICATION)
    result = look({"sudo_use": "24h"})
    assert result.metrics == {"sudo_commands": 1, "sudo_users": 1, "automation_sudo_commands": 1}
    assert result.detail == "by: eve (1)\neve: /usr/bin/cat /etc/shadow"


def test_reboot_required(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flag = tmp_path / "reboot-required"
    monkeypatch.setattr(services, "REBOOT_FLAG", str(flag))
    assert look({"reboot_required": True}).values == {}
    flag.touch()
    Path(f"{flag}.pkgs").write_text("linux-image-amd64\nlibc6\nlibc6\n", encoding="ascii")
    os.utime(flag, (time.time() - 7200, time.time() - 7200))
    result = look({"reboot_required": True})
    assert 7200 <= result.values["waiting"] < 7300
    assert result.detail == "for libc6, linux-image-amd64"


UPGRADE = """\
Inst libssl3 [3.0.11-1] (3.0.15-1 Debian-Security:12/oldstable-security [amd64])
Inst tzdata [2024a-0] (2025b-0 Debian:12.11/oldstable, Debian:12-updates/oldstable-updates [all])
Inst libfoo (1.0 Ubuntu:24.04/noble-security [amd64]) []
Conf libssl3 (3.0.15-1 Debian-Security:12/oldstable-security [amd64])
"""


def test_a_harmless_program_cannot_write() -> None:
    expected = probe.NOBODY if os.geteuid() == 0 else os.geteuid()
    assert probe.run(["id", "-u"], harmless=True).out.strip() == str(expected)


def test_security_updates(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "NOBODY", os.geteuid())  # the folder of this test is closed to nobody
    install(programs, "apt-get", UPGRADE)
    install(programs, "apt-cache", "")
    result = look({"security_updates": True})
    assert result.values["security_updates"] == 2
    assert result.metrics["updates"] == 3
    assert result.detail.startswith("libssl3 3.0.15-1\nlibfoo 1.0\npackage lists are ")


def test_security_update_behind_a_newer_version_of_another_archive(
    programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "NOBODY", os.geteuid())
    install(programs, "apt-get", "Inst openssl [3.0.20-1~deb12u2] (3.0.22-1~deb12u2+other1  [amd64])\n")
    install(programs, "apt-cache", ARCHIVES + HIDDEN.format(priority=500))
    result = look({"security_updates": True})
    assert (result.values["security_updates"], result.metrics["updates"]) == (1, 1)
    assert result.detail.startswith("openssl 3.0.22-1~deb12u2\n")


def psql(folder: Path, output: str, code: int = 0) -> Path:
    """Install a psql, and a runuser that runs it."""
    called = install(folder, "psql", output, code)
    runuser = folder / "runuser"
    runuser.write_text('#!/bin/sh\nshift 3\nexec "$@"\n', encoding="ascii")
    runuser.chmod(0o755)
    return called


def test_a_database_that_does_not_answer(programs: Path) -> None:
    path = programs / "psql"
    psql(programs, "")
    path.write_text("#!/bin/sh\necho 'psql: error: connection refused' >&2\nexit 2\n", encoding="ascii")
    assert faults({"postgresql": True}) == ["PostgreSQL does not answer: psql: error: connection refused"]
    for kind in ("replication", "wal_archive"):
        with pytest.raises(probe.UnobservableError, match="connection refused"):
            look({kind: True})


SERVER = {
    "version": "15.14", "standby": False, "up": "86400.5", "connections": 12, "most": 97, "oldest": 0, "who": None,
    "age": "1000000", "bytes": 31000000,
}  # fmt: skip


def server(folder: Path, **values: Any) -> None:
    psql(folder, json.dumps({**SERVER, "directory": str(folder), **values}))


def test_a_local_database_knows_the_space_that_is_left_to_it(programs: Path) -> None:
    server(programs)
    room = os.statvfs(programs)
    assert look({"postgresql": True}).metrics["free_bytes"] == pytest.approx(room.f_bavail * room.f_frsize, rel=0.01)
    assert "free_bytes" not in look({"postgresql": "host=db.example.org"}).metrics
    server(programs, directory=None)
    assert "free_bytes" not in look({"postgresql": True}).metrics


@pytest.mark.parametrize(
    ("values", "status", "text"),
    [
        ({}, "ok", "PostgreSQL 15.14 (primary) answers, 12 connections"),
        ({"connections": 77}, "ok", "PostgreSQL 15.14 (primary) answers, 77 connections"),
        ({"connections": 78}, "warning", "connections in use: 80.4 % (warning from 80 %)"),
        ({"connections": 93}, "critical", "connections in use: 95.9 % (critical from 95 %)"),
        ({"oldest": 899}, "ok", "PostgreSQL 15.14 (primary) answers, 12 connections"),
        ({"oldest": 900}, "warning", "oldest transaction: 15 min (warning from 15 min)"),
        ({"oldest": 7200}, "critical", "oldest transaction: 2 h (critical from 2 h)"),
        ({"age": str(2**29 - 2**22)}, "ok", "PostgreSQL 15.14 (primary) answers, 12 connections"),
        ({"age": str(2**29)}, "warning", "transaction ids used up: 25 % (warning from 25 %)"),
        ({"age": str(2**30)}, "critical", "transaction ids used up: 50 % (critical from 50 %)"),
    ],
)
def test_a_server_is_judged(programs: Path, values: dict[str, Any], status: str, text: str) -> None:
    server(programs, **values)
    finding = judge(resolve("x", {"postgresql": True}), vars(look({"postgresql": True})), "db1")
    assert (finding.status, finding.title) == (status, text)


def test_the_oldest_transaction_is_named(programs: Path) -> None:
    server(programs, oldest=90, who="process 42, api@evidence from local, active: SELECT 1")
    assert look({"postgresql": True}).detail.endswith("90 s: process 42, api@evidence from local, active: SELECT 1")


@pytest.mark.parametrize(("standby", "role", "wrong"), [(False, "standby", "primary"), (True, "primary", "standby")])
def test_a_server_in_the_wrong_role(programs: Path, standby: bool, role: str, wrong: str) -> None:
    server(programs, standby=standby)
    assert faults({"postgresql": True, "role": role}) == [f"PostgreSQL is a {wrong}, not a {role}"]
    assert faults({"postgresql": True, "role": wrong}) == []
    assert faults({"postgresql": True}) == []


PRIMARY = """{"standby": false, "standbys": [{"name": "db2", "state": "streaming", "bytes": 2048, "seconds": 0.5}],
 "slots": [{"name": "db3", "active": false, "bytes": 1048576}], "receiver": null, "behind": null, "silent": 0}"""


def test_a_primary_judges_the_link(programs: Path) -> None:
    psql(programs, PRIMARY)
    result = look({"replication": True})
    assert result.faults == []
    assert result.values == {"lag_bytes": 2048, "lag": 0.5, "retained_bytes": 1048576}
    assert "slot db3 is not in use and keeps 1.0 MiB" in result.detail
    assert faults({"replication": True, "standbys": 2}) == ["1 of 2 standby servers connected"]
    assert faults({"replication": True, "role": "standby"}) == ["PostgreSQL is a primary, not a standby"]
    # The last lag that was measured stays to be seen when the standby has everything.
    psql(programs, PRIMARY.replace("2048", "0").replace("0.5", "19"))
    assert look({"replication": True}).values == {"lag_bytes": 0, "lag": 0, "retained_bytes": 1048576}
    # A standby that feeds another one does not know how much that lacks.
    psql(programs, PRIMARY.replace("2048", "null").replace("0.5", "19"))
    assert look({"replication": True}).values == {"lag_bytes": 0, "lag": 19, "retained_bytes": 1048576}


def test_a_standby_leaves_the_link_to_the_primary(programs: Path) -> None:
    psql(programs, '{"standby": true, "standbys": [], "slots": [], "receiver": null, "behind": 10, "silent": 3}')
    result = look({"replication": True})
    assert (result.faults, result.values) == ([], {})
    assert result.title == "standby, not connected to a primary"


def test_the_archive(programs: Path) -> None:
    row = '{"mode": "on", "standby": false, "ready": 7, "oldest": 90, "last": "0A", "age": 60, "failed": 3, "failing": %s,'
    row += ' "failure": "0B"}'
    psql(programs, row % "false")
    result = look({"wal_archive": True})
    assert (result.faults, result.values) == ([], {"backlog": 7, "waiting": 90, "archive_age": 60})
    psql(programs, row % "true")
    assert faults({"wal_archive": True}) == ["archiving 0B failed, and nothing was archived since"]
