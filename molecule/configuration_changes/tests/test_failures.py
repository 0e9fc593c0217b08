"""What is wrong is refused, what harms is put back, and what was killed is finished by the next run."""

from __future__ import annotations

import re

import pytest
from managed import DROP_IN, HOSTS, LOGGING, NGINX, given, half_written, setting, states, unfinished, versions

from tests.scenario import FIND, LOSE, Procedure, Untouched, changed_files, files, on_all, shell

#: One invalid candidate of each kind, and what the refusal has to say about it.
INVALID = {
    "nginx_lines": (
        "proxy_pas http://nowhere;",
        ("managed_files['nginx limits']", 'unknown directive "proxy_pas"', NGINX),
    ),
    "postgresql_lines": (
        "work_mem = banana",
        ("managed_files['postgresql logging']", 'invalid value for parameter "work_mem"', LOGGING),
    ),
    "access_lines": (
        "hostssl all all 10.0.0.0/40 scram-sha-256",
        ("managed_files['postgresql access']", "invalid CIDR mask", "line 6"),
    ),
    "environment_line": (
        "EVIDENCE_TOKENS=/nonexistent.json",
        ("managed_files['evidence-api environment']", "FileNotFoundError"),
    ),
    "service_lines": (
        {"LimitNOFILES": 3},
        ("managed_services['evidence-api'].drop_ins['limits']", "Unknown key", DROP_IN),
    ),
    "keepalive": ("soon", ("managed_sysctl['net.ipv4.tcp_keepalive_time']", "'soon'", "the kernel refuses")),
}
#: On hosts of their own class each of these would do; together, one run names them all.
UNKNOWN = {
    "managed_services": {"no-such-thing": {"running": True}},
    "managed_sysctl": {"net.ipv4.no_such_setting": 1, "kernel.msgmax": 9000},
}


def plain(text: str) -> str:
    """The output as one line: Ansible's messages are quoted and wrapped."""
    return re.sub(r"\s+", " ", text.replace("\\n", " ").replace('\\"', '"'))


@pytest.fixture(autouse=True)
def _platform_is_as_managed(change: Procedure) -> None:
    """Each test starts from a platform without differences, whatever the one before has left."""
    assert [unfinished(host) for host in HOSTS] == [[]] * len(HOSTS)


def test_bad_input_invalid_candidates_of_every_kind_are_refused(change: Procedure) -> None:
    untouched = Untouched.hosts(*HOSTS)
    outcome = change.run(*given(**{name: value for name, (value, _words) in INVALID.items()}))
    assert outcome.returncode != 0
    assert outcome.record["outcome"] == "refused", outcome.output
    said = plain(outcome.output)
    missing = [word for _value, words in INVALID.values() for word in words if word not in said]
    assert missing == [], outcome.output
    assert "no host was changed" in said
    assert untouched.changes == {}
    assert setting("db1", "work_mem") == "4MB"
    assert states("proxy1") == {"app1": "active", "app2": "active"}


def test_bad_input_of_things_that_the_host_does_not_have(change: Procedure) -> None:
    outcome = change.run("--limit", "app1,proxy1", *given(**UNKNOWN))
    assert outcome.record["outcome"] == "refused", outcome.output
    said = plain(outcome.output)
    assert "managed_services['no-such-thing']" in said
    assert "which this host's systemd does not have (not-found)" in said
    assert "managed_sysctl['net.ipv4.no_such_setting'] (set by --extra-vars) is no setting" in said


WRONG = {
    "typo": {"path": "/etc/x", "contents": "a"},
    "type": {"path": "/etc/x", "content": "a", "mode": 640},
    "relative": {"path": "etc/x", "content": "a"},
    "empty": {"path": "/etc/empty", "content": ""},
    "two": {"path": "/etc/two", "content": "a", "template": "b"},
    "lost": {"path": "/etc/lost", "template": "no-such.j2"},
    "twice": {"path": "/etc/motd", "content": "a"},
    "check": {"path": "/etc/y", "content": "a", "validate": "ngnix"},
}
NAMED = (
    "managed_files['typo'] (set by --extra-vars) has the unknown option 'contents' (did you mean 'content'?)",
    "managed_files['type'] (set by --extra-vars) has mode: 640, which is not text; write it in quotes",
    "managed_files['relative'] (set by --extra-vars) has the path 'etc/x'; it has to be the absolute path of a file",
    "managed_files['empty'] (set by --extra-vars) is empty; write absent: true",
    "managed_files['two'] (set by --extra-vars) has template and content of template, content, source and absent",
    "managed_files['lost'] (set by --extra-vars) has the template 'no-such.j2', which is in none of",
    "has the path /etc/motd, which",
    "has validate 'ngnix' (did you mean 'nginx'?)",
    "configuration_changes_batches has '0'; it has to be a number of hosts from 1 on, or a percentage such as 50%",
    "configuration_changes_canaries names 'ap2', which is no host of the inventory (did you mean 'app2'?)",
)


