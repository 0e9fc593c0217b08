#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Makes a former primary, or a standby that lost its way, a standby of the primary."""

from __future__ import annotations

DOCUMENTATION = r"""
module: database_standby
short_description: Makes a former primary the standby of the new one
version_added: 0.1.0
author:
  - The ops.runbook authors (@ops-runbook)
description:
  - Runs on the host that is to follow. Its server is fenced and stopped before anything else, and started only when
    C(standby.signal) is there.
  - Where the primary has all that this host has, the host just follows. Otherwise the rows that only this host has are
    counted and saved, and C(pg_rewind) discards them; or the data is copied anew, as it is where the primary and the
    archive do not have the log any more that the rewound data needs.
  - The source is the host's own C(primary_conninfo); the account's password is expected in C(.pgpass) of the owner.
options:
  version:
    description: Major version of the cluster.
    type: str
    required: true
  cluster:
    description: Name of the cluster.
    type: str
    default: main
  history:
    description: The history of the primary's timeline, as M(ops.runbook.database_primary) returns it.
    type: str
    default: ""
  timeline:
    description: The primary's timeline, as M(ops.runbook.database_primary) returns it; 0 where it is not known.
    type: int
    default: 0
  method:
    description: How a host that has diverged is brought back. V(auto) rewinds, and copies where there is nothing left.
    type: str
    choices: [auto, rewind, rebuild]
    default: auto
  run:
    description: Name of the folder for rows that are discarded.
    type: str
    default: unnamed
  timeout:
    description: Seconds that the standby may take to stream.
    type: float
    default: 60
attributes:
  check_mode:
    description: Predicts.
    support: full
"""

EXAMPLES = r"""
- name: Bring the former primary back as the standby
  ops.runbook.database_standby:
    version: "15"
    history: "1\t0/5000150\tno recovery target specified\n"
"""

RETURN = r"""
how:
  description: What was done to its data.
  type: str
  returned: success
  sample: rewound
divergence:
  description: Commits that the primary never received, their first and last time, and what each table has lost.
  type: dict
  returned: when its data was looked at
  sample: {commits: 3, first: "2026-11-23 21:00:00 UTC", last: "2026-11-23 21:00:01 UTC", tables: []}
"""

import re
import shutil
import time
from collections.abc import Callable, Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.ops.runbook.plugins.module_utils import database_divergence
from ansible_collections.ops.runbook.plugins.module_utils.database_cluster import (
    KEPT,
    Cluster,
    ClusterError,
    checked,
    eventually,
    lsn,
)

STREAMS = "SELECT pg_is_in_recovery() AND EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming')"

#: The log segment that a primary does not have any more.
_GONE = re.compile(r"requested WAL segment (\w+) has already been removed")
#: What pg_rewind says where the log from the last common checkpoint on is not whole.
_UNREADABLE = re.compile("could not (?:read WAL|find previous WAL|find common ancestor|restore file)")
#: From this version on, pg_rewind finds a configuration outside of the data.
OUTSIDE = 15


class LogGoneError(ClusterError):
    """The log is gone without which the data cannot become consistent, or cannot catch up."""


