"""The database hosts: one primary, one standby that follows it, over TLS, with an archive."""

from __future__ import annotations

import time

from testinfra.host import Host

testinfra_hosts = ["ansible://database"]


def query(host: Host, sql: str) -> str:
    return str(host.check_output("cd / && sudo -u postgres psql --no-psqlrc -qAt --command %s", sql))


def name(host: Host) -> str:
    return str(host.check_output("hostname"))


def test_settings_that_recovery_needs(host: Host) -> None:
    for setting, value in {
        "data_checksums": "on",
        "wal_log_hints": "on",
        "archive_mode": "on",
        "password_encryption": "scram-sha-256",
    }.items():
        assert query(host, f"SHOW {setting}") == value


def test_db1_is_the_primary(host: Host) -> None:
    assert query(host, "SELECT pg_is_in_recovery()") == ("f" if name(host) == "db1" else "t")


def test_replication_streams_through_its_slot(host: Host) -> None:
    if name(host) == "db1":
        assert query(host, "SELECT application_name, state FROM pg_stat_replication") == "db2|streaming"
        assert query(host, "SELECT slot_name, active FROM pg_replication_slots") == "db2|t"
        assert query(host, "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_replication USING (pid)") == "t"
    else:
        assert query(host, "SELECT status, slot_name, sender_host FROM pg_stat_wal_receiver") == "streaming|db2|db1"


def test_log_is_archived(host: Host) -> None:
    if name(host) != "db1":
        assert query(host, "SELECT pg_is_in_recovery()") == "t"  # a standby archives nothing
        return
    segment = query(host, "SELECT pg_walfile_name(pg_current_wal_lsn())")
    query(host, "SELECT pg_logical_emit_message(false, 'test', 'archive'); SELECT pg_switch_wal()")
    deadline = time.monotonic() + 10
    while not host.file(f"/var/lib/postgresql/archive/{segment}").exists:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert query(host, "SELECT failed_count FROM pg_stat_archiver") == "0"


def test_password_without_tls_is_refused(host: Host) -> None:
    refused = host.run("psql 'host=%s dbname=evidence user=evidence sslmode=disable'", name(host))
    assert "no encryption" in refused.stderr


def test_certificate_names_the_host(host: Host) -> None:
    answer = host.run(
        "openssl s_client -starttls postgres -connect %s:5432 -verify_hostname %s -verify_return_error </dev/null",
        name(host),
        name(host),
    )
    assert answer.rc == 0, answer.stderr
