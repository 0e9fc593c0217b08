"""From a platform without backups to one that is backed up, and what is then stored."""

from __future__ import annotations

import itertools
import json

import pytest
from interruption import assert_converged
from stored import (
    DATABASE,
    FILES,
    HOSTS,
    PSQL,
    REPOSITORY,
    altered,
    bad,
    damaged,
    forged,
    history,
    labels,
    program,
    references,
    undone,
)

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


UNITS = ("database-backup", "file-backup", "file-backup-retention")


def results() -> dict[str, str]:
    """Unit → how it ended."""
    return {unit: shell("store1", f"systemctl show --property=Result --value {unit}").strip() for unit in UNITS}


def test_units_that_the_timers_start_end_well() -> None:
    """Also where a finding is critical: it stands in the report, and the unit has done its work."""
    shell("store1", f"systemctl start {' '.join(UNITS)}")
    assert results() == dict.fromkeys(UNITS, "success")
    segment = shell("store1", f"ls {REPOSITORY}/archive/evidence/15-1/*/*.zst | tail -2 | head -1").strip()
    with undone("store1", f"mv {segment} /root/segment", f"mv /root/segment {segment}"):
        shell("store1", "systemctl start database-backup")
        assert results() == dict.fromkeys(UNITS, "success")
        assert set(bad(program(f"{DATABASE} status"))) == {"database log archive"}
    started = {unit: shell("store1", f"journalctl --quiet --unit {unit} --output cat") for unit in UNITS}
    assert "critical: database log archive" in started["database-backup"]
    with undone("store1", "systemctl stop file-backup-retention.timer", "systemctl start file-backup-retention.timer"):
        said = bad(program(f"{FILES} run"))
    assert "nothing is let go by itself" in said["file backup retention timer"]


#: The history of a timeline comes into the archive as after a promotion. Standbys look for that of the next one only.
TIMELINE = """
cd /tmp
printf '1\\t0/3000000\\tno recovery target specified\\n' > 000000A0.history
chown postgres 000000A0.history
runuser -u postgres -- pgbackrest --stanza=evidence archive-push /tmp/000000A0.history
rm 000000A0.history
"""


def test_interruption_is_finished_by_the_next_run_from_the_standby(backup: Procedure) -> None:
    """The run that goes on makes a differential backup, of the standby, and verifies it; an incremental one follows."""
    shell("db1", f"{PSQL} 'create table payload as select generate_series(1, 20000) as a' evidence")
    options = given(database_backup_processes=1, database_backup_kind="diff")
    cut = backup.killed_at("Install certificates, configuration and program", *options)
    assert cut.killed
    assert cut.record["outcome"] == "interrupted"
    outcome = backup.run(*options)
    assert outcome.returncode == 0, outcome.output
    assert "process-max=1" in shell("store1", "cat /etc/pgbackrest/pgbackrest.conf")
    assert shell("store1", "ls /var/lib/ops-runbook/file_sets") == ""
    backed_up = [change for change in outcome.changes if change.task.split(" : ")[1].startswith("backup | ")]
    assert [(change.host, change.task.split(" : ")[0]) for change in backed_up] == [("store1", "database_backup")]

    shell("db1", f"{PSQL} 'insert into payload select generate_series(20001, 20010)' evidence")
    shell("db1", TIMELINE)
    answer = program(f"{DATABASE} run --kind incr")
    assert (answer["made"], bad(answer)) == (["incr"], {})
    made, verified = ([row for row in history() if row["event"] == event] for event in ("backup", "verified"))
    assert [row["kind"] for row in made] == ["full", "diff", "incr"]
    assert all(row["standby"] for row in made)
    assert len(verified) == len(made)
    assert verified[0]["objects"] < verified[1]["objects"] < verified[2]["objects"]
    assert [label[-1] for label in labels()] == ["F", "D", "I"]
    # It stands upon the differential one, and holds only what has changed since.
    assert references()[labels()[2]] == set(labels()[:2])


