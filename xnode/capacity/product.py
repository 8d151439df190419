"""Product: A x B exactly, in int32, a block of rows at a time, with the hashes of its leaves. Only workers import it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from metering.units import Hash32
from xnode.capacity.challenge import check_size
from xnode.capacity.matrices import Int8s, expand, split_seed
from xnode.capacity.opened_row import OpenedRow
from xnode.capacity.tree import Tree, find_row_span, hash_leaves, make_tree

Int32s: TypeAlias = NDArray[np.int32]
Int64s: TypeAlias = NDArray[np.int64]

EXACT_TERMS = 1024
"""float32 holds every whole number up to 2^24. A sum of 1,024 products of two int8 is at most 1,024 x 2^14 = 2^24, as is
every part of it, so a float32 product over so many terms is exact in any order in which BLAS adds."""

BLOCK_ROWS = 1024
"""Rows and columns multiplied at a time: 4 MiB each in float32."""


@dataclass(frozen=True, slots=True)
class Product:
    """A device's whole answer: elements big-endian, as leaves are hashed, and the tree over them."""

    n: int
    elements: NDArray[np.int32]
    tree: Tree

    @property
    def root(self) -> Hash32:
        """What the node signs."""
        return self.tree.root

    def read_row(self, row: int) -> bytes:
        """The row's elements, int32, big-endian."""
        return bytes(self.elements[row].tobytes())

    def open_row(self, row: int) -> OpenedRow:
        """The row and what leads from it to the root."""
        proof = self.tree.prove_span(*find_row_span(self.n, row))
        return OpenedRow(self.read_row(row), proof.left, proof.right)

    def multiply_vector(self, vector: bytes) -> bytes:
        """elements x vector modulo 2^64, each as 8 bytes, big-endian; see check_vector_product."""
        numbers = np.frombuffer(vector, dtype="<u4").astype(np.uint64).view(np.int64)
        out = np.empty(self.n, dtype=">i8")
        for at in range(0, self.n, BLOCK_ROWS):
            out[at : at + BLOCK_ROWS] = self.elements[at : at + BLOCK_ROWS].astype(np.int64) @ numbers
        return out.tobytes()


def make_product(seed: Hash32, n: int, on_share: Callable[[float], None] = lambda _share: None) -> Product:
    """The product and its tree; takes 4 n^2 bytes for the elements, n^2 for B and n^2 / 4 for the tree."""
    check_size(n)
    elements = np.empty((n, n), dtype=">i4")
    hashes = []
    for first, block in iter_product(seed, n):
        elements[first : first + len(block)] = block
        index, _ = find_row_span(n, first)
        hashes.append(hash_leaves(index, elements[first : first + len(block)].data.cast("B")))
        on_share((first + len(block)) / n)
    return Product(n, elements, make_tree(b"".join(hashes)))


def iter_product(seed: Hash32, n: int) -> Iterator[tuple[int, Int32s]]:
    """(first row, block of whole rows) of the product."""
    word_a, word_b = split_seed(seed)
    columns = expand(word_b, n, 0, n)
    for first in range(0, n, BLOCK_ROWS):
        rows = expand(word_a, n, first, min(BLOCK_ROWS, n - first))
        yield first, multiply(rows, columns)


def multiply(rows: Int8s, columns: Int8s) -> Int32s:
    """rows x columns, exact: rows of A by columns of B, each line n long."""
    n = rows.shape[1]
    out = np.zeros((len(rows), len(columns)), dtype=np.int32)
    for at in range(0, n, EXACT_TERMS):
        left = rows[:, at : at + EXACT_TERMS].astype(np.float32)
        for first in range(0, len(columns), BLOCK_ROWS):
            right = columns[first : first + BLOCK_ROWS, at : at + EXACT_TERMS].astype(np.float32)
            out[:, first : first + BLOCK_ROWS] += (left @ right.T).astype(np.int32)
    return out
