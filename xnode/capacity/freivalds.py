"""Freivalds: checks a product without multiplying, with whole numbers, in memory that n alone bounds. Only workers import it.

The check is modulo 2^64, where it is as good as over all whole numbers: an element that is wrong is so by less than 2^32,
thus by an odd number times less than 2^32; then at most one value of that element's 32-bit factor hides it. So a wrong
product passes with probability 2^-32 at most (Freivalds 1977, over the ring of 64-bit words).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from metering.units import Hash32
from xnode.capacity.challenge import check_size
from xnode.capacity.matrices import Int8s, expand, split_seed

Floats: TypeAlias = NDArray[np.float64]
Words: TypeAlias = NDArray[np.uint64]

BLOCK_ELEMENTS = 1 << 22
"""Elements of a matrix held at a time: 4 MiB, and 32 MiB in float64."""

LIMB_BITS = 28
"""float64 holds every whole number up to 2^53: n products of an int8 and a limb stay below 2^17 x 2^7 x 2^28 = 2^52."""

LIMBS = 3
"""64 bits in limbs of 28."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What an honest device says: its product times the vector (as Product.multiply_vector), and the asked rows."""

    vector_product: bytes
    rows: tuple[bytes, ...]


def make_expected(seed: Hash32, n: int, vector: bytes, rows: Sequence[int]) -> Expected:
    """By n^2 steps instead of n^3: A x (B x vector), and the asked rows of A times B. One pass over each matrix."""
    check_size(n)
    word_a, word_b = split_seed(seed)
    asked = [expand(word_a, n, row, 1)[0] for row in rows]
    weights = np.frombuffer(vector, dtype="<u4").astype(np.uint64)
    by_vector, opened = _fold_columns(word_b, n, weights, asked)
    return Expected(_multiply_rows(word_a, n, by_vector), tuple(row.astype(">i4").tobytes() for row in opened))


def _fold_columns(word_b: int, n: int, weights: Words, asked: list[Int8s]) -> tuple[Words, NDArray[np.int32]]:
    """(B x weights modulo 2^64, the asked rows of A times B), out of one pass over B's columns."""
    total = np.zeros(n, dtype=np.uint64)
    opened = np.zeros((len(asked), n), dtype=np.int32)
    left = np.array(asked, dtype=np.float64).reshape(len(asked), n)
    block = max(1, BLOCK_ELEMENTS // n)
    for first in range(0, n, block):
        count = min(block, n - first)
        columns = expand(word_b, n, first, count).astype(np.float64)
        # A sum of n products of two int8 is exact in float64 by far.
        opened[:, first : first + count] = (left @ columns.T).astype(np.int32)
        total += _multiply_limbs(columns.T, weights[first : first + count])
    return total, opened


def _multiply_rows(word_a: int, n: int, by_vector: Words) -> bytes:
    out = np.empty(n, dtype=">u8")
    block = max(1, BLOCK_ELEMENTS // n)
    for first in range(0, n, block):
        rows = expand(word_a, n, first, min(block, n - first)).astype(np.float64)
        out[first : first + block] = _multiply_limbs(rows, by_vector)
    return out.tobytes()


def _multiply_limbs(matrix: Floats, vector: Words) -> Words:
    """matrix x vector modulo 2^64; the matrix holds int8 values."""
    mask = np.uint64((1 << LIMB_BITS) - 1)
    shifts = [np.uint64(LIMB_BITS * k) for k in range(LIMBS)]
    limbs = np.stack([((vector >> shift) & mask).astype(np.float64) for shift in shifts], axis=1)
    parts = (matrix @ limbs).astype(np.int64).view(np.uint64)
    total = np.zeros(len(parts), dtype=np.uint64)
    for k, shift in enumerate(shifts):
        total += parts[:, k] << shift
    return total
