"""From a platform without backups to one that is backed up, and what is then stored."""

from __future__ import annotations

import json

import pytest
from interruption import assert_converged
from stored import DATABASE, FILES, HOSTS, PSQL, REPOSITORY, bad, damaged, history, labels, program

from tests.scenario import Procedure, changed_files, files, same_changes, shell


def given(**values: object) -> tuple[str, str]:
    """Options that change variables."""
    return "--extra-vars", json.dumps(values)


def test_failure_of_the_set_up_puts_everything_back(backup: Procedure) -> None:
    """PostgreSQL does not read the file that it is given, and so sends nothing to the store."""
    looked = ("app1", "db1", "store1")
    before = {host: files(host, content=False) for host in looked}
    archive = shell("db1", f"{PSQL} 'show archive_command'")
    outcome = backup.run(*given(database_backup_postgresql_conf="/etc/postgresql/15/main"))
    assert outcome.returncode != 0
    assert outcome.record["outcome"] == "rolled_back", outcome.output
    assert "archive" in outcome.output
    for host in looked:
        changed = changed_files(before[host], files(host, content=False))
        own = [path for path in changed if path.startswith(("/etc/", "/usr/local/"))]
        assert [path for path in own if not path.endswith(("passwd", "shadow", "group", "passwd-"))] == [], host
    assert shell("db1", f"{PSQL} 'show archive_command'") == archive


def test_check_mode_predicts_what_success_changes(backup: Procedure) -> None:
    before = {host: files(host, content=False) for host in HOSTS}
    check = backup.run("--check", "--diff")
    assert check.returncode == 0, check.output
    changed = {host: changed_files(before[host], files(host, content=False), touched=True) for host in HOSTS}
    assert changed == {host: {} for host in HOSTS}
    applied = backup.run("--diff")
    assert applied.returncode == 0, applied.output
    assert same_changes(check, applied)
    assert_converged()
    secrets = shell("store1", "grep -h cipher-pass /etc/pgbackrest/pgbackrest.conf | cut -d= -f2").split()
    secrets += shell("store1", "cat /etc/restic/passphrases/*").split()
    assert len(secrets) == 7
    text = applied.output + json.dumps(applied.record)
    assert [secret for secret in secrets if secret in text] == []


def test_second_run_changes_nothing(backup: Procedure) -> None:
    outcome = backup.run()
    assert outcome.returncode == 0, outcome.output
    assert outcome.changes == ()
    checks = {finding["check"]: finding for finding in outcome.findings if finding["host"] == "store1"}
    for check in ("database full backup", "database backup", "backup of configuration"):
        metrics = checks[check]["metrics"]
        assert metrics["age_seconds"] < 600
        assert metrics["size_bytes"] > 0
        assert {"duration_seconds", "growth_percent", "stored_bytes"} <= set(metrics)


def test_backup_comes_from_the_standby_and_is_verified(backup: Procedure) -> None:
    shell("db1", f"{PSQL} 'create table payload as select generate_series(1, 20000) as a' evidence")
    outcome = backup.run("--limit", "db1,db2,store1", *given(database_backup_kind="diff"))
    assert outcome.returncode == 0, outcome.output
    assert [change.task for change in outcome.changes] == [
        "database_backup : backup | Make the backup of the database that is due, and verify it"
    ]
    made, verified = ([row for row in history() if row["event"] == event] for event in ("backup", "verified"))
    assert [row["kind"] for row in made] == ["full", "diff"]
    assert all(row["standby"] for row in made)
    assert len(verified) == len(made)
    assert verified[-1]["objects"] > verified[0]["objects"]


def test_verification_is_read_only_and_whole(verification: Procedure) -> None:
    before = files("store1")
    outcome = verification.run()
    assert outcome.returncode == 0, outcome.output
    assert outcome.changes == ()
    changed = changed_files(before, files("store1"))
    # What the database sends meanwhile is not of this run.
    assert [path for path in changed if not path.startswith(f"{REPOSITORY}/archive")] == []
    assert {"WAL archive", "stored files", "database log archive"} <= {finding["check"] for finding in outcome.findings}


STORED = {
    "backup": "backup/evidence/*F/bundle/1",
    "manifest": "backup/evidence/*D/backup.manifest",
    "copy of the manifest": "backup/evidence/*F/backup.manifest.copy",
    "index": "backup/evidence/backup.info",
    "index of the archive": "archive/evidence/archive.info",
    "label of the archive": "archive/evidence/15-1/*/*.backup",
}


@pytest.mark.parametrize("kind", STORED)
def test_flipped_byte_is_named(kind: str) -> None:
    path = shell("store1", f"ls -d {REPOSITORY}/{STORED[kind]} | head -1").strip()
    with damaged(path):
        said = bad(program(f"{DATABASE} verify"))
        assert f"changed: {path.removeprefix(REPOSITORY + '/')}" in said["database backup verification"]


