# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Elements of --limit that name nothing: ansible-core goes on with the rest, an operator must know."""

from __future__ import annotations

import re
from collections.abc import Collection
from fnmatch import translate
from pathlib import Path

from ansible.inventory.manager import split_host_pattern

_SUBSCRIPT = re.compile(r"\[-?\d+(:-?\d*)?\]$")


def elements(limit: str) -> list[str]:
    """The single patterns of a --limit, files given as @file read."""
    patterns = []
    for pattern in split_host_pattern(limit):
        if pattern.startswith("@"):
            lines = Path(pattern[1:]).read_text(encoding="utf-8").splitlines()
            patterns += [line.strip() for line in lines if line.strip()]
        else:
            patterns.append(pattern.strip())
    return patterns


def unknown(limit: str, hosts: Collection[str], groups: Collection[str]) -> list[str]:
    """The elements of a --limit that match no host and no group.

    Raises OSError when a file of the limit cannot be read.
    """
    names = {"all", "localhost", *hosts, *groups}
    return [element for element in elements(limit) if not _matches(element.lstrip("!&"), names)]


def _matches(pattern: str, names: Collection[str]) -> bool:
    if pattern in names:
        return True
    expression = pattern[1:] if pattern.startswith("~") else translate(_SUBSCRIPT.sub("", pattern))
    return any(re.match(expression, name) for name in names)
