# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The one program that inspects a host: the files that also clean it, and what to look at."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from ansible_collections.ops.runbook.plugins.module_utils import (
    maintenance,
    maintenance_files,
    maintenance_packages,
    maintenance_postgresql,
    stale,
)
from ansible_collections.ops.runbook.plugins.plugin_utils.fan_out import Reply
from ansible_collections.ops.runbook.plugins.plugin_utils.marked import answer_behind

#: In the order of their imports.
_FILES: tuple[ModuleType, ...] = (
    stale,
    maintenance,
    maintenance_files,
    maintenance_packages,
    maintenance_postgresql,
)
#: Makes modules of the sources, so that they find each other under their own names.
_LOADER = """\
import json, sys, types
for name, source in json.loads({sources!r}):
    package, _dot, short = name.rpartition(".")
    module = sys.modules[name] = types.ModuleType(name)
    parent = sys.modules.setdefault(package, types.ModuleType(package))
    setattr(parent, short, module)
    exec(compile(source, short, "exec"), module.__dict__)
module = sys.modules[{main!r}]
module.main(json.loads({job!r}))
"""


@lru_cache(maxsize=1)
def _sources() -> str:
    return json.dumps([(file.__name__, Path(str(file.__file__)).read_text(encoding="utf-8")) for file in _FILES])


def program(job: Mapping[str, Any]) -> bytes:
    """The program that inspects a host."""
    text = _LOADER.format(sources=_sources(), main=maintenance.__name__, job=json.dumps(job))
    return text.encode()


def answer(reply: Reply) -> dict[str, Any]:
    """What the host answered; its key ``error`` says why it could not."""
    if reply.error:
        return {"error": reply.error}
    found: dict[str, Any] | None = answer_behind(maintenance.MARK, reply.stdout)
    if found is not None:
        return found
    said = (reply.stderr.strip() or reply.stdout.strip() or "nothing").splitlines()[-1]
    return {"error": f"the inspection ended with {reply.rc} and said: {said}"}