def test_verification_is_read_only_and_whole(verification: Procedure) -> None:
    before = files("store1")
    outcome = verification.run()
    # Nobody has restored a backup for a proof yet, nor read files back: that is all there is to say.
    assert outcome.bad == {
        ("store1", "restore drill"): "unknown",
        ("store1", "restore test of configuration and secrets"): "unknown",
    }, outcome.output
    assert outcome.returncode != 0
    assert outcome.changes == ()
    changed = changed_files(before, files("store1"))
    # What the database sends meanwhile is not of this run.
    assert [path for path in changed if not path.startswith(f"{REPOSITORY}/archive")] == []
    assert {"WAL archive", "stored files", "database log archive"} <= {finding["check"] for finding in outcome.findings}
    seen = [(finding["host"], finding["check"]) for finding in outcome.findings]
    assert sorted(set(seen)) == sorted(seen)


STORED = {
    "backup": "backup/evidence/*F/bundle/1",
    "manifest": "backup/evidence/*D/backup.manifest",
    "copy of the manifest": "backup/evidence/*F/backup.manifest.copy",
    "index": "backup/evidence/backup.info",
    "copy of the index": "backup/evidence/backup.info.copy",
    "index of the archive": "archive/evidence/archive.info",
    "copy of the index of the archive": "archive/evidence/archive.info.copy",
    "label of the archive": "archive/evidence/15-1/*/*.backup",
    "history of a timeline": "archive/evidence/15-1/000000A0.history",
}


@pytest.mark.parametrize("kind", STORED)
def test_flipped_byte_is_named(kind: str) -> None:
    path = shell("store1", f"ls -d {REPOSITORY}/{STORED[kind]} | head -1").strip()
    with damaged(path):
        said = bad(program(f"{DATABASE} verify"))
        assert f"changed: {path.removeprefix(REPOSITORY + '/')}" in said["database backup verification"]


@pytest.mark.parametrize("kind", ["config", "keys/*", "snapshots/*", "index/*"])
def test_flipped_byte_of_a_file_repository_is_named(kind: str) -> None:
    """What the host itself sees depends on the kind. The store names the object, and goes on to the other hosts."""
    path = shell("store1", f"ls -d /var/lib/restic/app1/{kind} | head -1").strip()
    with damaged(path):
        answer = program(f"{FILES} status")
    said = bad(answer)
    assert path.removeprefix("/var/lib/restic/") in said.pop("stored files"), answer
    assert set(said) <= {"snapshots of app1"}
    assert "snapshots of app2" in {finding["check"] for finding in answer["findings"]}


def test_deleted_and_truncated_backup_is_named() -> None:
    """The one by the hash that was noted for it, the other by its absence. Its host misses the newest snapshot."""
    deleted, truncated = shell("store1", f"ls -d {REPOSITORY}/backup/evidence/*[DI]/bundle/1").split()
    noted = [json.loads(line) for line in shell("app1", "cat /var/lib/file-backup/history.jsonl").splitlines()]
    snapshot = [row["label"] for row in noted if row.get("set") == "configuration"][-1]
    folder = "/var/lib/restic/app1/snapshots"
    with (
        undone("store1", f"mv {deleted} /root/deleted", f"mv /root/deleted {deleted}"),
        altered(truncated, 'truncate -s -1 "$file"'),
        undone("store1", f"mv {folder}/{snapshot}* /root/", f"mv /root/{snapshot}* {folder}/"),
    ):
        said = bad(program(f"{DATABASE} verify"))["database backup verification"]
        assert f"gone: {deleted.removeprefix(REPOSITORY + '/')}" in said
        assert f"changed: {truncated.removeprefix(REPOSITORY + '/')}" in said
        assert snapshot in bad(program(f"{FILES} status", "app1"))["backup of configuration"]


