# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The Merkle tree of RFC 6962: roots, inclusion and consistency proofs, and their verification.

The hashes of complete subtrees never change as a tree grows. They are kept level by level, so that a root or a proof
reads a number of hashes that grows with the logarithm of the tree's size.
"""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Union

HASH_BYTES = 32
#: The root of a tree without leaves.
EMPTY_ROOT = hashlib.sha256(b"").digest()
#: On which side of a node its sibling stands.
LEFT, RIGHT = "left", "right"

#: A level's hashes, one after another; a file of them is mapped into memory and read where it is looked at.
_Level = Union[bytearray, mmap.mmap]


class ProofError(ValueError):
    """A proof that cannot be made, because the tree has no such leaf or size."""


def leaf_hash(data: bytes) -> bytes:
    """The hash of a leaf."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of a node with two children."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def _split(size: int) -> int:
    """How many leaves are in the left subtree: the largest power of two smaller than the size."""
    return 1 << ((size - 1).bit_length() - 1)


class Tree:
    """A tree that can only grow."""

    def __init__(self, leaves: Iterable[bytes] = ()) -> None:
        """A tree with these leaf hashes."""
        #: levels[k] has the hashes of all complete subtrees of 2^k leaves, from left to right.
        self._levels: list[_Level] = [bytearray()]
        self.extend(leaves)

    def __len__(self) -> int:
        return len(self._levels[0]) // HASH_BYTES

    def extend(self, leaves: Iterable[bytes]) -> None:
        """Append leaf hashes."""
        levels = [level if isinstance(level, bytearray) else bytearray(level) for level in self._levels]
        levels[0] += b"".join(leaves)
        number = 0
        while len(levels[number]) >= 2 * HASH_BYTES:
            if number + 1 == len(levels):
                levels.append(bytearray())
            below, level = levels[number], levels[number + 1]
            for start in range(2 * len(level), len(below) - 2 * HASH_BYTES + 1, 2 * HASH_BYTES):
                level += hashlib.sha256(b"\x01" + below[start : start + 2 * HASH_BYTES]).digest()
            number += 1
        self._levels = list(levels)

    def save(self, directory: Path) -> None:
        """Write one file a level."""
        directory.mkdir(parents=True, exist_ok=True)
        for number, level in enumerate(self._levels):
            draft = directory / f".{number:02}"
            draft.write_bytes(bytes(level))
            draft.replace(directory / f"{number:02}")

    @classmethod
    def load(cls, directory: Path) -> Tree:
        """The tree that was saved there. Only what a root or a proof needs is read."""
        tree = cls()
        levels: list[_Level] = []
        for path in sorted(directory.glob("[0-9][0-9]")):
            with path.open("rb") as file:
                empty = not path.stat().st_size
                levels.append(bytearray() if empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        tree._levels = levels or [bytearray()]
        return tree

    def leaf(self, index: int) -> bytes:
        """The hash of a leaf."""
        return self._complete(0, index)

    def root(self, size: int = -1) -> bytes:
        """The root of the whole tree, or as it was when it had so many leaves."""
        size = self._checked(size)
        return self._subtree(0, size) if size else EMPTY_ROOT

    def peaks(self, size: int = -1) -> list[bytes]:
        """The roots of the largest complete subtrees, from left to right: all that is needed to go on from there."""
        size = self._checked(size)
        found, start = [], 0
        for level in range(size.bit_length() - 1, -1, -1):
            if size >> level & 1:
                found.append(self._complete(level, start >> level))
                start += 1 << level
        return found

    def inclusion(self, index: int, size: int = -1) -> list[bytes]:
        """The proof that a leaf is in the tree of that size: the siblings on the way from the leaf to the root."""
        size = self._checked(size)
        if not 0 <= index < size:
            raise ProofError(f"a tree of {size} leaves has no leaf {index}")
        path: list[bytes] = []
        start = 0
        while size > 1:
            left = _split(size)
            if index - start < left:
                path.append(self._subtree(start + left, size - left))
                size = left
            else:
                path.append(self._subtree(start, left))
                start, size = start + left, size - left
        return path[::-1]

    def consistency(self, old: int, new: int = -1) -> list[bytes]:
        """The proof that the tree of the old size is the beginning of that of the new size."""
        new = self._checked(new)
        if not 0 <= old <= new:
            raise ProofError(f"a tree of {new} leaves never had {old}")
        if old in (0, new):
            return []
        path: list[bytes] = []
        start, whole = 0, True
        while old != new:
            left = _split(new)
            if old <= left:
                path.append(self._subtree(start + left, new - left))
                new = left
            else:
                path.append(self._subtree(start, left))
                start, old, new, whole = start + left, old - left, new - left, False
        if not whole:
            path.append(self._subtree(start, new))
        return path[::-1]

    def _checked(self, size: int) -> int:
        if size > len(self):
            raise ProofError(f"the tree has {len(self)} leaves and not {size}")
        return len(self) if size < 0 else size

    def _complete(self, level: int, index: int) -> bytes:
        return bytes(self._levels[level][index * HASH_BYTES : (index + 1) * HASH_BYTES])

    def _subtree(self, start: int, size: int) -> bytes:
        """The root of so many leaves from there; the start is a multiple of their next power of two."""
        right = b""
        parts = []
        for level in range(size.bit_length() - 1, -1, -1):
            if size >> level & 1:
                parts.append(self._complete(level, start >> level))
                start += 1 << level
        for part in reversed(parts):
            right = node_hash(part, right) if right else part
        return right


def root_of_peaks(peaks: Sequence[bytes]) -> bytes:
    """The root that a tree's peaks give."""
    right = b""
    for peak in reversed(peaks):
        right = node_hash(peak, right) if right else peak
    return right or EMPTY_ROOT


def grown(size: int, peaks: Sequence[bytes], leaves: Iterable[bytes]) -> list[bytes]:
    """The peaks of a tree of that size after more leaf hashes were appended."""
    found = list(peaks)
    for leaf in leaves:
        node, bits = leaf, size
        while bits & 1:
            node = node_hash(found.pop(), node)
            bits >>= 1
        found.append(node)
        size += 1
    return found


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether the proof shows that the leaf hash is in the tree with that root."""
    if not 0 <= index < size:
        return False
    turns = sides(index, size)
    if len(turns) != len(proof):
        return False
    node = leaf
    for side, sibling in zip(turns, proof):  # noqa: B905 - Python 3.9
        node = node_hash(sibling, node) if side == LEFT else node_hash(node, sibling)
    return node == root


def verify_consistency(old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether the proof shows that the older tree is the beginning of the newer one."""
    if old in (0, new):
        same = old_root == (new_root if old else EMPTY_ROOT)
        return 0 <= old <= new and not proof and same
    if not 0 < old < new:
        return False
    index, last = old - 1, new - 1
    while index & 1:
        index, last = index >> 1, last >> 1
    # Of a complete subtree at the left end, the verifier has the hash already: it is the old root.
    nodes = list(proof) if index else [old_root, *proof]
    turns = sides(index, last + 1)
    if len(nodes) != len(turns) + 1:
        return False
    older = newer = nodes[0]
    for side, sibling in zip(turns, nodes[1:]):  # noqa: B905 - Python 3.9
        if side == LEFT:
            older, newer = node_hash(sibling, older), node_hash(sibling, newer)
        else:
            newer = node_hash(newer, sibling)
    return older == old_root and newer == new_root


def sides(index: int, size: int) -> list[str]:
    """On which side of the leaf each hash of its inclusion proof stands, from the leaf to the root."""
    found, last = [], size - 1
    while last:
        if index & 1:
            found.append(LEFT)
        elif index < last:
            found.append(RIGHT)
        index, last = index >> 1, last >> 1
    return found
