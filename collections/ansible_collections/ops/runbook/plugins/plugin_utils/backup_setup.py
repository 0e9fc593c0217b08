# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""On which hosts the backups are to be set up, asked in one round trip: their tasks take a minute to find nothing."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any

from ansible_collections.ops.runbook.plugins.plugin_utils.joined import part
from ansible_collections.ops.runbook.plugins.plugin_utils.marked import answer_behind

MARK = "lacking for backups: "
#: In the order in which they need each other.
_PARTS = ("backup_basics", "file_set", "backup_setup")

#: Role → what it makes on a host, as the variable __<role>_setup says.
Setups = Mapping[str, Mapping[str, Any]]
#: Role → kind of thing → what is lacking of it.
Lacking = Mapping[str, Mapping[str, list[str]]]


@functools.cache
def _sources() -> str:
    return "\n".join(["from __future__ import annotations", *map(part, _PARTS)])


def program(setups: Setups) -> bytes:
    """The program for a host. It travels through a pipe, since it has the contents of files, secret ones among them."""
    found = f"{{name: lacking(name, setup) for name, setup in json.loads({json.dumps(setups)!r}).items()}}"
    return f"{_sources()}\nprint({MARK!r} + json.dumps({found}))\n".encode()


def answer(stdout: str) -> dict[str, dict[str, list[str]]] | None:
    """What a host said; None where it did not come to that."""
    said: dict[str, dict[str, list[str]]] | None = answer_behind(MARK, stdout)
    return said


def unfinished(setups: Mapping[str, Setups], said: Mapping[str, Lacking | None]) -> list[str]:
    """Hosts on which the roles have something to do, or that could not be asked.

    Store and hosts prove each other's set-up: where the store lacks something, or is not of this run, all of its
    hosts are set up; where one of them does, so is the store.
    """
    found = {host for host in setups if said.get(host) is None}
    for role in {role for roles in setups.values() for role in roles}:
        store = next(iter(roles[role]["store"] for roles in setups.values() if role in roles), "")
        concerned = {host for host, roles in setups.items() if roles[role]["packages"]}
        lacks = {host for host in concerned if any(((said.get(host) or {}).get(role) or {"": ["all"]}).values())}
        if store in lacks or store not in setups:
            lacks = concerned
        found |= lacks | ({store} & concerned if lacks else set())
    return [host for host in setups if host in found]


def names(said: Lacking | None) -> list[str]:
    """What a host lacks."""
    if said is None:
        return ["an answer"]
    return [name for kinds in said.values() for found in kinds.values() for name in found]


def shortened(said: Mapping[str, Lacking | None]) -> list[tuple[str, str]]:
    """Host and what it would keep for a shorter time than it does."""
    return [
        (host, line) for host, roles in said.items() for role in (roles or {}).values() for line in role["shortened"]
    ]


def packaged(said: Mapping[str, Lacking | None]) -> list[str]:
    """Hosts that have all packages."""
    return [
        host
        for host, roles in said.items()
        if roles is not None and not any(each["packages"] for each in roles.values())
    ]
