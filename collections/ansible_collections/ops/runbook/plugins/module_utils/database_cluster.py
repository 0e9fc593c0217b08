# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One PostgreSQL cluster of a host, as Debian packages it: what it is now, and fencing, starting and stopping it.

Runs on managed hosts: Python 3.9, the standard library alone. An inspection also sends it through a pipe, so it imports
nothing of this collection.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

#: Where a host keeps what procedures have to know about its databases.
KEPT = Path("/var/lib/ops-runbook/database")
FENCED = "disabled"
#: How much of the server's log is searched for the moment at which the primary was lost, in bytes.
LOOK_BACK = 4 * 1024 * 1024
#: What keeps an old primary from starting as one after a boot.
GUARD = ("/usr/local/sbin/database-start-guard", "/etc/systemd/system/postgresql@.service.d/ops-runbook-guard.conf")
_FENCE = """\
# Fenced: another host is the primary, or is about to be. The procedure disaster_recovery_failback brings this one back
# as its standby; starting it by hand would split the data in two.
# {reason}
disabled
"""
#: What ALTER SYSTEM may have left behind and a rewind or copy brings along: it would name the wrong source.
_RESIDUE = re.compile(r"^\s*(primary_conninfo|primary_slot_name|recovery_target\w*)\b", re.IGNORECASE)
_STATE = """
SELECT json_build_object(
  'role', CASE WHEN pg_is_in_recovery() THEN 'standby' ELSE 'primary' END,
  'lsn', CASE WHEN pg_is_in_recovery() THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
    ELSE pg_current_wal_lsn() END,
  'replay_lsn', CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,
  'read_only', current_setting('default_transaction_read_only') = 'on',
  'streaming', EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming'),
  'standbys', (SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'),
  'lag_bytes', (SELECT coalesce(max(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)), 0) FROM pg_stat_replication
    WHERE NOT pg_is_in_recovery()),
  'transaction_seconds', (SELECT coalesce(max(extract(epoch FROM now() - xact_start)), 0)
     FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()),
  'stray_slots', (SELECT count(*) FROM pg_replication_slots WHERE pg_is_in_recovery() AND NOT active),
  'last_commit', extract(epoch FROM pg_last_xact_replay_timestamp()),
  'system', (SELECT system_identifier::text FROM pg_control_system()))
"""
_LOST_SOURCE = re.compile(
    r"^(?P<time>\S+ \S+ \S+) .*(?:could not receive data from WAL stream|replication terminated by primary server"
    r"|could not send end-of-streaming|terminating walreceiver)"
)
_NOT_YET = re.compile(
    "FATAL:  the database system is (?:starting up|not yet accepting connections)"
    "|DETAIL:  (?:Consistent recovery state has not been yet reached|Hot standby mode is disabled)"
)
_STREAMS = re.compile("restarted WAL streaming|started streaming WAL")


class ClusterError(Exception):
    """The cluster is not what it has to be, or does not do what it was told."""


def call(words: Sequence[str], timeout: float = 60.0, text: str = "") -> "subprocess.CompletedProcess[str]":
    """Run a program; whoever calls judges how it ended."""
    try:
        # pylint: disable-next=ansible-bad-function
        return subprocess.run(
            list(words),
            cwd="/",
            input=text,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            universal_newlines=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ClusterError("{0} did not end within {1:g} s".format(" ".join(words[:6]), timeout)) from error


def checked(words: Sequence[str], timeout: float = 60.0) -> str:
    """The output of a program that has to succeed."""
    done = call(words, timeout)
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip())[-1500:]
        raise ClusterError("{0} ended with {1}: {2}".format(" ".join(words[:6]), done.returncode, said))
    return done.stdout


