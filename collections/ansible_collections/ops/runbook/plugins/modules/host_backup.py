#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs a host's backup program."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_backup
short_description: Runs the program that makes and verifies the backups of a host
version_added: 0.1.0
author:
  - The ops.runbook authors (@ops-runbook)
description:
  - The program is the one that the host's timers start. It decides itself what is due.
options:
  program:
    description: The program.
    type: path
    required: true
  arguments:
    description: Its arguments.
    type: list
    elements: str
    required: true
  user:
    description: The account that it runs as.
    type: str
    default: root
  failure:
    description:
      - V(fail) - the task fails with what the program says.
      - V(report) - it becomes a critical finding, so that other hosts are not held up.
    type: str
    choices: [fail, report]
    default: fail
  assumed:
    description: In check mode on a host that does not have the program yet, what it would make.
    type: list
    elements: str
    default: []
  assumed_unless:
    description: A path on the host. Where it is, nothing of O(assumed) would be made.
    type: path
    default: ""
  assume:
    description: In check mode, O(assumed) also where the program is there, as what it would ask is not there yet.
    type: bool
    default: false
attributes:
  check_mode:
    description: Asks the program what it would do. Programs that only look run as they do otherwise.
    support: full
  diff_mode:
    description: Lists what is made.
    support: full
"""

EXAMPLES = r"""
- name: Make the backups that are due
  ops.runbook.host_backup:
    program: /usr/local/lib/ops-runbook/database_backup
    arguments: [run, --wait, "600"]
    user: postgres
"""

RETURN = r"""
name:
  description: What was made.
  type: list
  elements: str
  returned: always
findings:
  description: What the program found, each with check, status and title.
  type: list
  elements: dict
  returned: success
stored:
  description:
    - Everything that is stored, by its label, with C(made), C(sets) and C(sha256) of its content where that was read.
    - Nothing where the program does not say so.
  type: dict
  returned: success
cause:
  description: Why it failed, in one word.
  type: str
  returned: failure
"""

import json
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

#: Actions that change something, and can say what without doing it.
CHANGING = ("run", "stanza", "initialise", "expire")


def parsed(output: str) -> dict[str, Any]:
    """The program's answer; empty where it has not come to one."""
    lines = [line for line in output.splitlines() if line.startswith("{")]
    answer: dict[str, Any] = json.loads(lines[-1]) if lines else {}
    return answer


def main() -> None:
    """Run it and hand on what it says."""
    module = AnsibleModule(
        argument_spec={
            "program": {"type": "path", "required": True},
            "arguments": {"type": "list", "elements": "str", "required": True},
            "user": {"type": "str", "default": "root"},
            "failure": {"type": "str", "choices": ["fail", "report"], "default": "fail"},
            "assumed": {"type": "list", "elements": "str", "default": []},
            "assumed_unless": {"type": "path", "default": ""},
            "assume": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    program, arguments = module.params["program"], list(module.params["arguments"])
    changing = arguments[0] in CHANGING
    if module.check_mode and (module.params["assume"] or not Path(program).exists()):
        known = bool(module.params["assumed_unless"]) and Path(module.params["assumed_unless"]).exists()
        made = module.params["assumed"] if changing and not known else []
        module.exit_json(changed=bool(made), name=made, findings=[], diff={"prepared": listing(made)})
    if module.check_mode and changing:
        arguments.append("--dry-run")
    prefix = [] if module.params["user"] == "root" else ["runuser", "-u", module.params["user"], "--"]
    rc, output, errors = module.run_command([*prefix, program, *arguments], cwd="/")
    answer = parsed(output)
    said = f"{program} ended with {rc}: {(errors or output).strip()[-800:]}"
    message = answer.get("failure") or ("" if answer else said)
    if message and module.params["failure"] == "report":
        module.exit_json(changed=False, name=[], findings=[as_finding(arguments[0], program, message, answer)])
    if message:
        module.fail_json(msg=message, cause=answer.get("cause", ""), name=[])
    made = [str(each) for each in answer.get("made", ())]
    module.exit_json(
        changed=bool(answer.get("changed")) and changing,
        name=made,
        findings=answer.get("findings", []),
        stored=answer.get("stored"),
        diff={"prepared": listing(made)},
    )


def as_finding(action: str, program: str, message: str, answer: dict[str, Any]) -> dict[str, Any]:
    """What an operator reads where the program failed."""
    what = Path(program).name.replace("_", " ")
    return {
        "check": f"{what} {action}",
        "status": "critical",
        "title": message,
        "observed": answer.get("cause", "failed"),
        "remedy": "backup-recovery/backup-procedures#failed",
    }


def listing(made: list[str]) -> str:
    """What is made, a line each."""
    return "".join(f"- {each}\n" for each in made)


if __name__ == "__main__":
    main()
