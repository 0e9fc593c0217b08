# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The steps of a database's restore in place, each of which goes on from wherever an earlier run stopped.

The database that is replaced is not removed but moved aside. The restored one is recovered and verified while nobody
but this host's postgres can reach it, and while its log is not archived: until it is confirmed, going back to the
former one leaves no trace, neither in the archive nor for clients. Python 3.9.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import shutil
import time
import urllib.error
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Callable, Optional

from ansible.module_utils.urls import open_url
from ansible_collections.ops.runbook.plugins.module_utils.recovery_inspection import STATE, ask, modifications

#: What a restore has reached, in order.
PHASES = ("begun", "aside", "restored", "verified", "opened", "concluded")
#: Settings that recovery, a former standby or this restore leaves in postgresql.auto.conf.
RESIDUE = re.compile(
    r"^\s*(restore_command|recovery_target\w*|recovery_end_command|archive_cleanup_command|primary_conninfo"
    r"|primary_slot_name|archive_mode|archive_command)\s*=",
    re.MULTILINE,
)
#: Files with which a server does not come up as a primary.
SIGNALS = ("standby.signal", "recovery.signal")
SOCKETS = "/var/run/postgresql"
#: With this the guard of the role database_role lets a primary start that cannot ask another host.
ALONE = Path("/run/ops-runbook/start-as-primary")

Run = Callable[..., "tuple[int, str, str]"]


class RestoreError(Exception):
    """A step that did not work; the text says which and why."""


class State:
    """The file that says how far a restore has come."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    def save(self, **changes: Any) -> None:
        """Write it so that it is there as a whole or not at all."""
        self.data.update(changes)
        draft = self.path.with_suffix(".draft")
        draft.write_text(json.dumps(self.data, indent=1), encoding="utf-8")
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.replace(self.path)

    def forget(self) -> None:
        """Nothing is under way any more."""
        self.data = {}
        if self.path.exists():
            self.path.unlink()

    def reached(self, phase: str) -> bool:
        """Whether the restore has come to the phase."""
        return bool(self.data) and PHASES.index(self.data["phase"]) >= PHASES.index(phase)


@contextmanager
def under_lock(path: Path = Path(STATE)) -> Iterator[State]:
    """The state, while no other program of this host, such as one whose controller was killed, works on it."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with path.with_suffix(".lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield State(path)