class Follower:
    """The host's cluster on its way to become a standby."""

    def __init__(self, cluster: Cluster, module: AnsibleModule) -> None:
        self._cluster, self._options = cluster, module.params
        self._said: dict[str, Any] = {}
        #: Whether it was on its way already, and nothing was done but to let it go on.
        self._begun = False

    def needs_work(self) -> bool:
        """Whether it does not follow yet."""
        state = self._cluster.state()
        streams = state["role"] == "standby" and eventually(
            lambda: self._cluster.query(STREAMS) == "t", 5.0 if self._options["method"] != "rebuild" else 0.0
        )
        return not streams or state["fenced"] or bool(self._stray_slots())

    def work(self) -> dict[str, Any]:
        """Fence, look, save, bring back, start, prove."""
        cluster = self._cluster
        cluster.fence("it is being made a standby")
        cluster.stop(self._options["timeout"])
        source = cluster.setting("primary_conninfo")
        if not source:
            raise ClusterError("primary_conninfo of this host is empty: it does not know whom to follow")
        try:
            how = self._bring_back(source)
            self._follow()
        except ClusterError as error:
            # What a former run left without the log that it needs may have replayed its own log since: no way leads on.
            if not (isinstance(error, LogGoneError) or self._begun):
                raise
            self._hold("the log that it needs is gone")
            if self._options["method"] != "auto":
                raise
            how = self._rebuild(source)
            self._follow()
        return {"changed": True, "how": how, **self._said}

    def _follow(self) -> None:
        """Start as a standby, and prove that it is one."""
        cluster = self._cluster
        cluster.clean_residue()
        # Slots of its time as a primary would keep its log for nobody. A copy or a rewind brings none along either.
        for slot in (cluster.data / "pg_replslot").iterdir():
            shutil.rmtree(str(slot))
        signal = cluster.data / "standby.signal"
        signal.touch()
        shutil.chown(str(signal), cluster.owner, cluster.owner)
        if not cluster.follows:
            raise ClusterError(f"{signal} is missing: the host would start as a second primary")
        cluster.free()
        said = cluster.log_size
        # Not to be waited for: without the log that it needs it would be starting for a minute, and say why at once.
        cluster.start(wait=False)
        self._prove(said)

    def _bring_back(self, source: str) -> str:
        cluster, method = self._cluster, self._options["method"]
        if not (cluster.data / "global/pg_control").exists():
            if method == "rewind":
                raise ClusterError(f"{cluster.data} holds no cluster to rewind; run with method rebuild")
            return self._rebuild(source)
        control = cluster.control()
        if method != "rebuild" and self._is_begun(control):
            self._begun = True
            return "followed"
        timeline = int(control["Latest checkpoint's TimeLineID"])
        fork = self._fork(timeline)
        if fork:
            found = database_divergence.read(cluster, timeline, fork)
            self._save(found, fork)
            ends = lsn(control["Latest checkpoint location"])
            clean = control["Database cluster state"].startswith("shut down")
            if method != "rebuild" and clean and not found.commits and ends < lsn(fork):
                return "followed"
        elif method != "rebuild":
            return "followed"
        if method == "rebuild":
            return self._rebuild(source)
        return self._rewind(source)

    def _is_begun(self, control: Mapping[str, str]) -> bool:
        """Whether a former run has rewound or copied it, and it is not consistent yet.

        What it had alone was saved then. Nobody can read that now, nor rewind it again; all that it needs is the log.
        """
        recovers = control["Database cluster state"] in ("in archive recovery", "shut down in recovery")
        label = (self._cluster.data / "backup_label").exists()
        return recovers and (label or control["Backup start location"] != "0/0")

    def _fork(self, timeline: int) -> str:
        """Where the primary left this host's timeline; empty where both are on the same one."""
        history = self._options["history"]
        if timeline in database_divergence.timelines(history):
            return database_divergence.fork(history, timeline)
        if timeline == self._options["timeline"] or not self._options["timeline"]:
            return ""
        # This host has begun a timeline of its own: both were primaries.
        own = self._cluster.data / "pg_wal" / f"{timeline:08X}.history"
        return database_divergence.fork(own.read_text(encoding="utf-8"), self._options["timeline"])

    def _save(self, found: database_divergence.Divergence, fork: str) -> None:
        """Count what is going to be discarded, and keep it."""
        said = {
            "commits": found.commits,
            "first": found.first,
            "last": found.last,
            "shared": found.shared,
            "fork": fork,
        }
        folder = KEPT / "diverged" / self._options["run"]
        if found.commits:
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)
            said["tables"] = database_divergence.save(self._cluster, found, folder)
            said["folder"] = str(folder)
        self._said["divergence"] = {"tables": [], "folder": "", **said}

    def _rewind(self, source: str) -> str:
        cluster = self._cluster
        if not cluster.control()["Database cluster state"].startswith("shut down"):
            with database_divergence.Alone(cluster):
                pass  # ends the recovery of what has crashed
        words = [str(cluster.programs / "pg_rewind"), "--target-pgdata", str(cluster.data)]
        words += ["--source-server", source + " dbname=postgres"]
        if int(cluster.version) >= OUTSIDE and cluster.setting("restore_command"):
            words += ["--restore-target-wal", "--config-file", str(cluster.configuration / "postgresql.conf")]
        # Anything but success leaves data that must not be started: the host stays fenced.
        try:
            checked(cluster.as_owner(*words), 3600.0)
        except ClusterError as error:
            if _UNREADABLE.search(str(error)):
                raise LogGoneError(f"{error}. It has to be copied anew, with method rebuild") from error
            raise
        # It is consistent behind the place where the primary's next record begins. A primary that has nothing to do
        # and has just begun another segment of its log would write that one minutes later.
        write = [str(cluster.programs / "psql"), "-XAtqd", source + " dbname=postgres", "-c", "SELECT txid_current()"]
        checked(cluster.as_owner(*write), self._options["timeout"])
        return "rewound"

    def _rebuild(self, source: str) -> str:
        """Copy the primary beside the old data, which stays until the copy is whole."""
        cluster = self._cluster
        copy = cluster.data.with_name(f".{cluster.name}.copy")
        shutil.rmtree(str(copy), ignore_errors=True)
        words = [str(cluster.programs / "pg_basebackup"), "--dbname", source, "--pgdata", str(copy)]
        checked(cluster.as_owner(*words, "--wal-method=stream", "--checkpoint=fast"), 24 * 3600.0)
        (copy / "standby.signal").touch()
        shutil.chown(str(copy / "standby.signal"), cluster.owner, cluster.owner)
        shutil.rmtree(str(cluster.data), ignore_errors=True)
        copy.rename(cluster.data)
        return "rebuilt"

    def _prove(self, said: int) -> None:
        cluster = self._cluster
        if not self._reaches(lambda: cluster.state()["role"] == "standby", said):
            self._hold("it does not start as a standby")
            raise ClusterError(f"it did not start as a standby, and was stopped: {cluster.last_words()}")
        if not self._reaches(lambda: cluster.query(STREAMS) == "t", said):
            raise ClusterError(f"the standby does not stream from the primary: {cluster.last_words()}")

    def _reaches(self, aim: Callable[[], bool], said: int) -> bool:
        """Whether it gets there in time. What has been logged behind ``said`` may tell at once that it never will."""

        def ended() -> bool:
            if aim():
                return True
            gone = _GONE.findall(self._cluster.said_since(said))
            # Once may be an archive that is behind.
            if len(gone) > 1:
                raise LogGoneError(
                    f"neither the primary nor the archive has the log that this host needs, from {gone[-1]} on: it has "
                    "to be copied anew, with method rebuild"
                )
            if self._cluster.failed:
                raise ClusterError(f"it does not start: {self._cluster.last_words()}")
            return False

        return eventually(ended, self._options["timeout"])

    def _hold(self, reason: str) -> None:
        self._cluster.fence(reason)
        self._cluster.stop(30.0)

    def _stray_slots(self) -> list[str]:
        """Slots that a standby has no use for."""
        if self._cluster.state()["role"] != "standby":
            return []
        sql = "SELECT slot_name FROM pg_replication_slots WHERE NOT active"
        return self._cluster.query(sql).splitlines()


def main() -> None:
    """Let it follow."""
    module = AnsibleModule(
        argument_spec={
            "version": {"type": "str", "required": True},
            "cluster": {"type": "str", "default": "main"},
            "history": {"type": "str", "default": ""},
            "timeline": {"type": "int", "default": 0},
            "method": {"type": "str", "choices": ["auto", "rewind", "rebuild"], "default": "auto"},
            "run": {"type": "str", "default": "unnamed"},
            "timeout": {"type": "float", "default": 60},
        },
        supports_check_mode=True,
    )
    begin = time.monotonic()
    try:
        follower = Follower(Cluster(module.params["version"], module.params["cluster"]), module)
        needed = follower.needs_work()
        result = {"changed": needed, "how": "unchanged"} if module.check_mode or not needed else follower.work()
    except (ClusterError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(seconds=time.monotonic() - begin, **result)


if __name__ == "__main__":
    main()
