"""What the procedure changes is what it predicted, is in use, and stays as it is in a second run."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from interruption import assert_converged
from managed import (
    ACCESS,
    DROP_IN,
    HOSTS,
    LIMITS,
    LOGGING,
    NGINX,
    PLANTED,
    given,
    setting,
    states,
    unfinished,
    versions,
)

from tests.approved import Planned
from tests.lab.podman import environment
from tests.lab.state import Lab
from tests.scenario import Procedure, Untouched, same_changes, shell


def test_success_everything_is_in_use() -> None:
    """After converge: each kind of thing, seen where it works."""
    assert shell("proxy1", f"cat {NGINX}") == "server_tokens off;\n"
    assert "Server: nginx\n" in shell("proxy1", "curl -skI https://localhost/healthz")
    for host in ("db1", "db2"):
        assert setting(host, "log_lock_waits") == "on"
    for host in ("app1", "app2"):
        assert "8192" in shell(host, LIMITS)
        assert shell(host, f"stat -c '%a %U %G' {ACCESS}") == "640 root root\n"
        assert "log-level=info" in shell(host, "tr '\\0' '\\n' < /proc/$(pgrep -of gunicorn)/environ")
    for host in HOSTS:
        assert shell(host, "sysctl -n net.ipv4.tcp_keepalive_time") == "600\n"
        assert "net.ipv4.tcp_keepalive_time = 600\n" in shell(host, "cat /etc/sysctl.d/99-zz-managed.conf")
        assert shell(host, "cat /etc/motd") == "Managed by the scenario.\n"
        assert [version["state"] for version in versions(host)] == ["confirmed"]
    assert states("proxy1") == {"app1": "active", "app2": "active"}
    assert_converged()


def test_second_run_changes_nothing(change: Procedure) -> None:
    untouched = Untouched.hosts(*HOSTS)
    outcome = change.run()
    assert outcome.returncode == 0, outcome.output
    assert outcome.changes == ()
    assert untouched.changes == {}


#: Reads what to look for, and looks through all processes until its standard input ends.
_WATCH = """
import json, pathlib, select, sys
planted, looks, found = sys.stdin.readline().strip().encode(), 0, []
while not select.select([sys.stdin], [], [], 0.1)[0]:
    looks += 1
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            try:
                text = (process / name).read_bytes()
            except OSError:
                continue
            if planted in text:
                found.append(text.replace(bytes(1), b" ").decode(errors="replace"))
