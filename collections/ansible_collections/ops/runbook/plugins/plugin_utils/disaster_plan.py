# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Decides from the state of all database hosts who becomes the primary, who is fenced, and who follows; or refuses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

#: How a host that must not be a primary is kept from it: on the host itself, by a command that cuts its power, or by an
#: operator who vouches for it.
FENCINGS = ("host", "command", "override")
_REASON = re.compile(r"\S+\s+\S+\s+\S+")

State = Mapping[str, Any]
States = Mapping[str, State]


class RefusalError(Exception):
    """Why nothing is done."""


@dataclass
class Plan:
    """What the run does."""

    mode: str
    #: Who is the primary afterwards.
    primary: str
    #: Whether it has to be promoted.
    promote: bool = False
    #: Host → how it is fenced.
    fence: dict[str, str] = field(default_factory=dict)
    #: Hosts that become standbys of it.
    follow: list[str] = field(default_factory=list)
    #: Since when there is no primary, in seconds of the epoch, as far as anybody knows.
    outage: float | None = None
    #: Time of the last commit that the new primary has received.
    last_commit: float | None = None
    override: str = ""
    slots: list[str] = field(default_factory=list)
    #: Hosts that get what keeps an old primary from starting.
    guard: list[str] = field(default_factory=list)
    #: Hosts of the application that are (still) read-only.
    read_only: list[str] = field(default_factory=list)

    @property
    def has_work(self) -> bool:
        """Whether anything has to be done."""
        return bool(self.promote or self.fence or self.follow or self.guard or self.read_only)

    def to_dict(self) -> dict[str, Any]:
        """For the tasks."""
        return asdict(self)


@dataclass(frozen=True)
class Wishes:
    """What the operator and the inventory say."""

    primary: str = ""
    standby: str = ""
    override: str = ""
    can_cut_power: bool = False
    #: Digest of what keeps an old primary from starting.
    guard: str = ""
    lag_bytes: float = 10 * 2**20
    transaction_seconds: float = 15.0


def lsn(text: str | None) -> int:
    """A position in the write-ahead log as a number."""
    high, low = (text or "0/0").split("/")
    return int(high, 16) << 32 | int(low, 16)


def role(state: State) -> str:
    """What a host is now."""
    return str(state.get("role", "unreachable"))


def with_role(states: States, *roles: str) -> list[str]:
    """The hosts with one of the roles."""
    return [host for host, state in states.items() if role(state) in roles]


def told(states: States) -> str:
    """The hosts and what they are, for messages."""
    return ", ".join(f"{host} is {_words(state)}" for host, state in states.items())


def _words(state: State) -> str:
    what = role(state)
    if what == "standby":
        return "a standby that streams" if state.get("streaming") else "a standby without a source"
    if what == "primary":
        return "the primary"
    return f"{what} and fenced" if state.get("fenced") else what


def check(states: States, wishes: Wishes) -> None:
    """Refuse what makes no sense in any mode."""
    for name, host in (("disaster_recovery_primary", wishes.primary), ("disaster_recovery_standby", wishes.standby)):
        if host and host not in states:
            raise RefusalError(f"{name} is {host!r}, which is no database host; there are {', '.join(states)}")
    if wishes.override and not _REASON.match(wishes.override):
        raise RefusalError(
            f"disaster_recovery_override is {wishes.override!r}; say in three words or more how you know that the old "
            "primary cannot accept writes"
        )
    systems = {state["system"] for state in states.values() if state.get("system")}
    if len(systems) > 1:
        raise RefusalError("the database hosts hold different databases (system identifiers): nothing can follow")


def switchover(states: States, wishes: Wishes) -> Plan:
    """Move the primary while everything works."""
    wanted = wishes.primary
    if not wanted:
        raise RefusalError(
            f"disaster_recovery_primary is empty; name the host that is to be the primary. {told(states)}"
        )
    away = with_role(states, "unreachable", "unresponsive")
    if away:
        raise RefusalError(
            f"{', '.join(away)} cannot be asked, and a switchover needs every database host: {told(states)}. Without "
            "it, this is a failover: playbooks/backup_recovery/disaster_recovery.yml"
        )
    primaries = with_role(states, "primary")
    _one_at_most(primaries)
    if primaries == [wanted]:
        return _settled("switchover", states, wanted)
    target = states[wanted]
    if role(target) != "standby":
        raise RefusalError(f"{wanted} cannot become the primary: {told(states)}")
    return _moved(states, wishes, primaries[0]) if primaries else _resumed(states, wanted)


