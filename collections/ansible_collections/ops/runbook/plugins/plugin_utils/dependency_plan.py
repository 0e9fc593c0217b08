# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a change of releases means for each host: pure decisions about what the hosts said."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.ops.runbook.plugins.plugin_utils.configuration_batches import size_of
from ansible_collections.ops.runbook.plugins.plugin_utils.dependency_lock import Lock, Move, identity, parse
from ansible_collections.ops.runbook.plugins.plugin_utils.dependency_resolve import Target

#: The name that a built release ends with: a digest of what it is made of.
_DIGEST = re.compile(r"-[0-9a-f]{8,}$")
_BATCH = re.compile(r"[1-9]\d*|(?:[1-9]\d?|100)%")
#: In the place of a release's name: what ran before the last update.
PREVIOUS = "previous"
_RELEASE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


class PlanError(Exception):
    """The change cannot be made like this; the message says what to correct, one line a problem."""


@dataclass(frozen=True)
class Release:
    """A whole release on a host."""

    name: str
    code: str
    python: str
    lock: Lock | None

    @property
    def identity(self) -> str:
        """Digest of what it is made of; empty for one without a lock that can be read."""
        return identity(self.code, self.lock, self.python) if self.lock else ""


@dataclass(frozen=True)
class Host:
    """What a host said about its releases."""

    name: str
    target: Target
    current: str
    previous: str
    #: The change that an interrupted run left behind.
    change: Mapping[str, Any]
    releases: Mapping[str, Release]
    requirements: str

    @classmethod
    def of(cls, name: str, found: Mapping[str, Any]) -> Host:
        """Read what the inspection of a host has found."""
        target = Target.of(found["python"])
        releases = {}
        for entry in found["releases"]:
            where = f"{name}: requirements.lock of {entry['name']}"
            markers = {**target.markers, **({"python_version": entry["python"]} if entry["python"] else {})}
            lock = parse(entry["lock"], markers, where) if entry["lock"].strip() else None
            releases[entry["name"]] = Release(entry["name"], entry["code"], entry["python"], lock)
        texts = {entry["name"]: entry["requirements"] for entry in found["releases"]}
        current = found["current"]
        return cls(name, target, current, found["previous"], found["change"], releases, texts.get(current, ""))

    @property
    def running(self) -> Release | None:
        """The release that the link names."""
        return self.releases.get(self.current)

    @property
    def settled(self) -> Release | None:
        """The release from which a change goes out: what ran before an interrupted one, else what runs."""
        return self.releases.get(str(self.change.get("previous") or "")) or self.running


@dataclass(frozen=True)
class Step:
    """What is to be done on one host."""

    host: str
    release: str
    former: str
    moves: tuple[Move, ...]
    before: tuple[str, ...]
    after: tuple[str, ...]
    #: Whether anything is to be done at all, and whether the release has to be built.
    pending: bool
    build: bool
    #: Whether an earlier run was interrupted here: the host may be drained and its service in any state.
    interrupted: bool

    def to_dict(self) -> dict[str, Any]:
        """As host variable."""
        packages = {"before": list(self.before), "after": list(self.after)}
        known = {key: value for key, value in vars(self).items() if key not in ("before", "after", "moves")}
        moves = [[move.package, move.former, move.new] for move in self.moves]
        return {**known, "packages": packages, "moves": moves}


def common_target(hosts: Sequence[Host]) -> Target:
    """The Python that one lock can serve all hosts with."""
    kinds: dict[tuple[str, str], list[str]] = {}
    for host in hosts:
        kinds.setdefault((host.target.minor, host.target.machine), []).append(host.name)
    if len(kinds) > 1:
        said = "; ".join(f"Python {kind[0]} on {kind[1]}: {', '.join(names)}" for kind, names in kinds.items())
        raise PlanError(f"One lock cannot serve different Pythons ({said}); limit the run to hosts of one kind")
    return min((host.target for host in hosts), key=lambda target: tuple(map(int, target.libc.split("."))))


def common_requirements(hosts: Sequence[Host]) -> str:
    """The requirements of the running releases, which have to be the same."""
    texts: dict[str, list[str]] = {}
    for host in hosts:
        texts.setdefault(host.requirements, []).append(host.name)
    if "" in texts:
        raise PlanError(
            f"{', '.join(texts[''])}: the running release has no requirements.in; name the file in"
            " dependency_updates_requirements"
        )
    if len(texts) > 1:
        groups = "; ".join(", ".join(names) for names in texts.values())
        raise PlanError(f"Hosts have different requirements.in ({groups}); name one in dependency_updates_requirements")
    return next(iter(texts))