def test_bad_input_is_named_before_any_host_is_touched(change: Procedure) -> None:
    sizes = {"configuration_changes_batches": ["0"], "configuration_changes_canaries": ["app1", "ap2"]}
    outcome = change.run(*given(managed_files=WRONG, **sizes))
    assert outcome.record["outcome"] == "refused", outcome.output
    said = plain(outcome.output)
    assert [text for text in NAMED if text not in said] == [], outcome.output
    assert "no host was touched" in said


def test_bad_input_of_a_host_that_is_sick_already_changes_none(change: Procedure) -> None:
    """The canary has a failed unit before anything was done: nothing has to be put back, and nobody comes after it."""
    shell("app1", "systemd-run --quiet --unit=lab-sick false; sleep 0.5; systemctl is-failed lab-sick")
    untouched = Untouched.hosts(*HOSTS)
    known = [versions(host) for host in HOSTS]
    sick = {"health_check_gate_retries": 1, "health_check_gate_delay": 1, "configuration_changes_canaries": ["app1"]}
    outcome = change.run(*given(notice="Not to be seen.", service_lines={"LimitNOFILE": 4096}, **sick))
    shell("app1", "systemctl reset-failed lab-sick")
    assert outcome.returncode != 0
    assert outcome.record["outcome"] == "refused", outcome.output
    assert "app1 is not healthy before the change, and was not changed" in plain(outcome.output)
    assert "lab-sick" in outcome.output
    assert untouched.changes == {}
    assert [versions(host) for host in HOSTS] == known
    assert states("proxy1") == {"app1": "active", "app2": "active"}
    rows = {finding["host"]: finding["title"] for finding in outcome.findings if finding["check"] == "configuration"}
    assert all("not changed" in title for title in rows.values()), rows


BROKEN = "{{ '--bind=127.0.0.1:8001' if inventory_hostname == 'app2' else '--log-level=warning' }}"


def test_failure_at_the_gate_puts_the_batch_back_and_stops_the_rest(change: Procedure) -> None:
    """A service that starts with a valid configuration and is broken nevertheless."""
    before = on_all(files, HOSTS)
    outcome = change.run(
        *given(
            service_lines={"LimitNOFILE": 8192, "Environment": f"GUNICORN_CMD_ARGS={BROKEN}"},
            notice="Not to be seen everywhere.",
            configuration_changes_canaries=["app1"],
            configuration_changes_batches=["1", "2"],
            health_check_gate_retries=2,
            health_check_gate_delay=1,
        )
    )
    assert outcome.returncode != 0
    assert outcome.record["outcome"] == "rolled_back", outcome.output
    after = {host: changed_files(before[host], now) for host, now in on_all(files, HOSTS).items()}
    own = {host: [path for path in found if path.startswith("/etc/")] for host, found in after.items()}
    # The canary was fine and keeps its version. The second batch is put back as a whole; the third was never begun.
    assert own == {"app1": ["/etc/motd", DROP_IN], **{host: [] for host in HOSTS if host != "app1"}}, outcome.output
    touched = [host for host in HOSTS if versions(host)[-1]["state"] == "rolled_back"]
    assert "app2" in touched
    assert len(touched) == 2
    assert [unfinished(host) for host in HOSTS] == [[]] * len(HOSTS)
    assert "GUNICORN_CMD_ARGS=--log-level=info" in shell("app2", "tr '\\0' '\\n' < /proc/$(pgrep -of gunicorn)/environ")
    assert states("proxy1") == {"app1": "active", "app2": "active"}
    rows = {finding["host"]: finding["title"] for finding in outcome.findings if finding["check"] == "configuration"}
    assert "put back" in rows["app2"]
    assert "not changed" in next(title for host, title in rows.items() if host not in [*touched, "app1"])


def test_failure_to_take_into_use_puts_the_host_back(change: Procedure) -> None:
    """systemd accepts the drop-in, and the program does not start with it."""
    lines = {"LimitNOFILE": 8192, "Environment": "GUNICORN_CMD_ARGS=--no-such-option"}
    outcome = change.run("--limit", "app1", *given(service_lines=lines))
    assert outcome.returncode != 0
    assert outcome.record["outcome"] == "rolled_back", outcome.output
    assert "no-such-option" not in shell("app1", f"cat {DROP_IN}")
    assert shell("app1", "systemctl is-active evidence-api") == "active\n"
    assert states("proxy1") == {"app1": "active", "app2": "active"}