def test_damaged_and_missing_log_is_named(verification: Procedure) -> None:
    """Through the procedure: it fails, and names object and backup."""
    log = shell("store1", f"ls {REPOSITORY}/archive/evidence/15-1/*/*.zst | tail -1").strip()
    pack = shell("store1", "ls -S /var/lib/restic/app1/data/*/* | head -1").strip()
    shell("store1", f"cp -p {pack} /root/pack")
    with damaged(log):
        shell("store1", f'printf x | dd of="{pack}" bs=1 seek=100 conv=notrunc status=none')
        outcome = verification.run("--limit", "app1,db1,db2,store1")
    shell("store1", f"cp -p /root/pack {pack}")
    assert outcome.returncode == 2, outcome.output
    details = {(f["host"], f["check"]): f["title"] + f["detail"] for f in outcome.findings if f["status"] != "ok"}
    assert log.rsplit("/", 1)[-1] in details["store1", "database backup verification"]
    assert pack.removeprefix("/var/lib/restic/") in details["store1", "stored files"]
    assert pack.rsplit("/", 1)[-1][:8] in details["app1", "file backup verification"]

    segments = shell("store1", f"ls {REPOSITORY}/archive/evidence/15-1/*/*.zst").split()
    shell("store1", f"mv {segments[-2]} /root/segment")
    said = bad(program(f"{DATABASE} status"))
    shell("store1", f"mv /root/segment {segments[-2]}")
    assert segments[-2].rsplit("/", 1)[-1][:24] in said["database log archive"]
    assert bad(program(f"{DATABASE} verify")) == {}


ENVIRONMENT = "/etc/restic/environment"
#: Each request that could alter or remove something, and one that could read another host's backups.
ATTACK = """python3 - <<'END'
import base64, urllib.error, urllib.parse, urllib.request
lines = open("/etc/restic/environment").read().splitlines()
address = dict(line.split("=", 1) for line in lines if "=" in line)["RESTIC_REPOSITORY"].removeprefix("rest:")
parts = urllib.parse.urlsplit(address)
own = f"https://{parts.hostname}:{parts.port}/app1/"
login = base64.b64encode(f"{parts.username}:{parts.password}".encode()).decode()
attempts = [
    ("DELETE", own + "snapshots/SNAPSHOT"), ("POST", own + "snapshots/SNAPSHOT"), ("POST", own + "config"),
    ("DELETE", own + "config"), ("DELETE", own), ("GET", own.replace("app1/", "app2/snapshots/")),
    ("DELETE", own.replace("app1/", "app2/config")),
]
for method, url in attempts:
    data = b"x" if method == "POST" else None
    request = urllib.request.Request(url, data=data, method=method, headers={"Authorization": "Basic " + login})
    try:
        print(urllib.request.urlopen(request).status)
    except urllib.error.HTTPError as error:
        print(error.code)
END
"""


def test_root_on_an_application_host_takes_nothing_away() -> None:
    """It has its own log-in and passphrase, and may do with them what it likes."""
    stored = shell("store1", "cd /var/lib/restic; find app1 app2 -type f ! -path '*/locks/*' | sort | xargs sha256sum")
    snapshot = shell("store1", "ls /var/lib/restic/app1/snapshots | head -1").strip()
    answers = shell("app1", ATTACK.replace("SNAPSHOT", snapshot))
    assert set(answers.split()) <= {"403", "405"}, answers
    assert len(answers.split()) == 7
    refused = shell("app1", f". {ENVIRONMENT}; export ${{!RESTIC_*}}; timeout 8 restic forget {snapshot} 2>&1 || true")
    assert "403 Forbidden" in refused
    # The lock that it has left keeps nobody from the next backup.
    assert program(f"{FILES} run --kind all", "app1")["made"] == ["application", "configuration"]
    assert bad(program(f"{FILES} verify", "app1")) == {}
    assert shell("app1", "find /etc -path '*pgbackrest*'") == ""
    again = shell("store1", "cd /var/lib/restic; find app1 app2 -type f ! -path '*/locks/*' | sort | xargs sha256sum")
    assert set(stored.splitlines()) <= set(again.splitlines())
    hello = shell("app1", "openssl s_client -connect store1:8432 </dev/null 2>&1 | tr -cd '[:print:]\n' || true")
    assert "alert certificate required" in hello or "Acceptable client certificate CA names" in hello


def test_retention_takes_what_is_old_and_never_the_last_good_one() -> None:
    """Two more full backups, kept for a second: all but the last go. Nothing goes while anything is damaged."""
    settings = "/etc/ops-runbook/database_backup.json"
    for _number in range(2):
        assert program(f"{DATABASE} run --kind full")["made"] == ["full"]
    before = labels()
    assert len(before) == 4
    shell("store1", f'cp {settings} /root/settings; sed -i \'s/"keep": [0-9]*/"keep": 1/\' {settings}')
    with damaged(f"{REPOSITORY}/backup/evidence/{before[-1]}/bundle/1"):
        answer = program(f"{DATABASE} run --kind diff")
        assert answer.get("expired", []) == []
        assert before[-1] in bad(answer)["database backup verification"]
        assert set(before) < set(labels())
    answer = program(f"{DATABASE} run --kind diff")
    left = labels()
    assert answer["expired"], answer
    assert before[-1] in left
    assert not set(before[:-1]) & set(left)
    assert bad(program(f"{DATABASE} verify")) == {}
    shell("store1", f"cp /root/settings {settings}")
