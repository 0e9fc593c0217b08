#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Installs a set of files as a whole."""

from __future__ import annotations

DOCUMENTATION = r"""
module: file_set
short_description: Installs files and folders as a whole, and puts back what was there
version_added: 0.1.0
author:
  - The ops.runbook authors (@ops-runbook)
description:
  - Each file is replaced in one step. What was there before is kept in C(/var/lib/ops-runbook/file_sets), readable by
    root alone, until the set is confirmed.
  - A unit of systemd whose file goes away again is stopped and disabled before.
  - A run that was killed is finished by the next one, whose way back still leads to what was there before both.
options:
  name:
    description: Name of the set on this host.
    type: str
    required: true
  state:
    description:
      - V(present) - the files are as O(entries) say.
      - V(confirmed) - what was there before is forgotten.
      - V(restored) - what was there before is put back. A folder that holds something stays.
    type: str
    choices: [present, confirmed, restored]
    default: present
  entries:
    description: Files and folders, in the order in which they are made.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path.
        type: path
        required: true
      content:
        description: The whole content of a file.
        type: str
      directory:
        description: It is a folder.
        type: bool
        default: false
      absent:
        description: It is not to be there. A folder that holds something stays.
        type: bool
        default: false
      owner:
        description: Its owner.
        type: str
        default: root
      group:
        description: Its group.
        type: str
        default: root
      mode:
        description: Its mode in octal digits; V(0644), or V(0755) for a folder, where it is empty.
        type: str
        default: ""
      secret:
        description: Its content is not shown.
        type: bool
        default: false
attributes:
  check_mode:
    description: Says what would be changed.
    support: full
  diff_mode:
    description: Shows contents before and after, but for secret ones.
    support: full
"""

EXAMPLES = r"""
- name: Install the configuration
  ops.runbook.file_set:
    name: database_backup
    entries:
      - {path: /etc/pgbackrest, directory: true, owner: postgres, group: postgres, mode: "0750"}
      - {path: /etc/pgbackrest/pgbackrest.conf, content: "[global]\n", group: postgres, mode: "0640"}
"""

RETURN = r"""
name:
  description: Paths that were changed.
  type: list
  elements: str
  returned: always
pending:
  description: Whether something was changed since the set was confirmed, by this run or one that was killed.
  type: bool
  returned: O(state=present)
removed:
  description: Paths that were not there before, and are gone again.
  type: list
  elements: str
  returned: O(state=restored)
"""

import base64
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.ops.runbook.plugins.module_utils.file_set import Entry, FileSet, observe, wanted

UNITS = "/etc/systemd/system/"
ENTRY = {
    "path": {"type": "path", "required": True},
    "content": {"type": "str"},
    "directory": {"type": "bool", "default": False},
    "absent": {"type": "bool", "default": False},
    "owner": {"type": "str", "default": "root"},
    "group": {"type": "str", "default": "root"},
    "mode": {"type": "str", "default": ""},
    "secret": {"type": "bool", "default": False},
}


def shown(state: dict[str, Any], *, secret: bool) -> str:
    """A state as a difference shows it. Owners are left out: in check mode a package may not have brought them yet."""
    if state["kind"] == "absent":
        return ""
    if state["kind"] == "file" and not secret:
        return base64.b64decode(state["content"]).decode("utf-8", "replace")
    return f"{state['kind']}, mode {state['mode']:04o}{', content not shown' if secret else ''}\n"


def main() -> None:
    """Install, confirm or restore."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "confirmed", "restored"], "default": "present"},
            "entries": {"type": "list", "elements": "dict", "default": [], "options": ENTRY},
        },
        supports_check_mode=True,
    )
    files = FileSet(module.params["name"])
    if module.params["state"] == "confirmed":
        if not module.check_mode:
            files.confirm()
        module.exit_json(changed=False, name=[])
    if module.params["state"] == "restored":
        removed = [path for path, state in files.former().items() if state["kind"] == "absent"]
        changed = list(files.former())
        if not module.check_mode:
            # A unit whose file goes is stopped first, or systemd could not stop it any more.
            for path in (each for each in removed if each.startswith(UNITS)):
                module.run_command(["systemctl", "disable", "--now", Path(path).name])
            changed = files.restore()
            module.run_command(["systemctl", "daemon-reload"])
        module.exit_json(changed=bool(changed), name=changed, removed=removed)
    entries = [Entry.of(each) for each in module.params["entries"]]
    differing = files.differing(entries)
    diff = [
        {
            "before_header": str(entry.path),
            "after_header": str(entry.path),
            "before": shown(observe(entry.path), secret=entry.secret),
            "after": shown(wanted(entry), secret=entry.secret),
        }
        for entry in differing
    ]
    if differing and not module.check_mode:
        unknown = [entry for entry in differing if -1 in (wanted(entry).get("uid"), wanted(entry).get("gid"))]
        if unknown:
            module.fail_json(msg=f"{unknown[0].path} is to belong to somebody whom this host does not know")
        files.install(differing)
    pending = bool(differing or files.former())
    module.exit_json(changed=bool(differing), name=[str(each.path) for each in differing], diff=diff, pending=pending)


if __name__ == "__main__":
    main()