class Server:
    """One server of the host, and the programs of its version."""

    def __init__(self, run: Run, cluster: Mapping[str, Any]) -> None:
        self._run = run
        self.cluster = dict(cluster)
        self.version, _slash, self.name = cluster["cluster"].partition("/")
        self.data = Path(cluster["data"])
        self.owner = cluster["owner"]
        self.unit = f"postgresql@{self.version}-{self.name}.service"

    def run(self, words: Iterable[str], what: str, *, own: bool = True, cwd: str = "/") -> str:
        """Run a program as the database's user, or as root. RestoreError with what it says where it fails."""
        prefix = ["runuser", "-u", self.owner, "--"] if own else []
        code, out, err = self._run([*prefix, *words], cwd=cwd)
        if code != 0:
            said = (err.strip() or out.strip() or f"exit status {code}")[-1500:]
            raise RestoreError(f"{what}: {said}")
        return out

    def binary(self, name: str) -> str:
        """A program of the server's version."""
        return f"/usr/lib/postgresql/{self.version}/bin/{name}"

    def setting(self, name: str) -> str:
        """A setting as the configuration has it, whether the server runs or not."""
        words = [self.binary("postgres"), "-C", name, "-D", f"/etc/postgresql/{self.version}/{self.name}"]
        return self.run(words, f"{name} cannot be read").strip()

    def ask(self, query: str, database: str = "postgres") -> str:
        """One query to the running server."""
        try:
            return ask(self.cluster, query, database)
        except RuntimeError as error:
            raise RestoreError(f"the server answers: {error}") from error

    def answers(self) -> bool:
        """Whether it runs and lets somebody in."""
        code, _out, _err = self._run([self.binary("pg_isready"), "-q", "-h", SOCKETS, "-p", str(self.cluster["port"])])
        return bool(code == 0)

    def databases(self) -> list[str]:
        """Databases with data of users."""
        found: list[str] = json.loads(
            self.ask(
                "SELECT json_agg(datname ORDER BY datname) FROM pg_database WHERE datallowconn AND NOT datistemplate"
            )
        )
        return found

    def stop(self) -> None:
        """Stop it, whoever has started it."""
        self.run(["systemctl", "stop", self.unit], "the server does not stop", own=False)
        if (self.data / "postmaster.pid").exists():
            code, _out, _err = self._run(
                ["runuser", "-u", self.owner, "--", self.binary("pg_ctl"), "-D", str(self.data), "status"], cwd="/"
            )
            if code == 0:
                self.run([self.binary("pg_ctl"), "-D", str(self.data), "-m", "fast", "-w", "-t", "300", "stop"], "stop")

    def start_alone(self, seconds: int) -> None:
        """Start it so that only this host's own users reach it, and its log is kept but not archived."""
        configuration = f"/etc/postgresql/{self.version}/{self.name}/postgresql.conf"
        options = f"-c config_file={configuration} -c listen_addresses= -c archive_command= -c hot_standby=on"
        log = self.data.parent / f"{self.name}-recovery.log"
        if log.exists():
            log.unlink()
        words = [self.binary("pg_ctl"), "-D", str(self.data), "-w", "-t", str(seconds), "-l", str(log), "-o", options]
        try:
            self.run([*words, "start"], "the restored server does not start")
        except RestoreError as error:
            tail = log.read_text(encoding="utf-8", errors="replace")[-1500:] if log.exists() else ""
            raise RestoreError(f"{error}\n{tail}".strip()) from error

    def start(self) -> None:
        """Start it for everybody."""
        self.run(["systemctl", "start", self.unit], "the server does not start", own=False)
        self.wait(self.answers, "the server to answer")

    def wait(self, condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
        """Wait until something holds. RestoreError where it does not come to that."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise RestoreError(f"waited {seconds:.0f} s for {what} in vain")
            time.sleep(0.2)

    def make_folder(self) -> None:
        """An empty data directory."""
        self.make_parent()
        self.data.mkdir(mode=0o700)
        shutil.chown(str(self.data), self.owner, self.owner)

    def make_parent(self) -> None:
        """The folder of the data directory, which is missing on a host that never had a database."""
        if not self.data.parent.exists():
            self.data.parent.mkdir(mode=0o755, parents=True)
            shutil.chown(str(self.data.parent), self.owner, self.owner)

    def clean(self, **settings: str) -> None:
        """Take what recovery left out of postgresql.auto.conf, and set these instead."""
        path = self.data / "postgresql.auto.conf"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        kept = [line for line in lines if not RESIDUE.match(line) and "by pgBackRest" not in line]
        kept += [f"{name} = '{value}'" for name, value in settings.items()]
        path.write_text("\n".join(kept) + "\n", encoding="utf-8")
        shutil.chown(str(path), self.owner, self.owner)


@contextmanager
def permitted(*, alone: bool) -> Iterator[None]:
    """Let the server start as a primary though no other host can be asked: the plan has proven that there is none."""
    if alone:
        ALONE.parent.mkdir(parents=True, exist_ok=True)
        ALONE.touch()
    try:
        yield
    finally:
        if alone:
            ALONE.unlink(missing_ok=True)


def move(server: Server, old: Path, new: Path) -> None:
    """Rename a folder; copy it where the file system cannot rename it. ``new`` is there as a whole or not at all."""
    try:
        old.rename(new)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        partial = new.with_name(f"{new.name}.partial")
        shutil.rmtree(str(partial), ignore_errors=True)
        server.run(["cp", "-a", "--reflink=auto", str(old), str(partial)], f"{old} cannot be copied", own=False)
        partial.rename(new)
        shutil.rmtree(str(old))


def counted(server: Server) -> dict[str, int]:
    """Rows of every table of users: `database.schema.table` to their number. It reads every row."""
    query = """
    SELECT coalesce(json_object_agg(format('%s.%s', schemaname, tablename), (xpath('/row/n/text()', query_to_xml(
        format('SELECT count(*) AS n FROM %I.%I', schemaname, tablename), false, true, '')))[1]::text::bigint), '{}')
    FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"""
    found: dict[str, int] = {}
    for database in server.databases():
        rows = json.loads(server.ask(query, database))
        found.update({f"{database}.{name}": int(count) for name, count in rows.items()})
    return found


class Restore:
    """A restore in place, step by step."""

    def __init__(self, server: Server, state: State, job: Mapping[str, Any]) -> None:
        self.server = server
        self.state = state
        self.job = job

    def begin(self) -> bool:
        """Write down what is meant to happen. A finished restore is forgotten by that."""
        if self.state.data and not self.state.reached("concluded"):
            return False
        aside = f"{self.server.data}.before-{self.job['run'][:8]}"
        self.state.data = {}
        self.state.save(
            phase="begun",
            wish=self.job["wish"],
            run=self.job["run"],
            estimate=self.job["estimate"],
            aside=aside,
            began=time.time(),
            rows={},
            copies=self.job.get("copies", []),
        )
        return True

    @property
    def aside(self) -> Path:
        """Where the database is that is replaced."""
        return Path(self.state.data["aside"])

    def restore(self) -> bool:
        """Move the database aside, and fetch the backup in its place."""
        self.begin()
        if self.state.reached("restored"):
            return False
        server = self.server
        if not self.aside.exists():
            if server.answers() and self.state.data["estimate"].get("live"):
                self._mark()
            self.state.save(stopped=time.time())
            server.stop()
            if server.data.exists():
                move(server, server.data, self.aside)
            else:
                server.make_parent()
                self.aside.mkdir(mode=0o700)
            self.state.save(phase="aside")
        server.stop()
        if server.data.exists():
            shutil.rmtree(str(server.data))  # what an interrupted restore has left
        server.make_folder()
        fetch(server, self.job["stanza"], self.state.data["estimate"])
        self.state.save(phase="restored", fetched=time.time())
        return True

    def _mark(self) -> None:
        """Note the former content, and have everything until now in the archive, so that it can be restored too."""
        server = self.server
        with suppress(RestoreError):  # a damaged table is a reason to restore it
            self.state.save(rows=counted(server), live=True)
        try:
            archive_everything(server, f"before restore {self.state.data['run'][:8]}")
        except RestoreError:
            if self.state.data["estimate"].get("live") == "needed":
                raise

    def verify(self) -> bool:
        """Recover to the target, and read everything. The server is left running, for this host alone."""
        if self.state.reached("verified"):
            return False
        server = self.server
        if not server.answers():
            self._recover()
        # Recovery that has ended writes the new timeline into the control file only with the next checkpoint.
        server.ask("CHECKPOINT")
        rows = counted(server)
        self._checked()
        for query in self.job.get("queries", []):
            server.ask(query["query"], query["database"])
        last = server.ask("SELECT coalesce(extract(epoch FROM pg_last_xact_replay_timestamp()), 0)")
        timeline = server.ask("SELECT timeline_id FROM pg_control_checkpoint()")
        self.state.save(
            phase="verified",
            restored_rows=rows,
            last_transaction=float(last),
            timeline=int(timeline),
            verified=time.time(),
        )
        return True

    def _recover(self) -> None:
        seconds = int(self.job.get("seconds", 3600))
        try:
            self.server.start_alone(seconds)
        except RestoreError as error:
            if "before configured recovery target was reached" not in str(error):
                raise
            # Nothing was written after the target: all of the archive is what was asked for.
            self.server.clean()
            path = self.server.data / "postgresql.auto.conf"
            stanza = self.job["stanza"]
            with path.open("a", encoding="utf-8") as file:
                file.write(f"restore_command = 'pgbackrest --stanza={stanza} archive-get %f \"%p\"'\n")
            self.server.start_alone(seconds)
        self.server.wait(lambda: self.server.ask("SELECT pg_is_in_recovery()") == "f", "the end of recovery", seconds)

    def _checked(self) -> None:
        """Read every page of every table and index with amcheck, where its extension can be had."""
        verify_pages(self.server)

    def open(self) -> bool:
        """Let clients in; the log is still kept from the archive."""
        if self.state.reached("opened"):
            return False
        server = self.server
        self._lock_out_standbys()
        server.stop()
        server.clean(archive_command="")
        for name in SIGNALS:
            with suppress(FileNotFoundError):
                (server.data / name).unlink()
        with permitted(alone=bool(self.job.get("alone"))):
            server.start()
        requests(self.job.get("requests", []))
        self.state.save(phase="opened", opened=time.time())
        return True

    def _lock_out_standbys(self) -> None:
        """Keep replicas away until the database is kept: one that has heard of its timeline cannot go back."""
        server = self.server
        if not server.answers():
            server.start_alone(int(self.job.get("seconds", 3600)))
        if "replicators" not in self.state.data:
            query = "SELECT coalesce(json_agg(quote_ident(rolname)), '[]') FROM pg_roles"
            found = server.ask(f"{query} WHERE rolreplication AND rolcanlogin AND NOT rolsuper")
            self.state.save(replicators=json.loads(found))
        for role in self.state.data["replicators"]:
            server.ask(f"ALTER ROLE {role} NOLOGIN")

    def conclude(self) -> bool:
        """Archive again, give the standbys their slots, and remove copies that are too old."""
        if self.state.reached("concluded"):
            return False
        server = self.server
        for name in self.job.get("slots", []):
            server.ask(
                f"SELECT pg_create_physical_replication_slot('{name}', true)"  # noqa: S608 - the configuration's name
                f" WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = '{name}')"
            )
        for role in self.state.data.get("replicators", []):
            server.ask(f"ALTER ROLE {role} LOGIN")
        server.clean()
        server.ask("SELECT pg_reload_conf()")
        segment = server.ask("SELECT pg_walfile_name(pg_switch_wal())")
        query = "SELECT coalesce(last_archived_wal, '') FROM pg_stat_archiver"
        archiving = ""
        try:
            server.wait(lambda: server.ask(query)[:24] >= segment, f"segment {segment} to be archived", 60)
        except RestoreError as error:
            archiving = str(error)  # no reason to take a good database back, but one to look at its archive
        copies = [*self.state.data.get("copies", []), str(self.aside)]
        if self.aside.exists() and not any(self.aside.iterdir()):
            self.aside.rmdir()  # there was no database before
            copies.pop()
        keep = max(1, int(self.job.get("keep", 1)))
        for old in copies[:-keep]:
            if Path(old).name.startswith(f"{server.data.name}.before-"):
                shutil.rmtree(old, ignore_errors=True)
        self.state.save(
            phase="concluded",
            concluded=time.time(),
            copies=copies[-keep:],
            archiving=archiving,
            modified=modifications(server.cluster, server.databases()),
        )
        return True

    def rollback(self) -> bool:
        """Bring the former database back, as if nothing had been."""
        if not self.state.data or self.state.reached("concluded"):
            return False
        server = self.server
        if self.aside.exists():
            server.stop()
            if server.data.exists():
                shutil.rmtree(str(server.data))
            if any(self.aside.iterdir()):
                move(server, self.aside, server.data)
            else:
                self.aside.rmdir()  # there was no database before
        if (server.data / "PG_VERSION").exists():
            server.start()
        self.state.forget()
        return True


def archive_everything(server: Server, point: str) -> None:
    """Have all that was written until now in the archive, and a restore point with this name at its end."""
    server.ask(f"SELECT pg_create_restore_point('{point}')")
    # A transaction after all others: recovery to a time needs one beyond it to know that the time is over.
    server.ask("SELECT pg_current_xact_id()")
    segment = server.ask("SELECT pg_walfile_name(pg_switch_wal())")
    query = "SELECT coalesce(last_archived_wal, '') FROM pg_stat_archiver"
    # A history or backup file may be the last; it sorts before the segments of its timeline.
    server.wait(
        lambda: server.ask(query)[:24] >= segment, f"segment {segment} to be archived; see its archive_command", 120
    )


def fetch(server: Server, stanza: str, estimate: Mapping[str, Any], *extra: str) -> None:
    """Let pgBackRest restore into the server's data directory, which is empty."""
    words = ["pgbackrest", f"--stanza={stanza}", "--log-level-console=error", f"--pg1-path={server.data}"]
    words += [f"--set={estimate['backup']}", f"--target-timeline={estimate['timeline']}"]
    if estimate["target_type"] != "default":
        words += [f"--type={estimate['target_type']}", f"--target={estimate['target']}", "--target-action=promote"]
    server.run([*words, *extra, "restore"], "pgBackRest cannot restore")


def verify_pages(server: Server) -> None:
    """Run pg_amcheck on all databases. The extension that it needs is removed again where it was not there before."""
    new = [
        name
        for name in server.databases()
        if server.ask("SELECT count(*) FROM pg_extension WHERE extname = 'amcheck'", name) == "0"
    ]
    words = [server.binary("pg_amcheck"), "-h", SOCKETS, "-p", str(server.cluster["port"]), "--install-missing"]
    server.run([*words, "--all", "--heapallindexed"], "pg_amcheck finds the restored database damaged")
    for name in new:
        server.ask("DROP EXTENSION IF EXISTS amcheck", name)


def requests(urls: Iterable[str], seconds: float = 60) -> None:
    """Ask the application; every address has to answer with success in the end."""
    for url in urls:
        deadline, said = time.monotonic() + seconds, ""
        while True:
            try:
                open_url(url, timeout=20).close()
                break
            except (urllib.error.URLError, OSError) as error:
                said = str(error)
            if time.monotonic() > deadline:
                raise RestoreError(f"the application does not work with the restored database: {url}: {said}")
            time.sleep(0.5)


def follow(server: Server, job: Mapping[str, Any]) -> bool:
    """Make the standby a copy of the restored primary, beside its former data, which is kept until it follows."""
    if following(server, job):
        return False
    aside = server.data.with_name(f"{server.data.name}.before-{job['run'][:8]}")
    server.stop()
    if server.data.exists():
        if aside.exists():
            shutil.rmtree(str(server.data))
        else:
            move(server, server.data, aside)
    server.make_folder()
    conninfo = job["conninfo"] or server.setting("primary_conninfo")
    if not conninfo:
        raise RestoreError("primary_conninfo is empty in the host's configuration: it does not know whom to follow")
    words = [server.binary("pg_basebackup"), f"--dbname={conninfo}", f"--pgdata={server.data}"]
    name = job["slot"] or server.setting("primary_slot_name")
    slot = [f"--slot={name}"] if name else []
    server.run([*words, *slot, "--wal-method=stream", "--checkpoint=fast"], "the primary cannot be copied")
    server.clean()
    signal = server.data / "standby.signal"
    signal.touch(mode=0o600)
    shutil.chown(str(signal), server.owner, server.owner)
    server.start()
    server.wait(lambda: following(server, job), "the standby to stream from its primary", 120)
    for old in server.data.parent.glob(f"{server.data.name}.before-*"):
        shutil.rmtree(str(old))
    return True


def following(server: Server, job: Mapping[str, Any]) -> bool:
    """Whether it streams along the primary's timeline."""
    if not server.answers():
        return False
    query = "SELECT coalesce(max(received_tli), 0) FROM pg_stat_wal_receiver WHERE status = 'streaming'"
    with suppress(RestoreError):
        return server.ask("SELECT pg_is_in_recovery()") == "t" and int(server.ask(query)) >= int(job["timeline"])
    return False


def times(state: Mapping[str, Any]) -> dict[str, Optional[float]]:
    """How long the parts of a restore took, in seconds."""
    found: dict[str, Optional[float]] = {}
    for first, second in (("stopped", "fetched"), ("fetched", "verified"), ("verified", "opened")):
        if first in state and second in state:
            found[second] = round(state[second] - state[first], 1)
    if "stopped" in state and "opened" in state:
        found["away"] = round(state["opened"] - state["stopped"], 1)
    return found
