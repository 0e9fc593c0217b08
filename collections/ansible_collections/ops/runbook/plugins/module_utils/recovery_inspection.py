# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host knows about restoring its database: the server, its files, room, the backups that it can reach.

Runs on managed hosts: Python 3.9, the standard library alone. It is sent through a pipe, so it imports nothing of this
collection; it reads, and changes nothing.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Optional

MARK = "OPS_RUNBOOK_RECOVERY "
#: Where a restore keeps what it has done so far.
STATE = "/var/lib/ops-runbook/restore/state.json"
#: How many segments of the archive are read to find a named restore point.
MOST_SEGMENTS = 2000
#: With this `timeout` ends where it had to end its program; with this pgBackRest marks a repository that fails.
_OVERDUE = 124
_FAILS = 99
_POINT = re.compile(r"lsn: ([0-9A-F]+/[0-9A-F]+),.*desc: RESTORE_POINT (.*)$", re.MULTILINE)
_SEGMENT = re.compile(r"([0-9A-F]{24})")
#: Where pgBackRest is configured; what it says of the store, and how long that may take to answer, in seconds.
CONFIGURATIONS = ("/etc/pgbackrest/pgbackrest.conf", "/etc/pgbackrest.conf")
_STORE = re.compile(r"^[ \t]*repo1-(host|host-type|host-port)[ \t]*=(.*)$", re.MULTILINE)
_CONNECTS = 10.0

_SERVER = """
SELECT json_build_object(
  'recovery', pg_is_in_recovery(),
  'archive_mode', current_setting('archive_mode'),
  'archived', (SELECT coalesce(extract(epoch FROM last_archived_time), 0) FROM pg_stat_archiver),
  'archive_timeout', (SELECT setting::int FROM pg_settings WHERE name = 'archive_timeout'),
  'archive_fails', (SELECT coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false)
     FROM pg_stat_archiver),
  'waiting', (SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'),
  'segment_bytes', (SELECT bytes_per_wal_segment FROM pg_control_init()),
  'timeline', (SELECT timeline_id FROM pg_control_checkpoint()),
  'databases', (SELECT json_agg(datname ORDER BY datname) FROM pg_database WHERE datallowconn AND NOT datistemplate),
  'standbys', (SELECT coalesce(json_agg(application_name), '[]') FROM pg_stat_replication WHERE state = 'streaming')
)"""
_ROWS = """
SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0) FROM pg_stat_user_tables
"""


def _run(words: list[str], owner: str = "", seconds: float = 120) -> subprocess.CompletedProcess[str]:
    prefix = ["runuser", "-u", owner, "--"] if owner else []
    # pylint: disable-next=ansible-bad-function
    return subprocess.run(
        [*prefix, *words], cwd="/", capture_output=True, text=True, check=False, timeout=seconds, errors="replace"
    )


def clusters() -> list[dict[str, Any]]:
    """The servers that Debian's list has."""
    try:
        listing = _run(["pg_lsclusters", "--no-header"]).stdout
    except FileNotFoundError:
        return []
    found = []
    for line in listing.splitlines():
        version, name, port, status, owner, data = line.split()[:6]
        running = status.startswith("online")
        owner = "postgres" if owner.startswith("<") else owner  # unknown where the data directory is not there
        found.append({"cluster": f"{version}/{name}", "port": port, "running": running, "owner": owner, "data": data})
    return found


def ask(cluster: dict[str, Any], query: str, database: str = "postgres") -> str:
    """One query to a server that runs. RuntimeError with what it says."""
    words = [
        "psql",
        "-X",
        "--quiet",
        "--no-align",
        "--tuples-only",
        f"--port={cluster['port']}",
        f"--dbname={database}",
    ]
    done = _run([*words, "--set=ON_ERROR_STOP=1", "--command", query], cluster["owner"])
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip()[:500])
    return done.stdout.strip()


def modifications(cluster: dict[str, Any], databases: list[str]) -> int:
    """How many rows of users' tables were changed, as the statistics say."""
    return sum(int(ask(cluster, _ROWS, database)) for database in databases)


def _pgbackrest(owner: str, *words: str) -> str:
    # Itself it tries a store that does not answer for minutes; and it outlives the program that has started it.
    patience = ["timeout", "60", "pgbackrest", "--io-timeout=10"]
    done = _run([*patience, "--log-level-console=off", "--log-level-stderr=error", *words], owner)
    if done.returncode == _OVERDUE:
        raise RuntimeError("it did not answer within 60 s")
    if done.returncode != 0:
        raise RuntimeError((done.stderr or done.stdout).strip()[-800:] or f"pgbackrest ended with {done.returncode}")
    return done.stdout


