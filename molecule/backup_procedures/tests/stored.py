"""The programs on the hosts, and what is stored on the store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from tests.scenario import shell

HOSTS = ("proxy1", "app1", "app2", "db1", "db2", "store1")
REPOSITORY = "/var/lib/pgbackrest"
DATABASE = "runuser -u postgres -- /usr/local/lib/ops-runbook/database_backup"
FILES = "/usr/local/lib/ops-runbook/file_backup"
DRILLS = "/var/lib/restore-drills"
PSQL = "runuser -u postgres -- psql -XAtqc"
FLIP = """python3 - "$file" <<'END'
import os, sys
with open(sys.argv[1], "r+b") as file:
    file.seek(os.path.getsize(sys.argv[1]) // 2)
    byte = file.read(1)[0]
    file.seek(-1, 1)
    file.write(bytes([byte ^ 1]))
END
"""

#: The notes say of the altered file what it is now, and nothing of the removed backup.
FORGE = """python3 - <<'END'
import hashlib, json, pathlib
noted, file = pathlib.Path("{noted}"), pathlib.Path("{file}")
content = file.read_bytes()
known = json.loads(noted.read_text())
name = str(file.relative_to("{root}"))
assert name in known
known[name] = len(content), hashlib.sha256(content).hexdigest()
noted.write_text(json.dumps({{name: row for name, row in known.items() if "/{removed}/" not in name}}))
END
"""


def program(command: str, host: str = "store1") -> dict[str, Any]:
    """What a program on a host answers, however it ends."""
    answer: dict[str, Any] = json.loads(shell(host, f"cd /; {command} 2>/dev/null || true").splitlines()[-1])
    return answer


def bad(answer: dict[str, Any]) -> dict[str, str]:
    """Check → title and detail of every finding that is not ok."""
    found = answer.get("findings", ())
    return {f["check"]: f"{f['title']}\n{f.get('detail', '')}" for f in found if f["status"] != "ok"}


def history() -> list[dict[str, Any]]:
    """What the store has noted about the backups of the database."""
    return [json.loads(line) for line in shell("store1", "cat /var/lib/database-backup/history.jsonl").splitlines()]


def labels() -> list[str]:
    """The backups that pgBackRest lists, oldest first."""
    return list(references())


def references() -> dict[str, set[str]]:
    """Backups, oldest first → those that each of them cannot be restored without."""
    text = shell("store1", "cd /; runuser -u postgres -- pgbackrest --stanza=evidence info --output=json")
    return {row["label"]: set(row.get("reference") or ()) for row in json.loads(text)[0]["backup"]}


@contextmanager
def altered(path: str, script: str, host: str = "store1") -> Iterator[None]:
    """A file, ``$file`` of the script, is another one as long as the block lasts, however that ends."""
    kept = f"/root/kept{path.replace('/', '-')}"
    shell(host, f'cp -p "{path}" {kept}')
    try:
        shell(host, f'file="{path}"; {script}')
        yield
    finally:
        shell(host, f'cp -p {kept} "{path}"')


@contextmanager
def forged(altered_file: str, removed: str) -> Iterator[None]:
    """Root on the store alters a file of one backup and removes another one, with all that is noted of them there."""
    backups, noted = f"{REPOSITORY}/backup", "/var/lib/database-backup/objects.json"
    shell("store1", f"cp -a {backups} /root/backups")
    try:
        with altered(noted, ":"):
            shell("store1", f'file="{altered_file}"; {FLIP}')
            shell("store1", f"cd /; runuser -u postgres -- pgbackrest --stanza=evidence expire --set={removed}")
            shell("store1", FORGE.format(noted=noted, file=altered_file, root=REPOSITORY, removed=removed))
            yield
    finally:
        shell("store1", f"rm -r {backups}; mv /root/backups {backups}")


def damaged(path: str) -> AbstractContextManager[None]:
    """One byte of a stored file is another one."""
    return altered(path, FLIP)


@contextmanager
def undone(host: str, script: str, way_back: str) -> Iterator[None]:
    """What a script does on a host, undone by another one, however the block ends."""
    shell(host, script)
    try:
        yield
    finally:
        shell(host, way_back)
