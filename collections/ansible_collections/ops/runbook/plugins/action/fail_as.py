# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ends a procedure with a failure that says to the run record how it ended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ansible.plugins.action import ActionBase

OUTCOMES = ("failed", "refused", "rolled_back")
#: In check mode there is nothing to put back, and nobody is in doubt.
PREDICTION = "This run only predicts, and has changed nothing; it did not come to its end:"


class ActionModule(ActionBase):  # type: ignore[misc]
    """Fails, always."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Fail with the message and, for the run record, the outcome."""
        super().run(tmp, task_vars)
        _unused, arguments = self.validate_argument_spec(
            argument_spec={
                "msg": {"type": "str", "required": True},
                "outcome": {"type": "str", "choices": list(OUTCOMES), "default": OUTCOMES[0]},
                "way_back": {"type": "list", "elements": "dict"},
                "stuck": {"type": "str"},
                "because": {"type": "str", "default": ""},
            },
            required_by={"way_back": ["stuck"]},
        )
        outcome, message, because = arguments["outcome"], arguments["msg"], arguments["because"]
        problems = list(_problems(arguments["way_back"] or ()))
        if problems:
            # What to do comes first: of a long message, records keep the beginning.
            stuck = PREDICTION if self._task.check_mode else arguments["stuck"]
            outcome, message = "failed", "\n".join([stuck, *problems])
            because = because and f"The change itself had failed: {because}"
        if because:
            message = f"{message}\n{because}" if problems else f"{message}: {because}"
        result: dict[str, Any] = {"failed": True, "changed": False, "msg": message}
        if outcome == "failed":
            # Whatever became of other hosts: this run has not put everything back.
            result["rolled_back"] = False
        else:
            result[outcome] = True
        return result


def _problems(steps: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """What kept the way back from its end; a step that nobody came to needs the words of the one before."""
    for step in steps:
        if not step or step.get("failed") or step.get("unreachable"):
            yield from _messages(step)
            return


def _messages(step: Mapping[str, Any]) -> Iterator[str]:
    """The messages of a step that failed: of its items, where it is a loop."""
    items = [item for item in step.get("results", ()) if item.get("failed") or item.get("unreachable")]
    yield from (str(item.get("msg", "")) for item in items or [step or {"msg": "the way back was not gone to its end"}])
