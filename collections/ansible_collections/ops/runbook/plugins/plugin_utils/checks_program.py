# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The one program that a host gets: the probe, the files that its checks need, and the checks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.ops.runbook.plugins.plugin_utils.checks import CHECK_TYPES
from ansible_collections.ops.runbook.plugins.plugin_utils.joined import part

#: What the probe needs to know of a check.
_SENT = ("name", "type", "options", "timeout")
#: What the files of some groups of checks need besides the probe.
_NEEDED = {"services": ("apt_archives",)}


def program(checks: Iterable[Mapping[str, Any]], timeout: float) -> str:
    """The program that runs these resolved checks, and no other file's than theirs."""
    sent = [{key: check[key] for key in _SENT} for check in checks]
    groups = sorted({CHECK_TYPES[check["type"]].group for check in sent})
    job = json.dumps({"checks": sent, "timeout": timeout})
    names = ["probe", *(name for group in groups for name in (*_NEEDED.get(group, ()), f"probe_{group}"))]
    sources = [part(name) for name in names]
    return "\n".join(["from __future__ import annotations", *sources, f"main(json.loads({job!r}))", ""])
