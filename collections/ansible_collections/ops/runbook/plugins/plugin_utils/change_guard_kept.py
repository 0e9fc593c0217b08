# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Command lines that would make a change without its guard."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

GUARD = "change_guard"


def left_out(playbook: Any, command_line: Mapping[str, Any]) -> str:
    """Why this command line would pass by the guard of the playbook; empty where it does not."""
    start = command_line.get("start_at_task")
    tags = [tag for tag in command_line.get("tags") or () if tag != "all"]
    # Check mode changes nothing, and looking at a part may be wanted.
    if command_line.get("check") or not (start or tags or command_line.get("skip_tags")):
        return ""
    guarding = list(_guarding(playbook))
    if not guarding:
        return ""
    if start:
        return (
            "--start-at-task leaves out the change guard. Run the whole procedure: it goes on from wherever an earlier "
            "run has stopped"
        )
    if all(task.evaluate_tags(play.only_tags, play.skip_tags, all_vars={}) for play, task in guarding):
        return ""
    return "--tags or --skip-tags leave out the change guard. Run the whole procedure; --limit makes it smaller"


def _guarding(playbook: Any) -> Iterator[tuple[Any, Any]]:
    """The guard's tasks, each with its play."""
    for play in playbook.get_plays():
        for block in play.compile():
            for task in block.get_tasks():
                if task._role is not None and task._role.get_name().rpartition(".")[2] == GUARD:
                    yield play, task
