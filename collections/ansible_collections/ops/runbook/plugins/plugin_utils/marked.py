# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a program on a host has answered, among whatever else a log-in prints there."""

from __future__ import annotations

import json
from typing import Any


def text_behind(mark: str, output: str) -> str | None:
    """The rest of the last line that begins with the mark; None where the program did not come to it."""
    lines = [line for line in output.splitlines() if line.startswith(mark)]
    return lines[-1].removeprefix(mark) if lines else None


def answer_behind(mark: str, output: str) -> Any:
    """What that line says as JSON; None where there is none."""
    text = text_behind(mark, output)
    return None if text is None else json.loads(text)
