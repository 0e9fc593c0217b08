"""The sweep changes nothing on any host."""

from __future__ import annotations

import tempfile

import pytest

from tests.scenario import Procedure, Untouched, on_all, shell

HOSTS = ("proxy1", "app1", "app2", "db1", "db2")
#: Folders that Ansible's own modules use. The sweep is none, and leaves them as they are.
MODULES = "(find /home/ops/.ansible /root/.ansible -printf '%p %C@\\n' 2>/dev/null || true) | sort"
#: Rows written, objects, roles and settings of every database.
DATABASE = """
runuser -u postgres -- psql -XAtq -d evidence -c "
    select sum(n_tup_ins + n_tup_upd + n_tup_del) from pg_stat_all_tables where schemaname not like 'pg_%';
    select oid, relname, relkind from pg_class order by oid;
    select rolname from pg_roles order by 1;
    select name, setting from pg_settings where name not like '%time%' order by 1"
"""


def inside(host: str) -> str:
    """What does not show in the times of files."""
    return shell(host, f"{MODULES}\n{DATABASE if host.startswith('db') else ''}")


@pytest.mark.parametrize("options", [(), ("--check", "--diff")], ids=["run", "check mode"])
def test_hosts_are_untouched(sweep: Procedure, options: tuple[str, ...]) -> None:
    if not options:
        sweep.run()  # the first login of a boot makes its own traces
    untouched, before = Untouched.hosts(*HOSTS), on_all(inside, HOSTS)
    outcome = sweep.run(*options)
    assert outcome.returncode == 0, outcome.output
    assert untouched.changes == {}
    assert on_all(inside, HOSTS) == before
    assert outcome.changes == ()


def test_each_host_is_asked_once(sweep: Procedure) -> None:
    """One connection, and one command through it: as the hosts' own journals count."""
    now = on_all(lambda host: shell(host, "date +%s").strip(), HOSTS)
    # Sockets of its own: a connection that is open already would not be counted.
    with tempfile.TemporaryDirectory(prefix="once-") as folder:
        outcome = sweep.run(extra={"ANSIBLE_SSH_CONTROL_PATH_DIR": folder})
    assert outcome.returncode == 0, outcome.output
    journal = "journalctl --quiet --since @{} --identifier sshd --identifier sshd-session --identifier sudo"
    for host, said in on_all(lambda host: shell(host, journal.format(now[host])), HOSTS).items():
        counts = {words: said.count(words) for words in ("Accepted publickey", "COMMAND=")}
        assert counts == {"Accepted publickey": 1, "COMMAND=": 1}, (host, said)


def test_the_comparison_sees_a_change() -> None:
    untouched, before = Untouched.hosts("app2"), inside("app2")
    shell("app2", "touch /tmp/trace; chmod g+w /etc/motd; mkdir -p /root/.ansible/trace")
    assert untouched.changes == {"app2": {"/tmp/trace": "is new", "/etc/motd": "mode 0644 → 0664"}}
    assert inside("app2") != before
    shell("app2", "rm -r /tmp/trace /root/.ansible/trace; chmod g-w /etc/motd")
    assert list(untouched.changes["app2"].values()) == ["written anew"]
