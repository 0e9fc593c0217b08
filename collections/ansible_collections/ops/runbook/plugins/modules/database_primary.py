#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Makes a standby the primary, and a primary ready to be followed."""

from __future__ import annotations

DOCUMENTATION = r"""
module: database_primary
short_description: Makes a standby the primary, and a primary ready to be followed
version_added: 0.1.0
author:
  - The ops.runbook authors (@ops-runbook)
description:
  - Runs on the database host. A standby is promoted when it has replayed what it has to have. The primary gets a
    replication slot for each follower and lets the account of the replication read what C(pg_rewind) reads.
  - On a cluster that is the primary already, a checkpoint is made. Until the first one after its promotion, the
    control file shows the former timeline to C(pg_rewind).
options:
  version:
    description: Major version of the cluster.
    type: str
    required: true
  cluster:
    description: Name of the cluster.
    type: str
    default: main
  promote:
    description: Promote a standby; otherwise a cluster that is no primary is an error.
    type: bool
    default: false
  after:
    description: Position in the write-ahead log behind which a standby has to be before it is promoted; empty for none.
    type: str
    default: ""
  slots:
    description: Replication slots of the followers.
    type: list
    elements: str
    default: []
  timeout:
    description: Seconds that the catching up and the promotion may take each.
    type: float
    default: 60
attributes:
  check_mode:
    description: Predicts.
    support: full
"""

EXAMPLES = r"""
- name: Promote the standby
  ops.runbook.database_primary:
    version: "15"
    promote: true
    after: 0/50000D8
    slots: [db1]
"""

RETURN = r"""
promoted_at:
  description: When the cluster accepted writes, in seconds of the epoch; 0 where it did already.
  type: float
  returned: success
  sample: 1795467002.4
timeline:
  description: The timeline of the cluster.
  type: int
  returned: outside check mode
  sample: 2
history:
  description: The history of the cluster's timeline, as its file has it.
  type: str
  returned: outside check mode
  sample: "1\t0/5000150\tno recovery target specified\n"
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.ops.runbook.plugins.module_utils.database_cluster import (
    Cluster,
    ClusterError,
    checked,
    eventually,
    lsn,
)

#: What pg_rewind calls on its source.
FUNCTIONS = (
    "pg_catalog.pg_ls_dir(text, boolean, boolean)",
    "pg_catalog.pg_stat_file(text, boolean)",
    "pg_catalog.pg_read_binary_file(text)",
    "pg_catalog.pg_read_binary_file(text, bigint, bigint, boolean)",
)
_HISTORY = """
SELECT coalesce(pg_read_file(
  'pg_wal/' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) || '.history', 0, 100000, true), '')
"""

_SLOTS = "SELECT slot_name FROM pg_replication_slots"
_CREATE = "SELECT pg_create_physical_replication_slot('{}', true)"
_TIMELINE = "SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)"


def promote(cluster: Cluster, slots: list[str], after: str, timeout: float) -> float:
    """Promote a standby that has everything; the time from which it accepts writes."""
    # Before the promotion, whose checkpoint removes the log that a lost primary needs to be rewound.
    made = [slot for slot in slots if slot not in cluster.query(_SLOTS).splitlines()]
    for slot in made:
        cluster.query(_CREATE.format(slot))
    try:
        return _promote(cluster, after, timeout)
    except ClusterError:
        for slot in made:
            cluster.query(f"SELECT pg_drop_replication_slot('{slot}')")
        raise


def _promote(cluster: Cluster, after: str, timeout: float) -> float:
    replayed = "SELECT coalesce(pg_last_wal_replay_lsn()::text, '0/0')"
    if after and not eventually(lambda: lsn(cluster.query(replayed)) > lsn(after), timeout):
        raise ClusterError(
            f"the standby has replayed {cluster.query(replayed)}, and {after} is still missing after {timeout:g} s: it "
            "does not have all that the primary has acknowledged"
        )
    checked(["pg_ctlcluster", cluster.version, cluster.name, "promote"], timeout)
    if not eventually(lambda: cluster.query("SELECT pg_is_in_recovery()") == "f", timeout, 0.05):
        raise ClusterError(f"the standby does not become a primary: {cluster.last_words()}")
    return time.time()


def lacks(cluster: Cluster, slots: list[str]) -> list[str]:
    """The statements that make the primary ready to be followed."""
    known = cluster.query(_SLOTS).splitlines()
    statements = [_CREATE.format(slot) for slot in slots if slot not in known]
    account = cluster.setting("primary_conninfo").partition("user=")[2].split(" ")[0] or "replicator"
    for function in FUNCTIONS:
        granted = f"SELECT has_function_privilege('{account}', '{function}', 'EXECUTE')"
        if cluster.query(granted) != "t":
            statements.append(f"GRANT EXECUTE ON FUNCTION {function} TO {account}")
    return statements


def work(cluster: Cluster, module: AnsibleModule) -> dict[str, Any]:
    """Promote if it is wanted, and prepare."""
    role = cluster.state()["role"]
    result: dict[str, Any] = {"changed": False, "promoted_at": 0.0}
    if role == "standby" and module.params["promote"]:
        result["changed"] = True
        if module.check_mode:
            return result
        result["promoted_at"] = promote(
            cluster, module.params["slots"], module.params["after"], module.params["timeout"]
        )
    elif role != "primary":
        raise ClusterError("the cluster is {}, not a primary".format("a standby" if role == "standby" else role))
    statements = lacks(cluster, module.params["slots"])
    residue = cluster.clean_residue(dry=module.check_mode)
    result["changed"] = bool(result["changed"] or statements or residue)
    if not module.check_mode:
        for statement in statements:
            cluster.query(statement)
        if not result["promoted_at"]:
            # A promotion makes one itself, in its own time; until then pg_rewind would see the former timeline.
            cluster.query("CHECKPOINT", timeout=600.0)
        result["history"] = cluster.query(_HISTORY)
        result["timeline"] = int(cluster.query(_TIMELINE), 16)
    return result


def main() -> None:
    """Make it the primary."""
    module = AnsibleModule(
        argument_spec={
            "version": {"type": "str", "required": True},
            "cluster": {"type": "str", "default": "main"},
            "promote": {"type": "bool", "default": False},
            "after": {"type": "str", "default": ""},
            "slots": {"type": "list", "elements": "str", "default": []},
            "timeout": {"type": "float", "default": 60},
        },
        supports_check_mode=True,
    )
    try:
        result = work(Cluster(module.params["version"], module.params["cluster"]), module)
    except ClusterError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
