# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The program that a store or a source of evidence gets for each question, and what it answers."""

from __future__ import annotations

import functools
import json
import shlex
from collections.abc import Mapping
from typing import Any

from ansible_collections.ops.runbook.plugins.module_utils import evidence_files
from ansible_collections.ops.runbook.plugins.plugin_utils.joined import part
from ansible_collections.ops.runbook.plugins.plugin_utils.marked import text_behind

#: In the order in which they need each other.
_PARTS = ("hash", "files", "query")
_LOADER = "import sys; exec(sys.stdin.buffer.read(int(sys.stdin.buffer.readline())))"
_CALL = '\nmain(json.loads({job!r}), {{"describe_query": describe_query, "send_documents": send_documents}})\n'


@functools.cache
def _sources() -> str:
    return "\n".join(["from __future__ import annotations", *(part(f"evidence_{name}") for name in _PARTS)])


def program(operation: str, root: str = "", limit: int = 0, **arguments: Any) -> bytes:
    """The program that does one thing. It travels through a pipe: no file of it lands on the host.

    ``limit`` is how many bytes of contents it sends at most; 0 for all.
    """
    job = json.dumps({"operation": operation, "root": root, "limit": limit, "arguments": arguments})
    return (_sources() + _CALL.format(job=job)).encode()


def started(interpreter: str) -> str:
    """The command line for a program that `before` puts before something else on its standard input."""
    return f"{interpreter} -ISBX utf8 -c {shlex.quote(_LOADER)}"


def before(code: bytes) -> bytes:
    """The program as the beginning of its own standard input."""
    return b"%d\n" % len(code) + code


def answer(stdout: str) -> Mapping[str, Any] | None:
    """What the program said; None where it did not come to that."""
    text = text_behind(evidence_files.MARK, stdout)
    return None if text is None else evidence_files.unpack(text)
