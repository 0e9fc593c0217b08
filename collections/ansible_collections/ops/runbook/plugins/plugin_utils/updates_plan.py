# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which hosts an update enters, in which order and batches, and what stands against it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.ops.runbook.plugins.module_utils import database_state
from ansible_collections.ops.runbook.plugins.module_utils.stale import METHODS

MIB = 2**20


@dataclass(frozen=True)
class Host:
    """What the inspection of one host gave."""

    name: str
    #: Hosts of one tier stand in for each other: never more than half of them are in one batch.
    tier: str = ""
    updates: Sequence[Mapping[str, Any]] = ()
    kept: Sequence[Mapping[str, Any]] = ()
    databases: Sequence[Mapping[str, Any]] = ()
    #: An earlier run was interrupted in the middle of this host's update.
    interrupted: bool = False
    #: A run holds it, or died while it did.
    locked: bool = False
    reboot: bool = False
    #: The proxies that send requests to it.
    proxies: Sequence[str] = ()

    @property
    def has_work(self) -> bool:
        """Whether the run has to enter it."""
        return bool(self.updates) or self.interrupted

    @property
    def role(self) -> str:
        """Of its databases: a host with any primary is one."""
        roles = {str(state.get("role", "unknown")) for state in self.databases}
        return next((role for role in ("primary", "unknown", "standby") if role in roles), "")

    @property
    def group(self) -> str:
        """The tier that counts for batches: databases are one whatever the inventory says."""
        return "database" if self.role else self.tier

    def to_dict(self) -> dict[str, Any]:
        """For the variables of the run."""
        names = ("updates", "kept", "databases")
        return {
            "interrupted": self.interrupted,
            "reboot": self.reboot,
            "role": self.role,
            "packages": [{key: update[key] for key in ("name", "from", "to")} for update in self.updates],
            **{name: getattr(self, name) for name in names},
        }


#: Standby servers first, primaries last: what breaks a standby has not yet touched the primary.
_ORDER = {"": 0, "standby": 0, "unknown": 1, "primary": 2}


def batches(hosts: Iterable[Host], canary: Sequence[str], size: int) -> list[list[str]]:
    """The hosts with work; primaries after everything else, each alone.

    First what an interrupted run left half done, and may have drained: another server of its tier must not be drained
    besides. Each of them alone, then each canary, then the others.
    """
    every = list(hosts)
    members = Counter(host.group for host in every if host.group)
    working = sorted((host for host in every if host.has_work), key=lambda host: _ORDER[host.role])
    begun = [host for host in working if host.interrupted and host.role != "primary"]
    others = [host for host in working if host not in begun]
    chosen = set(canary) or {host.name for host in others[:1]}
    first = [host for host in every if host in others and host.name in chosen and host.role != "primary"]
    rest = [host for host in others if host not in first]
    made = [[host] for host in (*begun, *first)]
    open_batch: list[Host] = []
    for host in rest:
        if open_batch and not _fits(host, open_batch, members, size):
            made.append(open_batch)
            open_batch = []
        open_batch.append(host)
    if open_batch:
        made.append(open_batch)
    return [[host.name for host in batch] for batch in made]


def to_lock(hosts: Iterable[Host]) -> list[str]:
    """The hosts that the run enters, those that a dead run has locked, and the proxies that they are drained at."""
    touched = [host for host in hosts if host.has_work or host.locked]
    return list(dict.fromkeys([*(host.name for host in touched), *(name for host in touched for name in host.proxies)]))


def _fits(host: Host, batch: Sequence[Host], members: Mapping[str, int], size: int) -> bool:
    if len(batch) >= size or "primary" in {host.role, *(other.role for other in batch)}:
        return False
    same = sum(1 for other in batch if host.group and other.group == host.group)
    return same == 0 or same + 1 <= members[host.group] // 2


#: Least values of numbers.
_LEAST = {
    "security_updates_batch": 1,
    "security_updates_refresh_timeout": 1,
    "security_updates_timeout": 1,
    "security_updates_keep_days": 0,
    "security_updates_replication_lag": 0,
    "security_updates_transaction_age": 0,
    "security_updates_database_wait": 0,
    "security_updates_expected_minutes": 0,
    "traffic_port": 0,
    "traffic_timeout": 0,
    "service_restart_timeout": 1,
    "host_reboot_timeout": 1,
    "host_reboot_start_timeout": 1,
}


def wrong_options(options: Mapping[str, Any], hosts: Sequence[str]) -> list[str]:
    """What is wrong with a host's options beyond their types, each naming its variable."""
    errors = [
        f"{variable} is {options[variable]:g}, and has to be at least {least}"
        for variable, least in _LEAST.items()
        if options.get(variable) is not None and options[variable] < least
    ]
    errors += [
        f"service_restart_methods: {pattern!r} has {method!r}, not one of {', '.join(METHODS)}"
        for pattern, method in (options.get("service_restart_methods") or {}).items()
        if method not in METHODS
    ]
    errors += [
        f"security_updates_canary names {canary!r}, which is no host of this run"
        for canary in options["security_updates_canary"]
        if canary not in hosts
    ]
    both = sorted(set(options["security_updates_only"]) & set(options["security_updates_exclude"]))
    errors += [f"security_updates_only and security_updates_exclude both name {package!r}" for package in both]
    return errors


def unknown_packages(answers: Mapping[str, Mapping[str, Any]], options: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Packages that the options name and that no host that was asked for them knows."""
    asked = [set(answer["unknown"]) for answer in answers.values() if "unknown" in answer]
    everywhere = sorted(set.intersection(*asked)) if asked else []
    return [
        f"{variable} names {package!r}, which is a package of no host"
        for variable in ("security_updates_only", "security_updates_exclude")
        for package in everywhere
        if any(package in values[variable] for values in options.values())
    ]


def busy(host: Host, options: Mapping[str, Any]) -> list[str]:
    """Why the host's databases must not be restarted now."""
    if not host.has_work:
        return []
    lag = options["security_updates_replication_lag"] * MIB
    return database_state.busy(host.databases, lag, options["security_updates_transaction_age"])