def _moved(states: States, wishes: Wishes, old: str) -> Plan:
    target, source = states[wishes.primary], states[old]
    if not target.get("streaming"):
        raise RefusalError(
            f"{wishes.primary} does not stream from {old}: bring it back first (disaster_recovery_failback)"
        )
    busy = []
    if source["lag_bytes"] > wishes.lag_bytes:
        busy.append(
            f"the standby is {source['lag_bytes'] / 2**20:.1f} MiB behind, at most {wishes.lag_bytes / 2**20:g}"
        )
    if source["transaction_seconds"] > wishes.transaction_seconds:
        age = source["transaction_seconds"]
        busy.append(f"a transaction on {old} is {age:.0f} s old, at most {wishes.transaction_seconds:g} s")
    if busy:
        raise RefusalError(f"{'; '.join(busy)}. Wait, or end what holds it up")
    others = [host for host in states if host != wishes.primary]
    return Plan(
        "switchover",
        wishes.primary,
        promote=True,
        fence={old: "host"},
        follow=others,
        slots=_slots(states, others),
    )


def _resumed(states: States, wanted: str) -> Plan:
    """A run was killed after the old primary was stopped."""
    stopped = [host for host, state in states.items() if role(state) == "stopped"]
    ready = [host for host in stopped if states[host].get("fenced") and states[host].get("clean")]
    if len(ready) != 1 or ready != stopped:
        raise RefusalError(
            f"there is no primary to switch over from: {told(states)}. This is a failover: "
            "playbooks/backup_recovery/disaster_recovery.yml"
        )
    others = [host for host in states if host != wanted]
    return Plan(
        "switchover",
        wanted,
        promote=True,
        fence={ready[0]: "host"},
        follow=others,
        slots=_slots(states, others),
    )


def _settled(mode: str, states: States, primary: str) -> Plan:
    """The primary is where it should be; others may not follow yet."""
    follow = [] if mode == "failover" else [host for host in states if host != primary and not _follows(states[host])]
    return Plan(mode, primary, follow=follow, slots=_slots(states, follow))


def _follows(state: State) -> bool:
    streams = role(state) == "standby" and bool(state.get("streaming"))
    return streams and not state.get("fenced") and not state.get("stray_slots")


def _slots(states: States, followers: list[str]) -> list[str]:
    return [states[host]["slot"] for host in followers if states[host].get("slot")]


def _one_at_most(primaries: list[str]) -> None:
    if len(primaries) > 1:
        raise RefusalError(
            f"{' and '.join(primaries)} both accept writes. Decide which one is right and stop the other one at once "
            "(pg_ctlcluster ... stop), keep its data directory, and escalate: two histories are joined by hand"
        )


def failover(states: States, wishes: Wishes) -> Plan:
    """Promote a standby while the primary is gone."""
    primaries = with_role(states, "primary")
    _one_at_most(primaries)
    if primaries:
        return _already(states, wishes, primaries[0])
    standbys = with_role(states, "standby")
    if not standbys:
        raise RefusalError(
            f"no standby can be promoted: {told(states)}. Restore from the backup: backup-recovery/recovery-procedures"
        )
    best = max(standbys, key=lambda host: lsn(states[host]["lsn"]))
    chosen = wishes.primary or best
    if chosen not in standbys:
        raise RefusalError(f"{chosen} cannot be promoted: {told(states)}")
    if lsn(states[chosen]["lsn"]) < lsn(states[best]["lsn"]):
        raise RefusalError(f"{best} has received more than {chosen}: promote {best}")
    others = [host for host in states if host not in standbys]
    return Plan(
        "failover",
        chosen,
        promote=True,
        fence=_fencing(states, wishes, chosen, others),
        slots=_slots(states, [host for host in states if host != chosen]),
        outage=_outage(states, chosen, others),
        last_commit=states[chosen].get("last_commit"),
        override=wishes.override,
    )


