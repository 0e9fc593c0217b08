#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Puts files back as they were in a snapshot."""

from __future__ import annotations

DOCUMENTATION = r"""
module: file_restore
short_description: Puts files back as they were in a snapshot
version_added: 0.1.0
author:
  - The ops.runbook authors (@ops-runbook)
description:
  - Reads a snapshot of restic as one stream and compares each file with that of today - content, owner, mode, links.
  - Replaces those that differ, each as a whole, and keeps what it replaces. Until that is confirmed, a later run goes
    on from there, and puts all of it back where it fails.
  - Files of today that the snapshot does not have are left alone.
options:
  step:
    description:
      - V(look) - what differs, and what putting it back costs; fails with C(refused) where that cannot be known. Writes
        nothing.
      - V(restore) - put it back.
      - V(rollback) - undo what was put back and not confirmed.
      - V(confirm) - it was verified and taken up. What it has replaced is kept under the run.
    type: str
    choices: [look, restore, rollback, confirm]
    required: true
  snapshot:
    description: Id of the snapshot, or V(latest).
    type: str
    default: ""
  received:
    description:
      - Path of each snapshot's file on the store to the time when the store received it, in seconds since 1970.
      - V(latest) goes by it. Without, it is the newest that is not from the future by the clock of this host.
    type: dict
  tag:
    description: Only snapshots with this tag.
    type: str
    default: ""
  paths:
    description: Files and folders, as absolute paths.
    type: list
    elements: str
    default: []
  verify:
    description:
      - Commands, as lists of words, that have to end with 0 after the restore. The host keeps them until then.
    type: list
    elements: list
    default: []
  reload:
    description: Units to reload after the restore, kept likewise.
    type: list
    elements: str
    default: []
  run_id:
    description: Id of the run, under which replaced files are kept once they are confirmed.
    type: str
    default: ""
attributes:
  check_mode:
    description: Compares, and writes nothing.
    support: full
  diff_mode:
    description: Lists what differs.
    support: full
"""

EXAMPLES = r"""
- name: Put the proxy's configuration back
  ops.runbook.file_restore:
    step: restore
    snapshot: latest
    tag: configuration
    paths: [/etc/nginx]
    reload: [nginx.service]
"""

RETURN = r"""
name:
  description: Paths that differ, or differed.
  type: list
  elements: str
  returned: always
differing:
  description: Each path, how it differs, the bytes that come back, and size and time of what is lost.
  type: list
  elements: dict
  returned: O(step=look) or O(step=restore)
estimate:
  description: How much comes back, how long that takes, and what is lost.
  type: str
  returned: O(step=look) or O(step=restore)
unfinished:
  description: Whether a restore was killed before it was confirmed.
  type: bool
  returned: O(step=look) or O(step=restore)
verify:
  description: Commands that have to end with 0 now. Those of a restore that was not confirmed come first.
  type: list
  elements: list
  returned: O(step=look) or O(step=restore)
reload:
  description: Units to reload now.
  type: list
  elements: str
  returned: O(step=look) or O(step=restore)
read_back:
  description: Id and tags of the snapshot, and how many of its files were read and compared, for the record of the run.
  type: dict
  returned: O(step=look) or O(step=restore)
snapshot:
  description: Id and time of the snapshot.
  type: dict
  returned: O(step=look) or O(step=restore)
"""

import tarfile
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.ops.runbook.plugins.module_utils.file_restore import (
    FileRestore,
    FileRestoreError,
    Snapshots,
    estimate,
    listing,
)


def main() -> None:
    """Do the step."""
    module = AnsibleModule(
        argument_spec={
            "step": {"type": "str", "choices": ["look", "restore", "rollback", "confirm"], "required": True},
            "snapshot": {"type": "str", "default": ""},
            "received": {"type": "dict"},
            "tag": {"type": "str", "default": ""},
            "paths": {"type": "list", "elements": "str", "default": []},
            "verify": {"type": "list", "elements": "list", "default": []},
            "reload": {"type": "list", "elements": "str", "default": []},
            "run_id": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    given = module.params
    work = FileRestore()
    looks = given["step"] == "look"
    after = {name: given[name] for name in ("verify", "reload")}
    try:
        if given["step"] == "confirm":
            if not module.check_mode:
                work.confirm(given["run_id"])
            module.exit_json(changed=False)
        if given["step"] == "rollback":
            names = [] if module.check_mode else work.rollback()
            module.exit_json(changed=bool(names), name=names)
        wrong = [path for path in given["paths"] if not path.startswith("/") or path == "/"]
        if wrong or not given["paths"]:
            raise FileRestoreError(f"file_restore_paths is {given['paths']}; give files or folders as absolute paths")
        snapshots = Snapshots()
        received = given["received"]
        times = None if received is None else {path.rpartition("/")[2]: float(at) for path, at in received.items()}
        chosen = snapshots.choose(given["snapshot"], given["tag"], times)
        unfinished, began = work.unfinished, time.monotonic()
        if looks or module.check_mode:
            found = work.differing(snapshots, chosen["id"], given["paths"])
        else:
            found = work.restore(snapshots, chosen["id"], given["paths"], after)
    except (FileRestoreError, OSError, tarfile.TarError) as error:
        module.fail_json(msg=f"No file was changed: {error}", refused=looks, name=given["paths"])
    module.exit_json(
        changed=bool(found) and not looks,
        name=[row["path"] for row in found],
        differing=found,
        estimate=estimate(found, time.monotonic() - began),
        unfinished=unfinished,
        snapshot={"id": chosen["short_id"], "time": chosen["time"][:19]},
        read_back={"snapshot": chosen["short_id"], "sets": sorted(chosen.get("tags") or ()), "files": work.read},
        diff={"prepared": listing(found)},
        **(work.outstanding(after) if found or unfinished else {"verify": [], "reload": []}),
    )


if __name__ == "__main__":
    main()