def update(hosts: Sequence[Host], lock: Lock, code: str, label: str) -> list[Step]:
    """The steps to a release with the lock; ``code`` and ``label`` are empty for the code that runs."""
    return [_update(host, lock, code, label) for host in hosts]


def _update(host: Host, lock: Lock, code: str, label: str) -> Step:
    running = host.running
    if running is None:
        raise PlanError(f"{host.name}: no whole release runs; deploy the application first")
    base = host.settled or running
    digest = identity(code or running.code, lock, host.target.minor)
    same = [release.name for release in host.releases.values() if release.identity == digest]
    name = host.current if host.current in same else (sorted(same) or [f"{label or _label(base.name)}-{digest}"])[0]
    return _step(host, name, lock, build=not same)


def back(hosts: Sequence[Host], wanted: str) -> list[Step]:
    """The steps back to an earlier release: its name, or ``previous``, which has to be one release for all hosts."""
    steps, missing = [], []
    for host in hosts:
        name = _previous(host) if wanted == PREVIOUS else wanted
        release = host.releases.get(name)
        if release is None:
            known = ", ".join(sorted(host.releases)) or "none"
            missing.append(f"{host.name}: there is no release {name or wanted!r} to go back to; there are {known}")
        else:
            steps.append(_step(host, name, release.lock, build=False))
    if missing:
        raise PlanError("\n".join(f"dependency_updates_release: {line}" for line in missing))
    if wanted == PREVIOUS:
        _one_release(steps)
    return steps


def _previous(host: Host) -> str:
    """What ran before the last update. One under way is undone; a way back under way goes on."""
    change = host.change
    if not change:
        return host.previous
    ends = (str(change.get("release", "")), str(change.get("previous", "")))
    if host.current not in ends:
        known = ", ".join(sorted(host.releases)) or "none"
        raise PlanError(
            f"dependency_updates_release is previous, but {host.name} runs {host.current or 'nothing'}, and its"
            f" change.json tells of a change from {ends[1]} to {ends[0]}: somebody has switched it since. Name the"
            f" release; there are {known}"
        )
    return ends[0] if change.get("back") else ends[1]


def _one_release(steps: Sequence[Step]) -> None:
    """An update that came to some hosts only has left others with the release before the one before."""
    wanted: dict[str, list[str]] = {}
    for step in steps:
        wanted.setdefault(step.release, []).append(step.host)
    if len(wanted) > 1:
        said = "; ".join(f"{name} on {', '.join(hosts)}" for name, hosts in wanted.items())
        raise PlanError(
            f"dependency_updates_release is previous, which is not the same release everywhere: {said}."
            " Name the one to go back to, or --limit the run"
        )


def _step(host: Host, name: str, lock: Lock | None, *, build: bool) -> Step:
    former = host.settled
    old, new = (former.lock if former else None) or Lock({}), lock or Lock({})
    return Step(
        host=host.name,
        release=name,
        former=former.name if former else "",
        moves=tuple(old.moves_to(new)),
        before=tuple(old.lines),
        after=tuple(new.lines),
        pending=bool(host.change) or name != host.current,
        build=build,
        interrupted=bool(host.change),
    )


def _label(release: str) -> str:
    """What stands before the digest in the name of a release: the application's own version."""
    return _DIGEST.sub("", release)


def wrong_batches(batches: Iterable[Any]) -> list[str]:
    """What is wrong with the sizes of batches: Ansible takes 0 for all hosts at once."""
    sizes = list(batches)
    errors = [] if sizes else ["dependency_updates_batches is empty; say how many hosts are changed at once: [1]"]
    return errors + [
        f"dependency_updates_batches has {size!r}; a batch is a number of hosts from 1, or a percentage such as 25%"
        for size in sizes
        if not _BATCH.fullmatch(str(size).strip())
    ]


def sizes(batches: Iterable[Any], pending: int, hosts: int) -> list[int]:
    """The batches as numbers of hosts; never more than half of all, so that the others answer the requests."""
    most = max(1, hosts // 2)
    return [min(size_of(str(size).strip(), pending), most) for size in batches]


def is_release_name(name: str) -> bool:
    """Whether a name is that of a folder, and of nothing outside of it."""
    return bool(_RELEASE.fullmatch(name))