#: Takes away what the way back needs, at the start of the service.
KEPT = "/var/lib/ops-runbook/configuration/objects"
BARS = f"+/bin/sh -c 'test -e /root/kept || mv {KEPT} /root/kept'"
#: Takes the host away from whoever changes it, at the start of its sshd, and lets none start again.
LOSES = f"/bin/sh -c '{LOSE}; exit 1'"
UNREACHED = {"Service": {"ExecStartPre": LOSES}}
SSH_DROP_IN = "/etc/systemd/system/ssh.service.d/lost.conf"
LOCK = "/var/lib/ops-runbook/change.lock"


def test_failure_of_the_way_back_and_loss_of_a_host(change: Procedure) -> None:
    """In one batch: a host that cannot be put back, one that is lost in the middle, and one that is put back."""
    lines = {"LimitNOFILE": 8192, "Environment": "GUNICORN_CMD_ARGS=--no-such-option", "ExecStartPre": BARS}
    lost = "{{ unreached if inventory_hostname == 'db2' else false }}"
    motd = shell("db1", "cat /etc/motd")
    limit = ("--limit", "app1,db1,db2")
    outcome = change.run(
        *limit,
        *given(
            service_lines=lines,
            unreached=UNREACHED,
            managed_services={"ssh": {"drop_ins": {"lost": lost}, "on_change": "restart"}},
            notice="Not to be seen anywhere.",
            configuration_changes_batches=["3"],
        ),
    )
    assert outcome.returncode == 2, outcome.output
    assert outcome.record["outcome"] == "failed", outcome.output
    ends = {each["host"]: each["message"] for each in outcome.record["failures"] if "End the run" in each["task"]}
    assert "app1 is in doubt" in ends["app1"]
    assert f"cannot be restored: {KEPT}" in ends["app1"]
    assert "db2 is in doubt" in ends["db2"]
    assert "db2 is lost: " in ends["db2"]
    assert "db1 has its former configuration again" in ends["db1"]
    titles = {finding["host"]: finding["title"] for finding in outcome.findings if finding["check"] == "configuration"}
    assert [("in doubt" in titles[host], "put back" in titles[host]) for host in ("app1", "db2")] == [(True, True)] * 2
    assert titles["db1"].endswith("put back")
    assert shell("db1", "cat /etc/motd") == motd
    assert states("proxy1") == {"app1": "drained", "app2": "active"}
    assert [shell(host, f"ls {LOCK} 2>/dev/null || true") for host in ("app1", "db1", "proxy1")] == [""] * 3

    shell("db2", f"rm -f {SSH_DROP_IN}; {FIND}")
    mended = change.run(*limit)
    assert mended.returncode == 0, mended.output
    assert states("proxy1") == {"app1": "active", "app2": "active"}
    assert [unfinished(host) for host in HOSTS] == [[]] * len(HOSTS)
    assert shell("app1", f"grep -c no-such-option {DROP_IN} || true") == "0\n"
    shell("app1", "rm -r /root/kept")


def test_check_mode_promises_nothing_when_a_host_is_lost(change: Procedure) -> None:
    untouched = Untouched.hosts("app2")
    options = (*given(notice="Not to be seen."), "--limit", "app1,app2")
    lost = change.losing("app1", "Install the configuration", "--check", "--diff", *options)
    assert (lost.returncode, lost.record["outcome"]) == (2, "failed"), lost.output
    assert "app1 is lost: " in str(lost.record["failures"])
    assert "in doubt" not in lost.output
    assert {host: status for (host, _check), status in lost.bad.items()} == {"app1": "warning", "app2": "warning"}
    assert untouched.changes == {}


def test_interruption_is_finished_by_the_next_run(change: Procedure) -> None:
    options = given(notice="After the power cut.", nginx_lines="server_tokens off;\nkeepalive_timeout 62s;")
    cut = change.killed_at("Install the configuration", *options)
    assert cut.killed
    assert cut.record["outcome"] == "interrupted"
    assert [host for host in HOSTS if unfinished(host)]
    assert [half_written(host) for host in HOSTS] == [""] * len(HOSTS)
    outcome = change.run(*options)
    assert outcome.returncode == 0, outcome.output
    for host in HOSTS:
        assert shell(host, "cat /etc/motd") == "After the power cut.\n"
        assert unfinished(host) == []
    assert "keepalive_timeout 62s" in shell("proxy1", "nginx -T 2>/dev/null")
    assert states("proxy1") == {"app1": "active", "app2": "active"}