print(json.dumps([looks, found]))
"""


@dataclass
class Watch:
    """How often all processes were looked at, and the command lines and environments with the text."""

    looks: int = 0
    found: list[str] = field(default_factory=list)


@contextmanager
def watched_processes(host: str, text: str) -> Iterator[Watch]:
    """Look for the text in command lines and environments of all processes, again and again."""
    container, watch = Lab(os.environ["LAB"]).container(host), Watch()
    process = subprocess.Popen(
        ["podman", "exec", "--interactive", container, "python3", "-c", _WATCH],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    process.stdin.write(f"{text}\n")
    process.stdin.flush()
    try:
        yield watch
    finally:
        output, _nothing = process.communicate(timeout=60)
    watch.looks, watch.found = json.loads(output)


def test_the_watch_sees_what_is_there() -> None:
    with watched_processes("app1", "Seen-4711") as watch:
        shell("app1", "SECRET=Seen-4711 sleep 1")
    assert any("SECRET=Seen-4711" in text for text in watch.found)


def test_check_mode_predicts_exactly_and_nothing_shows_the_secret(change: Procedure, tmp_path: Path) -> None:
    """A check run, an approval of its plan, the run under it: the same changes, no trace of the first, no secret."""
    planned = Planned.of(change, tmp_path)
    options = given(
        notice="Changed once more.",
        keepalive=700,
        nginx_lines="server_tokens off;\nkeepalive_timeout 61s;",
        postgresql_lines="log_lock_waits = off\nmax_wal_senders = 12",
        service_lines={"LimitNOFILE": 4096},
    )
    # The secret file itself changes too: its mode and owner are visible, its content is not.
    for host in ("app1", "app2"):
        shell(host, f"echo 'partner = {PLANTED}-old' > {ACCESS}")
    untouched = Untouched.hosts(*HOSTS)
    with watched_processes("app1", PLANTED) as watch:
        predicted = planned.make(*options)
        touched = untouched.changes
        planned.sign()
        applied = planned.apply("-vvv", *options)
    assert touched == {}
    assert same_changes(predicted, applied), repr(same_changes(predicted, applied))
    assert applied.returncode == 0, applied.output
    planned.assert_applied(applied)
    assert "keepalive_timeout 61s;" in predicted.output
    assert {change.host for change in applied.changes} == set(HOSTS)
    waiting = [finding for finding in applied.findings if finding["check"] == "restart of postgresql@15-main.service"]
    assert [(finding["host"], finding["status"]) for finding in waiting] == [("db1", "warning"), ("db2", "warning")]
    assert "max_wal_senders" in waiting[0]["title"]
    assert setting("db1", "log_lock_waits") == "off"
    for host in ("app1", "app2"):
        assert PLANTED in shell(host, f"cat {ACCESS}")
    assert watch.looks > 10
    assert watch.found == []
    for outcome in (predicted, applied):
        assert PLANTED not in outcome.output
        assert ACCESS in outcome.output
    kept = [path for path in change.state.rglob("*") if path.is_file()]
    assert len(kept) > 4
    assert [str(path) for path in kept if PLANTED.encode() in path.read_bytes()] == []


def test_success_of_a_restart_where_a_parameter_needs_one(change: Procedure) -> None:
    """Only where the entry allows it; the standby first, as the page says."""
    started = "select pg_postmaster_start_time()"
    before = shell("db2", f"runuser -u postgres -- psql -XAtqc '{started}'")
    lines = "log_lock_waits = off\nmax_wal_senders = 14"
    outcome = change.run("--limit", "db2", *given(keepalive=700, notice="x", postgresql_lines=lines, may_restart=True))
    assert outcome.returncode == 0, outcome.output
    assert setting("db2", "max_wal_senders") == "14"
    assert shell("db2", f"runuser -u postgres -- psql -XAtqc '{started}'") != before
    assert not [row for row in outcome.bad if row[1].startswith("restart of")]


def test_restore_goes_back_to_any_version(restore: Procedure) -> None:
    """To the version of converge, by its id, and no further; undone by the id of the version before the restore."""
    first = versions("proxy1")[0]["id"]
    outcome = restore.run(*given(configuration_changes_version=first))
    assert outcome.returncode == 0, outcome.output
    assert {change.host for change in outcome.changes} == set(HOSTS)
    assert shell("proxy1", f"cat {NGINX}") == "server_tokens off;\n"
    assert setting("db1", "log_lock_waits") == "on"
    assert "8192" in shell("app1", LIMITS)
    assert shell("db2", "sysctl -n net.ipv4.tcp_keepalive_time") == "600\n"
    assert versions("app2")[-1]["restored"] == first
    assert [unfinished(host) for host in HOSTS] == [[]] * len(HOSTS)

    second = restore.run(*given(configuration_changes_version="previous"))
    assert (second.returncode, second.changes) == (0, ()), second.output

    undone = restore.run("--limit", "proxy1", *given(configuration_changes_version=versions("proxy1")[1]["id"]))
    assert undone.returncode == 0, undone.output
    assert "keepalive_timeout 61s;" in shell("proxy1", f"cat {NGINX}")

    origin = restore.run("--limit", "db2", "--check", *given(configuration_changes_version="origin"))
    assert origin.returncode == 0, origin.output
    assert [set(change.subject.split()) for change in origin.changes] == [
        {
            "/etc/motd",
            "/etc/sysctl.d/99-zz-managed.conf",
            "net.ipv4.tcp_keepalive_time",
            LOGGING,
            LOGGING.replace("conf.d/logging", "pg_hba"),
        }
    ]


def test_restore_bad_input_lists_the_versions(restore: Procedure) -> None:
    for version in ("", "20200101T000000Z-00000000"):
        outcome = restore.run("--limit", "db2", *given(configuration_changes_version=version))
        assert outcome.returncode != 0
        assert outcome.record["outcome"] == "refused", outcome.output
        assert f"configuration_changes_version is {repr(version) if version else 'empty'}" in outcome.output
        assert versions("db2")[0]["id"] in outcome.output
    # Their last changes are not the same one: `previous` would undo more on one host than on the other.
    outcome = restore.run("--limit", "db2,proxy1", *given(configuration_changes_version="previous"))
    assert outcome.record["outcome"] == "refused", outcome.output
    assert "the last change of these hosts is not the same one" in outcome.record["refusal"]
    assert f"{versions('proxy1')[2]['id']} on proxy1" in outcome.record["refusal"]


def test_drift_is_found_named_and_healed(drift: Procedure, change: Procedure) -> None:
    """Each kind of drift is found and named, a run heals it, and then there is none."""
    shell("proxy1", f"echo 'client_header_timeout 9s;' >> {NGINX}; chmod 0600 /etc/motd")
    shell("db2", "sysctl -qw net.ipv4.tcp_keepalive_time=55; rm /etc/sysctl.d/99-zz-managed.conf")
    shell("app2", f"chown nobody {DROP_IN}; systemctl disable -q evidence-api; echo 'partner = Stray-9871x' > {ACCESS}")
    untouched = Untouched.hosts(*HOSTS)
    outcome = drift.run("--diff")
    assert outcome.returncode == 2, outcome.output
    named = {row: status for row, status in outcome.bad.items() if status == "critical"}
    assert set(named) == {
        ("proxy1", "file nginx limits"),
        ("proxy1", "file login notice"),
        ("db2", "kernel setting net.ipv4.tcp_keepalive_time"),
        ("db2", "file kernel settings at boot"),
        ("app2", "file evidence-api.service limits"),
        ("app2", "file partner access"),
        ("app2", "service evidence-api.service"),
    }
    details = "\n".join(finding["detail"] + finding["title"] for finding in outcome.findings)
    assert "was changed on the host since version" in details
    assert "client_header_timeout 9s;" in details
    assert "Stray-9871x" not in outcome.output + details
    assert untouched.changes == {}

    healed = change.run()
    assert healed.returncode == 0, healed.output
    again = drift.run()
    assert again.returncode == 0, again.output
    assert {row for row, status in again.bad.items() if status != "warning"} == set()