def _already(states: States, wishes: Wishes, primary: str) -> Plan:
    others = [host for host in states if host != primary]
    if wishes.primary not in ("", primary):
        raise RefusalError(
            f"{primary} is the primary and accepts writes: move it with disaster_recovery_switchover.yml, which loses "
            "nothing"
        )
    loose = [
        host for host in others if role(states[host]) in ("stopped", "unresponsive") and not states[host]["fenced"]
    ]
    if not wishes.primary and (loose or any(_follows(states[host]) for host in others)):
        raise RefusalError(
            f"there is nothing to fail over from: {told(states)}. To move the primary: disaster_recovery_switchover.yml"
        )
    plan = _settled("failover", states, primary)
    plan.fence = dict.fromkeys(loose, "host")
    plan.slots = _slots(states, others)
    return plan


def _fencing(states: States, wishes: Wishes, chosen: str, others: list[str]) -> dict[str, str]:
    """How each host that might be a primary is fenced."""
    found, unproven = {}, []
    for host in others:
        if role(states[host]) != "unreachable":
            found[host] = "host"
        elif states[chosen].get("source_answers"):
            # Neither a command nor an override: an outage would be made where there is none.
            raise RefusalError(
                f"{host} cannot be reached from here, but it answers {chosen}: it is alive. Mend the way to it; or "
                "stop its database yourself, and run this again"
            )
        elif wishes.can_cut_power:
            found[host] = "command"
        elif wishes.override:
            found[host] = "override"
        else:
            unproven.append(host)
    if unproven:
        raise RefusalError(
            f"{', '.join(unproven)} cannot be reached, so nobody can prove that it does not accept writes any more "
            "(its last words: " + "; ".join(str(states[host].get("error", ""))[:200] for host in unproven) + "). Set "
            "disaster_recovery_fence_command, which cuts its power; or make sure yourself that it is off, and say how "
            "with -e disaster_recovery_override='...'"
        )
    return found


def _outage(states: States, chosen: str, others: list[str]) -> float | None:
    known = [states[host].get("outage") for host in [chosen, *others]]
    return min((moment for moment in known if moment), default=None)


def failback(states: States, wishes: Wishes) -> Plan:
    """Make a host that does not follow a standby of the primary."""
    primaries = with_role(states, "primary")
    wanted = wishes.standby
    _one_at_most(primaries)
    if not primaries:
        raise RefusalError(f"there is no primary that could be followed: {told(states)}")
    primary = primaries[0]
    if wanted == primary:
        raise RefusalError(f"{wanted} is the primary: a switchover makes another host the primary first")
    hosts = [wanted] if wanted else [host for host in states if host != primary]
    follow = [host for host in hosts if not _follows(states[host])]
    away = [host for host in follow if role(states[host]) == "unreachable"]
    if away:
        raise RefusalError(
            f"{', '.join(away)} cannot be reached: {'; '.join(str(states[h]['error'])[:200] for h in away)}"
        )
    blind = [host for host in follow if not states[host].get("source")]
    if blind:
        raise RefusalError(f"primary_conninfo is empty on {', '.join(blind)}: it does not know whom to follow")
    return Plan("failback", primary, follow=follow, slots=_slots(states, follow))


def prepare(states: States, wishes: Wishes) -> Plan:
    """Have every host keep itself from starting as a second primary."""
    primaries = with_role(states, "primary")
    _one_at_most(primaries)
    away = with_role(states, "unreachable")
    if away:
        raise RefusalError(
            f"{', '.join(away)} cannot be reached: {'; '.join(str(states[h]['error'])[:200] for h in away)}"
        )
    guard = [host for host, state in states.items() if state.get("guard") != wishes.guard]
    return Plan("prepare", primaries[0] if primaries else "", guard=guard)


MODES = {"prepare": prepare, "switchover": switchover, "failover": failover, "failback": failback}


def plan(mode: str, states: States, wishes: Wishes) -> Plan:
    """The plan, or RefusalError."""
    check(states, wishes)
    return MODES[mode](states, wishes)


def may_go_back(states: States, former: str) -> bool:
    """Whether the former primary may serve again: certainly nobody else does or could."""
    others = {host: state for host, state in states.items() if host != former}
    return role(states[former]) == "stopped" and all(role(state) == "standby" for state in others.values())