SNAPSHOT_PLACES = ("/var/lib/restic/db2/snapshots", "/root")


def test_damaged_and_missing_log_is_named(verification: Procedure) -> None:
    """Through the procedure: it fails, and names object and backup.

    What root on the store has forged with all notes of it there differs from what run records have seen alone.
    """
    first, newest = labels()[0], labels()[-1]
    copy = f"{REPOSITORY}/backup/evidence/{first}/backup.manifest.copy"
    snapshot = shell("store1", "ls -t /var/lib/restic/db2/snapshots | head -1").strip()
    log = shell("store1", f"ls {REPOSITORY}/archive/evidence/15-1/*/*.zst | tail -1").strip()
    pack, cut, gone = (
        shell("store1", f"ls -S /var/lib/restic/{host}/data/*/* | head -1").strip() for host in ("app1", "db1", "db2")
    )
    with forged(copy, newest):
        assert bad(program(f"{DATABASE} verify")) == {}
    with (
        forged(copy, newest),
        undone("store1", *(f"mv {one}/{snapshot} {other}/" for one, other in itertools.permutations(SNAPSHOT_PLACES))),
        damaged(log),
        damaged(pack),
        altered(cut, 'truncate -s -1 "$file"'),
        undone("store1", f"mv {gone} /root/pack", f"mv /root/pack {gone}"),
    ):
        outcome = verification.run("--limit", "app1,db1,db2,store1")
    assert outcome.returncode == 2, outcome.output
    details = {(f["host"], f["check"]): f["title"] + f["detail"] for f in outcome.findings if f["status"] != "ok"}
    assert log.rsplit("/", 1)[-1] in details["store1", "database backup verification"]
    assert pack.removeprefix("/var/lib/restic/") in details["store1", "stored files"]
    assert cut.removeprefix("/var/lib/restic/") in details["store1", "stored files"]
    for host, path in {"app1": pack, "db1": cut, "db2": gone}.items():
        assert path.rsplit("/", 1)[-1][:8] in details[host, "file backup verification"]

    recorded = details["store1", "recorded backups of database"]
    assert f"{first} was altered: it is not what run " in recorded
    assert f"{newest} is gone: run " in recorded
    assert f"{snapshot[:16]} is gone: run " in details["db2", "recorded backups of files"]
    assert ("app1", "recorded backups of files") not in details

    segments = shell("store1", f"ls {REPOSITORY}/archive/evidence/15-1/*/*.zst").split()
    with undone("store1", f"mv {segments[-2]} /root/segment", f"mv /root/segment {segments[-2]}"):
        said = bad(program(f"{DATABASE} status"))
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
    refused = shell("app1", f". {ENVIRONMENT}; export ${{!RESTIC_*}}; timeout 3 restic forget {snapshot} 2>&1 || true")
    assert "403 Forbidden" in refused
    # The lock that it has left keeps nobody from the next backup.
    assert program(f"{FILES} run --kind all", "app1")["made"] == ["application", "configuration"]
    assert bad(program(f"{FILES} verify", "app1")) == {}
    assert shell("app1", "find /etc -path '*pgbackrest*'") == ""
    again = shell("store1", "cd /var/lib/restic; find app1 app2 -type f ! -path '*/locks/*' | sort | xargs sha256sum")
    assert set(stored.splitlines()) <= set(again.splitlines())


def test_retention_takes_what_is_old_and_never_the_last_good_one() -> None:
    """Two more full backups, kept for a second: all but the last go. Nothing goes while anything is damaged."""
    settings = "/etc/ops-runbook/database_backup.json"
    for _number in range(2):
        assert program(f"{DATABASE} run --kind full")["made"] == ["full"]
    before = labels()
    assert [label[-1] for label in before] == ["F", "D", "I", "F", "F"]
    with altered(settings, 'sed -i \'s/"keep": [0-9]*/"keep": 1/\' "$file"'):
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
