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
  - Replaces those that differ, each as a whole, and keeps what it replaces until the next restore.
  - Files of today that the snapshot does not have are left alone.
options:
  step:
    description:
      - V(look) - what differs; fails with C(refused) where that cannot be known. Writes nothing.
      - V(restore) - put it back.
      - V(rollback) - undo what this run has put back.
    type: str
    choices: [look, restore, rollback]
    required: true
  snapshot:
    description: Id of the snapshot, or V(latest).
    type: str
    default: ""
  tag:
    description: Only snapshots with this tag.
    type: str
    default: ""
  paths:
    description: Files and folders, as absolute paths.
    type: list
    elements: str
    default: []
  run_id:
    description: Id of the run, under which replaced files are kept.
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
"""

RETURN = r"""
name:
  description: Paths that differ, or differed.
  type: list
  elements: str
  returned: always
differing:
  description: Each path and how it differs.
  type: list
  elements: dict
  returned: O(step=look) or O(step=restore)
snapshot:
  description: Id and time of the snapshot.
  type: dict
  returned: O(step=look) or O(step=restore)
"""

import tarfile

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.ops.runbook.plugins.module_utils.file_restore import (
    FileRestore,
    FileRestoreError,
    Snapshots,
    listing,
)


def main() -> None:
    """Do the step."""
    module = AnsibleModule(
        argument_spec={
            "step": {"type": "str", "choices": ["look", "restore", "rollback"], "required": True},
            "snapshot": {"type": "str", "default": ""},
            "tag": {"type": "str", "default": ""},
            "paths": {"type": "list", "elements": "str", "default": []},
            "run_id": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    given = module.params
    work = FileRestore(given["run_id"] or "unnamed")
    looks = given["step"] == "look"
    try:
        if given["step"] == "rollback":
            names = [] if module.check_mode else work.rollback()
            module.exit_json(changed=bool(names), name=names)
        wrong = [path for path in given["paths"] if not path.startswith("/") or path == "/"]
        if wrong or not given["paths"]:
            raise FileRestoreError(f"file_restore_paths is {given['paths']}; give files or folders as absolute paths")
        snapshots = Snapshots()
        chosen = snapshots.choose(given["snapshot"], given["tag"])
        act = work.differing if looks or module.check_mode else work.restore
        found = act(snapshots, chosen["id"], given["paths"])
    except (FileRestoreError, OSError, tarfile.TarError) as error:
        module.fail_json(msg=f"No file was changed: {error}", refused=looks, name=given["paths"])
    module.exit_json(
        changed=bool(found) and not looks,
        name=[row["path"] for row in found],
        differing=found,
        snapshot={"id": chosen["short_id"], "time": chosen["time"][:19]},
        diff={"prepared": listing(found)},
    )


if __name__ == "__main__":
    main()