class Cluster:
    """A cluster by its version and name."""

    def __init__(self, version: str, name: str = "main") -> None:
        self.version, self.name = version, name
        self.configuration = Path("/etc/postgresql") / version / name
        self.programs = Path("/usr/lib/postgresql") / version / "bin"
        self.unit = "postgresql@{0}-{1}.service".format(version, name)
        listing = checked(["pg_lsclusters", "--no-header"]).splitlines()
        mine = [line.split() for line in listing if line.split()[:2] == [version, name]]
        if not mine:
            known = ", ".join("/".join(line.split()[:2]) for line in listing) or "none"
            raise ClusterError("there is no cluster {0}/{1} on this host, only {2}".format(version, name, known))
        fields = mine[0]
        # The owner of a cluster whose data is gone is not known.
        self.port, self.owner, self.data = fields[2], fields[4], Path(fields[5])
        if self.owner == "<unknown>":
            self.owner = "postgres"

    # What it is

    @property
    def runs(self) -> bool:
        """Whether a server process has its data open."""
        try:
            pid = int((self.data / "postmaster.pid").read_text(encoding="utf-8").split("\n", 1)[0])
            command = Path("/proc/{0}/cmdline".format(pid)).read_bytes()
        except (FileNotFoundError, NotADirectoryError, ProcessLookupError, ValueError):
            return False
        # After a power cut the number may be that of any other program.
        return command.split(b"\0")[0].endswith(b"/postgres")

    @property
    def fenced(self) -> bool:
        """Whether it is kept from starting."""
        try:
            lines = (self.configuration / "start.conf").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return False
        return FENCED in [line.strip() for line in lines if not line.startswith("#")]

    @property
    def follows(self) -> bool:
        """Whether it starts as a standby."""
        return (self.data / "standby.signal").exists()

    def as_owner(self, *words: str) -> List[str]:
        """The command line that runs a program as the owner of the data."""
        return ["runuser", "-u", self.owner, "--", *words]

    def query(self, sql: str, database: str = "postgres", timeout: float = 30.0) -> str:
        """The answer to a query, without headings."""
        psql = ["psql", "--no-psqlrc", "-qAt", "--set=ON_ERROR_STOP=1", "--port", self.port, "--dbname", database]
        return checked(self.as_owner("env", "PGCONNECT_TIMEOUT=5", *psql, "--command", sql), timeout).strip()

    def setting(self, name: str) -> str:
        """A setting as the files have it, whether the server runs or not."""
        words = [str(self.programs / "postgres"), "-D", str(self.configuration), "-C", name]
        return checked(self.as_owner(*words)).strip()

    def control(self) -> Dict[str, str]:
        """The control file: what pg_controldata prints."""
        words = ["env", "LC_ALL=C", str(self.programs / "pg_controldata"), str(self.data)]
        lines = checked(self.as_owner(*words)).splitlines()
        pairs = [line.split(":", 1) for line in lines if ":" in line]
        return {key.strip(): value.strip() for key, value in pairs}

    def state(self) -> Dict[str, Any]:
        """All that a plan needs to know; never fails because the server is down or does not answer."""
        found: Dict[str, Any] = {"role": "stopped", "fenced": self.fenced, "follows": self.follows, "runs": self.runs}
        found["guard"] = guard()
        if found["runs"]:
            try:
                found.update(json.loads(self.query(_STATE, timeout=10.0)))
            except ClusterError as error:
                found.update(role="unresponsive", error=str(error))
        if found["role"] == "stopped":
            try:
                control = self.control()
            except ClusterError as error:
                return {**found, "error": str(error)}
            found["system"] = control["Database system identifier"]
            found["clean"] = control["Database cluster state"] in ("shut down", "shut down in recovery")
            found["checkpoint"] = control["Latest checkpoint location"]
        found["outage"] = self.outage(found["role"])
        found["slot"] = self.setting("primary_slot_name")
        source = self.setting("primary_conninfo")
        found["source"] = bool(source)
        found["source_answers"] = found["role"] == "standby" and bool(source) and self._answers(source)
        return found

    def _answers(self, server: str) -> bool:
        """Whether a server accepts connections now; a receiver goes on believing in a dead one for a minute."""
        try:
            return (
                call(
                    self.as_owner("pg_isready", "--quiet", "--timeout=3", "--dbname", f"{server} dbname=postgres"), 10.0
                ).returncode
                == 0
            )
        except ClusterError:
            return False

    def outage(self, role: str) -> Optional[float]:
        """Since when, in seconds of the epoch, the primary is away, as far as this host can tell."""
        if role == "stopped":
            shown = checked(["systemctl", "show", self.unit, "--property=InactiveEnterTimestampMonotonic", "--value"])
            moment = int(shown.strip() or 0) / 1e6
            return time.time() - (time.clock_gettime(time.CLOCK_MONOTONIC) - moment) if moment else None
        return self._lost_source() if role == "standby" else None

    def _lost_source(self) -> Optional[float]:
        """When this standby lost its primary; none while it has one."""
        path = Path("/var/log/postgresql/postgresql-{0}-{1}.log".format(self.version, self.name))
        if not path.exists():
            return None
        found = ""
        with path.open("rb") as log:
            log.seek(max(path.stat().st_size - LOOK_BACK, 0))
            lines = log.read().decode(errors="replace").splitlines()
        for line in lines:
            if _STREAMS.search(line):
                found = ""
            elif not found:
                match = _LOST_SOURCE.match(line)
                found = match.group("time") if match else ""
        if not found or not re.match(r"[\d:. A-Z+-]+$", found):
            return None
        # Only what a time consists of has passed the pattern above.
        return float(self.query("SELECT extract(epoch FROM '{0}'::timestamptz)".format(found)))  # noqa: S608

    # What is done to it

    def fence(self, reason: str) -> bool:
        """Keep it from starting; whether that is new. The first step, so that nothing starts what is being stopped."""
        if self.fenced:
            return False
        KEPT.mkdir(parents=True, exist_ok=True)
        start = self.configuration / "start.conf"
        if start.exists():
            shutil.copy2(str(start), str(self._former))
        self._write(start, _FENCE.format(reason=reason.replace("\n", " ")))
        return True

    def free(self) -> bool:
        """Let it start again; whether it was fenced."""
        if not self.fenced:
            return False
        former = self._former.read_text(encoding="utf-8") if self._former.exists() else "auto\n"
        self._write(self.configuration / "start.conf", former)
        if self._former.exists():
            self._former.unlink()
        return True

    @property
    def _former(self) -> Path:
        return KEPT / "{0}-{1}.start.conf".format(self.version, self.name)

    def _write(self, path: Path, text: str) -> None:
        draft = path.with_name(".{0}.ops-runbook".format(path.name))
        draft.write_text(text, encoding="utf-8")
        folder = path.parent.stat()
        os.chown(str(draft), folder.st_uid, folder.st_gid)
        draft.chmod(0o644)
        draft.replace(path)

    def stop(self, timeout: float) -> bool:
        """Stop the server, cleanly if it can; whether it ran. Proves that it is gone."""
        ran = self.runs
        if ran:
            for mode, limit in (("fast", timeout), ("immediate", 30.0)):
                words = ["pg_ctlcluster", "--skip-systemctl-redirect", "--mode", mode, self.version, self.name, "stop"]
                try:
                    call([*words, "--", "-t", str(int(limit))], limit + 10)
                except ClusterError:
                    continue
                if not self.runs:
                    break
        call(["systemctl", "stop", self.unit])  # what systemd still believes
        if self.runs:
            raise ClusterError("the server of {0}/{1} cannot be stopped".format(self.version, self.name))
        return ran

    def start(self, *, wait: bool = True) -> None:
        """Start the server by its unit, and wait until it accepts connections."""
        call(["systemctl", "reset-failed", self.unit])
        if not wait:
            checked(["systemctl", "start", "--no-block", self.unit])
            return
        done = call(["systemctl", "start", self.unit], 120.0)
        if done.returncode != 0 or not self.runs:
            raise ClusterError("{0} does not start: {1}\n{2}".format(self.unit, done.stderr.strip(), self.last_words()))

    @property
    def failed(self) -> bool:
        """Whether its unit could not be started, or has died."""
        return call(["systemctl", "is-failed", "--quiet", self.unit]).returncode == 0

    @property
    def _log(self) -> Path:
        return Path("/var/log/postgresql/postgresql-{0}-{1}.log".format(self.version, self.name))

    @property
    def log_size(self) -> int:
        """How much is in the server's log, in bytes."""
        return self._log.stat().st_size if self._log.exists() else 0

    def said_since(self, size: int) -> str:
        """What the server has logged since its log had this size, in bytes."""
        if not self._log.exists():
            return ""
        with self._log.open("rb") as log:
            log.seek(size if size <= self.log_size else 0)
            return log.read().decode("utf-8", "replace")

    def last_words(self) -> str:
        """The end of the server's log, without the connections that it did not accept while somebody waited for it."""
        lines = call(["tail", "-n", "2000", str(self._log)]).stdout.splitlines()
        return "\n".join([line for line in lines if not _NOT_YET.search(line)][-15:])

    def clean_residue(self, *, dry: bool = False) -> bool:
        """Take out of postgresql.auto.conf what would name the wrong source; whether there was any."""
        path = self.data / "postgresql.auto.conf"
        if not path.exists():
            return False
        lines = path.read_text(encoding="utf-8").splitlines(True)
        kept = [line for line in lines if not _RESIDUE.match(line)]
        if kept != lines and not dry:
            self._write(path, "".join(kept))
            path.chmod(0o600)
        return kept != lines


def guard() -> str:
    """A digest of what keeps an old primary from starting; empty where it is not installed."""
    try:
        return hashlib.sha256(b"".join(Path(path).read_bytes() for path in GUARD)).hexdigest()
    except FileNotFoundError:
        return ""


def lsn(text: str) -> int:
    """A position in the write-ahead log as a number."""
    high, low = text.split("/")
    return int(high, 16) << 32 | int(low, 16)


def eventually(condition: Any, timeout: float, pause: float = 0.1) -> bool:
    """Wait until the condition holds; whether it does."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
    return True
