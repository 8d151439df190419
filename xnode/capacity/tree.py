"""Tree: the Merkle tree over a product, and proofs of spans of its leaves (IFaultProver.ElementProof). Needs no numpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sha3 import keccak_256

from metering.capacity import LEAF_BYTES, LEAF_COLUMNS, count_levels
from metering.units import ZERO_HASH, Hash32

HASH_BYTES = 32


def find_row_span(n: int, row: int) -> tuple[int, int]:
    """(first leaf, leaves) of a row."""
    return row * (n // LEAF_COLUMNS), n // LEAF_COLUMNS


def hash_leaf(index: int, values: bytes) -> Hash32:
    """values: 256 elements, int32, big-endian."""
    return Hash32(keccak_256(b"\0" + index.to_bytes(8, "big") + values).digest())


def hash_leaves(first: int, values: bytes | memoryview) -> bytes:
    """The hashes of whole leaves one behind the other, numbered from `first`."""
    view = memoryview(values)
    hashes = [
        keccak_256(b"\0" + (first + number).to_bytes(8, "big") + view[at : at + LEAF_BYTES]).digest()
        for number, at in enumerate(range(0, len(view), LEAF_BYTES))
    ]
    return b"".join(hashes)


def hash_node(left: bytes, right: bytes) -> Hash32:
    """A node over two others."""
    return Hash32(keccak_256(b"\1" + left + right).digest())


def make_empty_hashes(levels: int) -> tuple[Hash32, ...]:
    """What stands at each level for a part without leaves: 32 zero bytes at level 0, hashed upwards."""
    empty = [ZERO_HASH]
    for _ in range(levels):
        empty.append(hash_node(empty[-1], empty[-1]))
    return tuple(empty)


@dataclass(frozen=True, slots=True)
class SpanProof:
    """What leads from neighbouring leaves to the root: at each level, from the leaves up, at most one hash on either side."""

    left: tuple[Hash32, ...]
    right: tuple[Hash32, ...]


@dataclass(frozen=True, slots=True)
class Tree:
    """levels[0] holds the leaves' hashes, the last the root; each level only the nodes that have leaves below them."""

    levels: tuple[bytes, ...]

    @property
    def root(self) -> Hash32:
        """What the node signs."""
        return Hash32(self.levels[-1])

    def make_path(self, index: int) -> tuple[Hash32, ...]:
        """The hashes beside the way from a leaf to the root."""
        empty = make_empty_hashes(len(self.levels) - 1)
        return tuple(self._node(level, (index >> level) ^ 1, empty) for level in range(len(self.levels) - 1))

    def prove_span(self, first: int, count: int) -> SpanProof:
        """The proof for leaves first to first + count - 1."""
        empty = make_empty_hashes(len(self.levels) - 1)
        left, right = [], []
        low, high = first, first + count - 1
        for level in range(len(self.levels) - 1):
            if low & 1:
                left.append(self._node(level, low - 1, empty))
            if not high & 1:
                right.append(self._node(level, high + 1, empty))
            low, high = low >> 1, high >> 1
        return SpanProof(tuple(left), tuple(right))

    def _node(self, level: int, number: int, empty: Sequence[Hash32]) -> Hash32:
        found = self.levels[level][HASH_BYTES * number : HASH_BYTES * (number + 1)]
        return Hash32(found) if found else empty[level]


def make_tree(leaves: bytes) -> Tree:
    """The tree over the hashes of all leaves, in order."""
    levels = [leaves]
    empty = ZERO_HASH
    for _ in range(count_levels(len(leaves) // HASH_BYTES)):
        levels.append(_make_level(levels[-1], empty))
        empty = hash_node(empty, empty)
    return Tree(tuple(levels))


def _make_level(below: bytes, empty: bytes) -> bytes:
    step = 2 * HASH_BYTES
    whole = len(below) - len(below) % step
    hashes = [keccak_256(b"\1" + below[at : at + step]).digest() for at in range(0, whole, step)]
    if whole < len(below):
        hashes.append(hash_node(below[whole:], empty))
    return b"".join(hashes)


class WrongProof(ValueError):
    """A proof has more or fewer hashes than its span asks for."""


def fold_span(leaves: Sequence[Hash32], first: int, total: int, proof: SpanProof) -> tuple[tuple[Hash32, ...], ...]:
    """The span's nodes with the proof's beside them, level by level; the last holds the root alone. Raises WrongProof.

    leaves: the span's own hashes; total: leaves of the whole tree. Of every level the nodes are those from
    (the level's first & ~1) on, so that a path can be read from them (find_path).
    """
    nodes, levels = list(leaves), []
    left, right = list(proof.left), list(proof.right)
    low, high = first, first + len(leaves) - 1
    try:
        for _ in range(count_levels(total)):
            if low & 1:
                nodes.insert(0, left.pop(0))
            if not high & 1:
                nodes.append(right.pop(0))
            levels.append(tuple(nodes))
            nodes = [hash_node(nodes[at], nodes[at + 1]) for at in range(0, len(nodes), 2)]
            low, high = low >> 1, high >> 1
    except IndexError:
        raise WrongProof("the proof has too few hashes") from None
    if left or right:
        raise WrongProof("the proof has too many hashes")
    return (*levels, tuple(nodes))


def find_path(levels: Sequence[Sequence[Hash32]], first: int, index: int) -> tuple[Hash32, ...]:
    """The path of one leaf of a folded span that began at leaf `first`: what IFaultProver takes as evidence."""
    path = []
    for level, nodes in enumerate(levels[:-1]):
        base = (first >> level) & ~1
        path.append(nodes[((index >> level) ^ 1) - base])
    return tuple(path)
