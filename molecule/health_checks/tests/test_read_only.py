"""The sweep changes nothing on any host."""

from __future__ import annotations

import pytest

from tests.scenario import Procedure, shell

HOSTS = ("proxy1", "app1", "app2", "db1", "db2")
#: What a living host writes all the time, with or without a sweep.
ALIVE = (
    "/proc",
    "/sys",
    "/dev/pts",
    "/run/systemd",  # sessions, units
    "/run/sudo",  # when the login used sudo last
    "/run/log",  # the journal: the login and its sudo are logged
    "/var/log",
    "/var/lib/postgresql",  # the database at work: compared through its own counters below
    "/dev/shm",
    "/run/postgresql",
)
SNAPSHOT = rf"""
find / \( {" -o ".join(f"-path {path}" for path in ALIVE)} \) -prune \
    -o -not -type d -printf '%p type=%y mode=%m owner=%U:%G size=%s changed=%C@ link=%l\n' \
    -o -type d -printf '%p type=d mode=%m owner=%U:%G\n' | sort
"""
#: Rows written, objects, roles and settings of every database.
DATABASE = """
runuser -u postgres -- psql -XAtq -d evidence -c "
    select sum(n_tup_ins + n_tup_upd + n_tup_del) from pg_stat_all_tables where schemaname not like 'pg_%';
    select oid, relname, relkind from pg_class order by oid;
    select rolname from pg_roles order by 1;
    select name, setting from pg_settings where name not like '%time%' order by 1"
"""


def snapshot() -> dict[str, list[str]]:
    found = {host: shell(host, SNAPSHOT).splitlines() for host in HOSTS}
    for host in ("db1", "db2"):
        found[host] += shell(host, DATABASE).splitlines()
    return found


@pytest.mark.parametrize("options", [(), ("--check", "--diff")], ids=["run", "check mode"])
def test_file_systems_are_untouched(sweep: Procedure, options: tuple[str, ...]) -> None:
    sweep.run()  # the first login of a boot makes its own traces
    before = snapshot()
    outcome = sweep.run(*options)
    after = snapshot()
    assert outcome.returncode == 0, outcome.output
    assert {host: sorted(set(before[host]) ^ set(after[host])) for host in HOSTS} == {host: [] for host in HOSTS}
    assert "changed=1" not in outcome.output


def test_the_comparison_sees_a_change() -> None:
    before = snapshot()
    shell("app2", "touch /tmp/trace")
    changed = set(before["app2"]) ^ set(snapshot()["app2"])
    shell("app2", "rm /tmp/trace")
    assert [line.split()[0] for line in changed] == ["/tmp/trace"]