def unreachable(paths: tuple[str, ...] = CONFIGURATIONS) -> str:
    """Why nobody answers at the store's port, where it is reached by TLS; empty where somebody does."""
    text = "".join(Path(path).read_text(encoding="utf-8", errors="replace") for path in paths if Path(path).exists())
    found = {name: value.strip() for name, value in _STORE.findall(text)}
    if found.get("host-type") != "tls" or not found.get("host"):
        return ""
    address = found["host"], int(found.get("host-port") or 8432)
    try:
        socket.create_connection(address, _CONNECTS).close()
    except OSError as error:
        return f"the store {address[0]} does not answer at port {address[1]}: {error}"
    return ""


def information(owner: str, stanza: str) -> list[dict[str, Any]]:
    """What pgBackRest says of the stanza. RuntimeError where its store does not answer: it exits with 0 even then."""
    silent = unreachable()
    if silent:
        raise RuntimeError(silent)
    found: list[dict[str, Any]] = json.loads(_pgbackrest(owner, f"--stanza={stanza}", "--output=json", "info"))
    for repository in (item for entry in found for item in entry["repo"]):
        if repository["status"]["code"] == _FAILS:
            raise RuntimeError(repository["status"]["message"])
    return found


def _repository(cluster: dict[str, Any], stanza: str) -> dict[str, Any]:
    owner = cluster["owner"]
    told: dict[str, Any] = {"info": information(owner, stanza)}
    archives = [archive for item in told["info"] if item["name"] == stanza for archive in item["archive"]]
    newest = max((item["database"]["id"] for item in archives), default=0)
    told["listing"] = {}
    for item in archives:
        if item["database"]["id"] == newest:
            text = _pgbackrest(
                owner, f"--stanza={stanza}", "repo-ls", f"archive/{stanza}/{item['id']}", "--recurse", "--output=json"
            )
            told["listing"] = {name: row for name, row in json.loads(text).items() if row["type"] == "file"}
    names = [name for name in told["listing"] if name.endswith(".history")]
    told["histories"] = {name: fetch(cluster, stanza, name).decode("ascii", "replace") for name in names}
    return told


def _backed_up(cluster: dict[str, Any], stanza: str, info: list[dict[str, Any]]) -> list[str]:
    """The databases in the newest backup."""
    labels = [backup["label"] for item in info if item["name"] == stanza for backup in item["backup"]]
    if not labels:
        return []
    words = (f"--stanza={stanza}", "--output=json", f"--set={labels[-1]}", "info")
    backups = [backup for item in json.loads(_pgbackrest(cluster["owner"], *words)) for backup in item["backup"]]
    return sorted(row["name"] for backup in backups for row in backup.get("database-ref") or [])


def fetch(cluster: dict[str, Any], stanza: str, name: str) -> bytes:
    """A file of the archive. It passes through a folder that is gone afterwards."""
    folder = tempfile.mkdtemp(prefix="ops-runbook-wal-")
    try:
        shutil.chown(folder, cluster["owner"])
        _pgbackrest(cluster["owner"], f"--stanza={stanza}", "archive-get", name, f"{folder}/{name}")
        return Path(folder, name).read_bytes()
    finally:
        shutil.rmtree(folder)


def _points(cluster: dict[str, Any], stanza: str, told: dict[str, Any], name: str) -> dict[str, str]:
    """Names of restore points to their positions; it ends when the wanted one is found. The newest come first."""
    found: dict[str, str] = {}
    local = Path(cluster["data"], "pg_wal")
    there = local.iterdir() if local.is_dir() else ()
    paths = sorted((p for p in there if _SEGMENT.fullmatch(p.name)), key=lambda p: p.name[8:], reverse=True)
    for path in paths:
        _look(cluster, path, found)
        if name in found:
            return found
    archived = {match[1] for entry in told["listing"] if (match := _SEGMENT.search(entry.rpartition("/")[2]))}
    names = sorted(archived - {path.name for path in paths}, key=lambda item: item[8:], reverse=True)
    folder = Path(tempfile.mkdtemp(prefix="ops-runbook-wal-"))
    try:
        for segment in names[:MOST_SEGMENTS]:
            path = folder / segment
            path.write_bytes(fetch(cluster, stanza, segment))
            _look(cluster, path, found)
            path.unlink()
            if name in found:
                break
    finally:
        shutil.rmtree(folder)
    return found


