"""The Merkle tree against the vectors that implementations of RFC 6962 share, and against its definition."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from ansible_collections.ops.runbook.plugins.module_utils.merkle import (
    EMPTY_ROOT,
    ProofError,
    Tree,
    grown,
    leaf_hash,
    node_hash,
    root_of_peaks,
    sides,
    verify_consistency,
    verify_inclusion,
)

#: Leaves and roots of the test vectors of Certificate Transparency.
DATA = [bytes.fromhex(text) for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657")]
DATA.append(bytes.fromhex("606162636465666768696a6b6c6d6e6f"))
ROOTS = (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
LEAVES = [leaf_hash(data) for data in DATA]


def by_definition(leaves: list[bytes]) -> bytes:
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    left = 1
    while left * 2 < len(leaves):
        left *= 2
    return node_hash(by_definition(leaves[:left]), by_definition(leaves[left:]))


@pytest.fixture(scope="module")
def tree() -> Tree:
    return Tree(leaf_hash(b"%d" % number) for number in range(70))


def test_known_roots() -> None:
    whole = Tree(LEAVES)
    assert [whole.root(size).hex() for size in range(9)] == list(ROOTS)
    assert Tree().root() == EMPTY_ROOT


def test_known_proofs() -> None:
    """The paths that the vectors give for leaf 5 of 8 and leaf 2 of 3, and from 6 to 8 leaves."""
    whole = Tree(LEAVES)
    assert [node.hex() for node in whole.inclusion(5, 8)] == [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]
    assert [node.hex() for node in whole.inclusion(2, 3)] == [
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"
    ]
    assert [node.hex() for node in whole.consistency(6, 8)] == [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]


def test_every_root_is_that_of_the_definition(tree: Tree) -> None:
    leaves = [tree.leaf(index) for index in range(len(tree))]
    assert [tree.root(size) for size in range(71)] == [by_definition(leaves[:size]) for size in range(71)]


def test_every_inclusion_proof_verifies_and_no_other(tree: Tree) -> None:
    for size in range(1, 71):
        root = tree.root(size)
        for index in range(size):
            proof = tree.inclusion(index, size)
            leaf = tree.leaf(index)
            assert len(sides(index, size)) == len(proof)
            assert verify_inclusion(leaf, index, size, proof, root)
            assert not verify_inclusion(leaf_hash(b"other"), index, size, proof, root)
            assert not verify_inclusion(leaf, index, size, [*proof, leaf], root)
            assert not verify_inclusion(leaf, index ^ 1, size, proof, root) or size == 1
            if proof:
                assert not verify_inclusion(leaf, index, size, proof[:-1], root)


def test_sides_lead_to_the_root(tree: Tree) -> None:
    """The way of somebody who has a shell: the hash beside the last one, on its side."""
    for size in range(1, 71):
        for index in range(size):
            node = tree.leaf(index)
            for side, sibling in zip(sides(index, size), tree.inclusion(index, size), strict=True):
                node = node_hash(sibling, node) if side == "left" else node_hash(node, sibling)
            assert node == tree.root(size)


def test_every_consistency_proof_verifies_and_no_other(tree: Tree) -> None:
    for new in range(1, 71):
        for old in range(new + 1):
            proof = tree.consistency(old, new)
            assert verify_consistency(old, tree.root(old), new, tree.root(new), proof)
            assert not verify_consistency(old, leaf_hash(b"x"), new, tree.root(new), proof)
            assert not verify_consistency(old, tree.root(old), new, leaf_hash(b"x"), proof) or not old
            assert not verify_consistency(old, tree.root(old), new, tree.root(new), [*proof, EMPTY_ROOT])


def test_a_rewritten_history_has_no_consistency_proof() -> None:
    old = Tree(LEAVES)
    forged = Tree([*LEAVES[:3], leaf_hash(b"forged"), *LEAVES[4:], leaf_hash(b"new")])
    assert not verify_consistency(8, old.root(), 9, forged.root(), forged.consistency(8, 9))


def test_peaks_are_enough_to_go_on(tree: Tree) -> None:
    for size in range(70):
        peaks = tree.peaks(size)
        assert root_of_peaks(peaks) == tree.root(size)
        more = [tree.leaf(index) for index in range(size, 70)]
        assert root_of_peaks(grown(size, peaks, more)) == tree.root()


def test_what_is_not_there_has_no_proof(tree: Tree) -> None:
    with pytest.raises(ProofError, match="has no leaf 70"):
        tree.inclusion(70)
    with pytest.raises(ProofError, match="70 leaves and not 71"):
        tree.root(71)
    with pytest.raises(ProofError, match="never had 9"):
        tree.consistency(9, 8)
    assert not verify_inclusion(tree.leaf(0), 70, 70, [], tree.root())
    assert not verify_consistency(8, tree.root(8), 7, tree.root(7), [])


def test_a_saved_tree_gives_the_same_proofs(tree: Tree, tmp_path: Path) -> None:
    tree.save(tmp_path / "tree")
    loaded = Tree.load(tmp_path / "tree")
    assert (len(loaded), loaded.root()) == (70, tree.root())
    assert loaded.inclusion(33) == tree.inclusion(33)
    loaded.extend([leaf_hash(b"more")])
    assert verify_consistency(70, tree.root(), 71, loaded.root(), loaded.consistency(70))
    assert len(Tree.load(tmp_path / "none")) == 0


def test_proofs_grow_with_the_logarithm() -> None:
    """A hundred times the leaves: at most seven more hashes in the proof."""
    lengths = [len(Tree([EMPTY_ROOT] * size).inclusion(size // 3)) for size in (1_000, 10_000, 100_000)]
    assert lengths == sorted(lengths)
    assert lengths[-1] <= 17
    assert lengths[-1] - lengths[0] <= 7
