"""The programs on the hosts, and what is stored on the store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.scenario import shell

HOSTS = ("proxy1", "app1", "app2", "db1", "db2", "store1")
REPOSITORY = "/var/lib/pgbackrest"
DATABASE = "runuser -u postgres -- /usr/local/lib/ops-runbook/database_backup"
FILES = "/usr/local/lib/ops-runbook/file_backup"
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
    text = shell("store1", "cd /; runuser -u postgres -- pgbackrest --stanza=evidence info --output=json")
    return [row["label"] for row in json.loads(text)[0]["backup"]]


@contextmanager
def damaged(path: str) -> Iterator[None]:
    """One byte of a stored file is another one, as long as the block lasts."""
    shell("store1", f'file="{path}"; cp -p "$file" /root/kept; {FLIP}')
    yield
    shell("store1", f'cp -p /root/kept "{path}"')
