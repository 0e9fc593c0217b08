# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The objects of a repository and their hashes: what was stored is what is there.

What the tools verify themselves is not all that a restore needs: pgBackRest finds no fault in a damaged manifest as
long as its copy is whole, and none in a segment of the log that is gone. So each object is noted once with its hash
when it was verified, and compared ever after.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.ops.runbook.plugins.module_utils.backup_basics import replace

_BLOCK = 1 << 20
#: Bytes and SHA-256 of an object.
Noted = tuple[int, str]


def digest(path: Path) -> Noted:
    """Size and SHA-256 of a file, read as it is."""
    known = hashlib.sha256()
    size = 0
    with path.open("rb", buffering=0) as file:
        while block := file.read(_BLOCK):
            known.update(block)
            size += len(block)
    return size, known.hexdigest()


def walk(root: Path, keep: Callable[[str], bool]) -> Iterator[str]:
    """Paths below the root of what is worth noting, in order."""
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_file() and not path.is_symlink() and keep(name):
            yield name


@dataclass(frozen=True)
class Comparison:
    """What became of the objects that were noted."""

    changed: tuple[str, ...]
    missing: tuple[str, ...]
    #: Not noted before, with what they are now.
    new: Mapping[str, Noted]
    #: All that are there, with what they are now.
    found: Mapping[str, Noted]

    @property
    def damaged(self) -> tuple[str, ...]:
        """A line for each object that is not what it was."""
        return (*(f"changed: {name}" for name in self.changed), *(f"gone: {name}" for name in self.missing))


class Inventory:
    """The file in which the objects of one repository are noted."""

    def __init__(self, path: Path, root: Path, keep: Callable[[str], bool]) -> None:
        self._path, self._root, self._keep = path, root, keep
        self.noted: dict[str, Noted] = {}
        if path.exists():
            self.noted = {name: (row[0], row[1]) for name, row in json.loads(path.read_text(encoding="utf-8")).items()}

    def names(self) -> list[str]:
        """The objects that are there now, unread."""
        return list(walk(self._root, self._keep))

    def read(self, names: Sequence[str]) -> dict[str, Noted]:
        """What these objects are now, several of them at a time."""
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            found = pool.map(lambda name: digest(self._root / name), names)
            return dict(zip(names, found))  # noqa: B905 - Python 3.9

    def compare(self) -> Comparison:
        """Read every object and compare it."""
        names = self.names()
        found = self.read(names)
        changed = tuple(name for name in names if name in self.noted and self.noted[name] != found[name])
        missing = tuple(sorted(set(self.noted) - set(names)))
        return Comparison(changed, missing, {name: found[name] for name in names if name not in self.noted}, found)

    def note(self, new: Mapping[str, Noted], gone: Iterable[str] = ()) -> None:
        """Take in what was verified, and forget what was removed on purpose."""
        for name in gone:
            self.noted.pop(name, None)
        self.noted.update(new)
        replace(self._path, json.dumps(self.noted))

    @property
    def root_hash(self) -> str:
        """One hash that stands for all objects, to be kept elsewhere."""
        return hash_over(self.noted)


def hash_over(objects: Mapping[str, Noted]) -> str:
    """One hash that stands for all of these objects, whatever order they come in."""
    text = "".join(f"{row[1]} {row[0]} {name}\n" for name, row in sorted(objects.items()))
    return hashlib.sha256(text.encode()).hexdigest()


def unlike_their_names(root: Path, configs: Mapping[str, str]) -> list[str]:
    """Objects of restic repositories below the root whose SHA-256 is not their name: no key is needed to see it.

    The config of a repository is called nothing else, so its hash is given.
    """
    wrong = [name for name in configs if not (root / name).is_file()]
    for name in walk(root, lambda path: "locks/" not in path):
        last = name.rsplit("/", 1)[-1]
        expected = configs.get(name) if last == "config" else last
        if expected is not None and digest(root / name)[1] != expected:
            wrong.append(name)
    return wrong
