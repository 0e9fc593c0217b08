# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A lock file: exactly one version of every package, each with the hashes of the files that may be installed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

# ansible-core needs it, so it is there; only where ansible-test tries whether this can be imported, it is not.
with suppress(ImportError):
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

_HASH = re.compile(r"--hash[= ]([a-z0-9]+:[0-9a-f]+)")
#: Older algorithms prove nothing any more.
_STRONG = ("sha256:", "sha384:", "sha512:")
#: How much of a digest stands in the name of a release.
SHORT = 12


class LockError(Exception):
    """A lock file that must not be installed from; the message says why and where."""


@dataclass(frozen=True)
class Pin:
    """One package of a lock."""

    name: str
    version: str
    hashes: tuple[str, ...]

    @property
    def line(self) -> str:
        """The package as it stands in a list of packages."""
        return f"{self.name}=={self.version}"


@dataclass(frozen=True)
class Move:
    """What an update does to one package; an empty version means that it is not there."""

    package: str
    former: str
    new: str

    def __str__(self) -> str:
        if not self.former:
            return f"{self.package} {self.new} (new)"
        return f"{self.package} {self.former} → {self.new}" if self.new else f"{self.package} {self.former} (removed)"


@dataclass(frozen=True)
class Lock:
    """The packages that are installed in one environment, by name."""

    pins: Mapping[str, Pin]

    @property
    def lines(self) -> list[str]:
        """One line a package, sorted."""
        return [self.pins[name].line for name in sorted(self.pins)]

    @property
    def text(self) -> str:
        """The lock as a file that pip installs from, without anything that holds for other environments."""
        rows = []
        for name in sorted(self.pins):
            pin = self.pins[name]
            rows.append(" \\\n".join([pin.line, *(f"    --hash={item}" for item in sorted(pin.hashes))]))
        return "\n".join(rows) + "\n"

    def moves_to(self, other: Lock) -> list[Move]:
        """What an update from this lock to the other one does."""
        found = []
        for name in sorted({*self.pins, *other.pins}):
            former, new = (lock.pins[name].version if name in lock.pins else "" for lock in (self, other))
            if former != new:
                found.append(Move(name, former, new))
        return found


def canonical(name: str) -> str:
    """The name of a package as an index compares it."""
    return str(canonicalize_name(name))


def identity(code: str, lock: Lock, python: str) -> str:
    """What a release is made of, as one digest: the code's own digest, the packages and the Python version."""
    content = json.dumps([code, lock.lines, python])
    return hashlib.sha256(content.encode()).hexdigest()[:SHORT]


def parse(text: str, environment: Mapping[str, Any], where: str) -> Lock:
    """Read the part of a lock file that counts in an environment (marker name → value, as PEP 508 has them).

    Raises LockError where the file is empty, or a package of it is not pinned to one version with a strong hash.
    """
    pins: dict[str, Pin] = {}
    for number, line in _logical_lines(text):
        place = f"{where}, line {number}"
        pin = _pin(line, environment, place)
        if pin is None:
            continue
        if pin.name in pins and pins[pin.name].version != pin.version:
            raise LockError(f"{place}: {pin.name} is pinned to {pins[pin.name].version} and to {pin.version}")
        pins[pin.name] = pin
    if not pins:
        raise LockError(f"{where} pins no package: it is empty, or nothing in it is for this Python")
    return Lock(pins)


def _pin(line: str, environment: Mapping[str, Any], place: str) -> Pin | None:
    if line.startswith("-"):
        raise LockError(f"{place}: {line.split(maxsplit=1)[0]} has no place in a lock file")
    specification = _HASH.sub("", line).strip()
    try:
        requirement = Requirement(specification)
    except InvalidRequirement as error:
        raise LockError(f"{place}: {specification!r} is no package and version: {error}".splitlines()[0]) from error
    if requirement.marker and not requirement.marker.evaluate(dict(environment)):
        return None
    versions = [item.version for item in requirement.specifier if item.operator in ("==", "===")]
    if requirement.url or len(versions) != 1 or len(requirement.specifier) != 1 or "*" in versions[0]:
        raise LockError(f"{place}: {requirement.name} is not pinned to one version (name==version)")
    hashes = tuple(item for item in _HASH.findall(line) if item.startswith(_STRONG))
    if not hashes:
        raise LockError(f"{place}: {requirement.name} has no --hash=sha256:…")
    return Pin(canonical(requirement.name), versions[0], hashes)


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines with their continuations, without comments, and the number of their first line."""
    start = 0
    parts: list[str] = []
    for number, raw in enumerate(text.splitlines(), 1):
        line = re.sub(r"(^|\s)#.*$", "", raw).rstrip()
        start = start if parts else number
        parts.append(line.removesuffix("\\").strip())
        if not line.endswith("\\"):
            joined = " ".join(part for part in parts if part)
            if joined:
                yield start, joined
            parts = []
    joined = " ".join(part for part in parts if part)
    if joined:
        yield start, joined
