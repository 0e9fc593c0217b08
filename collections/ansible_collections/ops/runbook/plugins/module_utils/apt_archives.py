# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which archives have which versions of a package, read from what `apt-cache policy` says.

Runs on managed hosts: Python 3.9, the standard library alone.
"""

from __future__ import annotations

import re
from typing import Callable

_RELEASE = re.compile(r"^ *-?\d+ (\S.*)\n +release (.*)$", re.MULTILINE)
_PACKAGE = re.compile(r"^(\S+):$", re.MULTILINE)
_VERSION = re.compile(r"^ (\*\*\*|   ) (\S+) (-?\d+)$")
_SOURCE = re.compile(r"^ +-?\d+ (\S.*)$")


def origins(policy: str) -> dict[str, str]:
    """Archive → its origin as an upgrade names it, such as ``Debian-Security:12/stable-security``."""
    found = {}
    for archive, release in _RELEASE.findall(policy):
        fields = dict(field.split("=", 1) for field in release.split(",") if "=" in field)
        version = "/".join(filter(None, (fields.get("v"), fields.get("a"))))
        found[archive] = ":".join(filter(None, (fields.get("l"), version)))
    return found


def newest_from(policy: str, known: dict[str, str], is_wanted: Callable[[str], bool]) -> dict[str, tuple[str, str]]:
    """Package → the newest version above the installed one that a wanted archive has, and the origins of that version.

    C(policy) is that of the packages, C(known) are the origins of the archives. What preferences forbid is left out. An
    upgrade does not show such a version where another archive has a newer one.
    """
    found: dict[str, tuple[str, str]] = {}
    parts = _PACKAGE.split(policy)[1:]
    for name, table in zip(parts[::2], parts[1::2]):  # noqa: B905 - Python 3.9
        versions: list[tuple[str, list[str]]] = []
        for line in table.splitlines():
            head, source = _VERSION.match(line), _SOURCE.match(line)
            if head and head[1] == "***":
                break  # from here on they are no newer than what is installed
            if head:
                versions.append((head[2] if int(head[3]) >= 0 else "", []))
            elif source and versions:
                versions[-1][1].append(known.get(source[1], ""))
        for version, sources in versions:
            if version and any(is_wanted(origin) for origin in sources):
                found[name] = (version, ", ".join(dict.fromkeys(filter(None, sources))))
                break
    return found
