# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The order in which hosts are changed: canaries first, and never two at once that stand in for each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence


def size_of(size: str, hosts: int) -> int:
    """How many hosts a batch has; at least one."""
    return max(1, hosts * int(size[:-1]) // 100 if size.endswith("%") else int(size))


def batches(hosts: Sequence[str], sizes: Sequence[str], upstreams: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """The hosts in batches of these sizes, of which the last one repeats.

    Hosts that are taken out of an upstream do not share a batch with another of the same upstream: one of them serves.
    """
    waiting = list(hosts)
    made: list[list[str]] = []
    while waiting:
        most = size_of(sizes[min(len(made), len(sizes) - 1)], len(hosts))
        batch: list[str] = []
        drained: set[str] = set()
        for host in waiting:
            mine = set(upstreams.get(host, ()))
            if len(batch) < most and not mine & drained:
                batch.append(host)
                drained |= mine
        waiting = [host for host in waiting if host not in batch]
        made.append(batch)
    return made
