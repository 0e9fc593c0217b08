#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One step of a restore drill on one of its hosts."""

from __future__ import annotations

DOCUMENTATION = r"""
module: restore_drill
short_description: One step of a restore drill on one of its hosts
version_added: 0.1.0
author:
  - The ops.runbook authors (@ops-runbook)
description:
  - None of the steps changes a database that serves somebody. The restored one reaches nobody, and is removed again.
options:
  step:
    description:
      - V(content) - on a server that serves, what is in all tables at one position of its log.
      - V(archive) - on the primary, mark that the position is over, and wait until it is in the archive.
      - V(rehearse) - on the scratch host, restore, recover to the position, and say what is in it.
      - V(remove) - on the scratch host, remove what was restored.
    type: str
    choices: [content, archive, rehearse, remove]
    required: true
  cluster:
    description: The server that serves, as the inspection found it.
    type: dict
    default: {}
  folder:
    description: Where the scratch host restores into.
    type: path
    default: /var/lib/postgresql/ops-runbook-rehearsal
  stanza:
    description: pgBackRest's name of the database.
    type: str
    default: evidence
  version:
    description: Major version of the backup's server.
    type: str
    default: ""
  target:
    description: The backup, and what to recover it to.
    type: dict
    default: {}
  keep:
    description: Leave the restored server running.
    type: bool
    default: false
attributes:
  check_mode:
    description: Says that a rehearsal would be made and does not make it. What only reads is done.
    support: full
"""

EXAMPLES = r"""
- name: Restore it, and look at it
  ops.runbook.restore_drill:
    step: rehearse
    version: "15"
    target: {backup: 20261123-211609F, type: lsn, target: 0/9000028, exclusive: true, timeline: 1}
"""

RETURN = r"""
name:
  description: The folder or data directory that it is about.
  type: str
  returned: always
content:
  description: Position, time, and rows and digest of every table.
  type: dict
  returned: O(step=content) or O(step=rehearse)
failure:
  description: Why the backup could not be restored or verified; empty where it could.
  type: str
  returned: O(step=rehearse)
seconds:
  description: How long fetching, recovery and verification took.
  type: dict
  returned: O(step=rehearse)
"""

import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.ops.runbook.plugins.module_utils.database_restore import RestoreError, Server
from ansible_collections.ops.runbook.plugins.module_utils.drill_content import content
from ansible_collections.ops.runbook.plugins.module_utils.drill_rehearsal import Rehearsal

SOCKETS = "/var/run/postgresql"


def observe(module: AnsibleModule) -> dict[str, Any]:
    """What is in the database that serves."""
    server = Server(module.run_command, module.params["cluster"])
    return {"changed": False, "name": str(server.data), "content": content(server, SOCKETS)}


def archive(module: AnsibleModule) -> dict[str, Any]:
    """Have the position in the archive. The log gets one record, the database none."""
    server = Server(module.run_command, module.params["cluster"])
    if not module.check_mode:
        server.ask("SELECT pg_create_restore_point('restore drill')")
        segment = server.ask("SELECT pg_walfile_name(pg_switch_wal())")
        query = "SELECT coalesce(last_archived_wal, '') FROM pg_stat_archiver"
        server.wait(lambda: server.ask(query)[:24] >= segment, f"segment {segment} to be archived", 300)
    return {"changed": False, "name": str(server.data)}


def rehearse(module: AnsibleModule, rehearsal: Rehearsal) -> dict[str, Any]:
    """Restore, look at all of it, and remove it."""
    name = str(rehearsal.folder)
    if module.check_mode:
        return {"changed": True, "name": name, "content": {}, "seconds": {}}
    rehearsal.prepare()
    seconds: dict[str, float] = {}
    found: dict[str, Any] = {}
    failure = ""
    try:
        seconds.update(rehearsal.restore(module.params["stanza"], module.params["target"]))
        began = time.time()
        found.update(rehearsal.content())
        rehearsal.verify_pages()
        seconds["verified"] = round(time.time() - began, 1)
    except RestoreError as error:
        failure = str(error)  # what the drill is there to find: its result says so, and is signed
    finally:
        if not module.params["keep"]:
            rehearsal.remove()
    return {"changed": True, "name": name, "content": found, "seconds": seconds, "failure": failure}


def main() -> None:
    """Do the step."""
    module = AnsibleModule(
        argument_spec={
            "step": {"type": "str", "choices": ["content", "archive", "rehearse", "remove"], "required": True},
            "cluster": {"type": "dict", "default": {}},
            "folder": {"type": "path", "default": "/var/lib/postgresql/ops-runbook-rehearsal"},
            "stanza": {"type": "str", "default": "evidence"},
            "version": {"type": "str", "default": ""},
            "target": {"type": "dict", "default": {}},
            "keep": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    step = module.params["step"]
    rehearsal = Rehearsal(module.run_command, Path(module.params["folder"]), module.params["version"])
    try:
        if step == "content":
            result = observe(module)
        elif step == "archive":
            result = archive(module)
        elif step == "rehearse":
            result = rehearse(module, rehearsal)
        else:
            left = rehearsal.folder.exists() if module.check_mode else rehearsal.remove()
            result = {"changed": left, "name": str(rehearsal.folder)}
    except (RestoreError, OSError) as error:
        module.fail_json(msg=f"{step}: {error}", name=module.params["folder"])
    module.exit_json(**result)


if __name__ == "__main__":
    main()