def _look(cluster: dict[str, Any], path: Path, found: dict[str, str]) -> None:
    binary = f"/usr/lib/postgresql/{cluster['cluster'].partition('/')[0]}/bin/pg_waldump"
    # It ends with an error where the segment is not full; what it has printed until then is all there is.
    said = _run([binary, "--rmgr=XLOG", str(path)]).stdout
    found.update({name: lsn for lsn, name in _POINT.findall(said)})


def _room(data: Path) -> tuple[int, int]:
    """Bytes that are free beside the data directory, and those that are in it."""
    where = data.parent if data.parent.is_dir() else Path("/")
    done = _run(["du", "-sb", str(data)])
    used = int(done.stdout.split()[0]) if done.stdout else 0
    return shutil.disk_usage(str(where)).free, used


def inspect(job: dict[str, Any]) -> dict[str, Any]:
    """Everything that the plan of a restore needs to know of this host."""
    if job.get("scratch"):
        return _scratch(job)
    found = clusters()
    wanted = job.get("cluster")
    chosen = [item for item in found if not wanted or item["cluster"] == wanted]
    told: dict[str, Any] = {"time": time.time(), "clusters": [item["cluster"] for item in found], "errors": []}
    told["state"] = _state()
    if len(chosen) != 1:
        return told
    cluster = chosen[0]
    data = Path(cluster["data"])
    told.update(cluster, mounted=os.path.ismount(str(data)), standby=(data / "standby.signal").exists())
    told["exists"] = (data / "PG_VERSION").exists()
    told["free"], told["used"] = _room(data)
    told["server"] = _server(cluster, told)
    told["conninfo"], told["slot"] = (_setting(cluster, name) for name in ("primary_conninfo", "primary_slot_name"))
    if job.get("repository", True):
        try:
            told.update(_repository(cluster, job["stanza"]))
            if job.get("database"):
                told["backed_up"] = _backed_up(cluster, job["stanza"], told["info"])
            if job.get("point"):
                told["points"] = _points(cluster, job["stanza"], told, job["point"])
        except (RuntimeError, OSError, ValueError, subprocess.TimeoutExpired) as error:
            told["errors"].append(_unreadable(job["stanza"], error))
    return told


def _unreadable(stanza: str, error: Exception) -> str:
    """Why nothing is known of the stanza: the store denies what it has not as it denies what is not for this host."""
    if "access denied" in str(error):
        return f"stanza {stanza!r} cannot be read: the store has none of that name for this host ({error})"
    return f"the store cannot be asked: {error}"


def _scratch(job: dict[str, Any]) -> dict[str, Any]:
    """What a host has on which a backup is restored to see whether it can be."""
    folder = Path(job["scratch"])
    parent = next(path for path in (folder, *folder.parents) if path.is_dir())
    mine = (folder / ".ops-runbook-rehearsal").exists()
    told: dict[str, Any] = {
        "free": shutil.disk_usage(str(parent)).free,
        "versions": sorted(path.parent.parent.name for path in Path("/usr/lib/postgresql").glob("*/bin/postgres")),
        "holds": [] if mine or not folder.is_dir() else sorted(path.name for path in folder.iterdir())[:5],
        "errors": [],
    }
    try:
        information("postgres", job["stanza"])
    except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
        told["errors"].append(_unreadable(job["stanza"], error))
    return told


def _server(cluster: dict[str, Any], told: dict[str, Any]) -> Optional[dict[str, Any]]:
    if not cluster["running"]:
        return None
    try:
        server: dict[str, Any] = json.loads(ask(cluster, _SERVER))
        server["modified"] = modifications(cluster, server["databases"] or [])
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        told["trouble"] = str(error)  # a damaged server is a reason to restore it, not one to refuse that
        return None
    return server


def _setting(cluster: dict[str, Any], name: str) -> str:
    """A setting as the configuration has it, whether the server runs or not."""
    version, _slash, cluster_name = cluster["cluster"].partition("/")
    binary = f"/usr/lib/postgresql/{version}/bin/postgres"
    return _run(
        [binary, "-C", name, "-D", f"/etc/postgresql/{version}/{cluster_name}"], cluster["owner"]
    ).stdout.strip()


def _state() -> Optional[dict[str, Any]]:
    path = Path(STATE)
    if not path.exists():
        return None
    state: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return state


def main(job: dict[str, Any]) -> None:
    """Print what was found."""
    # It is no module, but a program of its own. pylint: disable-next=ansible-bad-function
    print(MARK + json.dumps(inspect(job)))
