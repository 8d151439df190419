"""Matrices: a device's A and B, rows or columns at a time, out of its seed by splitmix64. Only worker processes import it."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from metering.units import Hash32

Int8s: TypeAlias = NDArray[np.int8]
UInt64s: TypeAlias = NDArray[np.uint64]

STEP = 0x9E3779B97F4A7C15
MASK = (1 << 64) - 1

_MULTIPLIERS = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_SHIFTS = np.uint64(30), np.uint64(27), np.uint64(31)

_CHUNK_WORDS = 32_768
"""Words mixed at a time: 256 KiB and as much to compute in, so that all of it stays in the cache."""

_STEPS = np.arange(_CHUNK_WORDS, dtype=np.uint64) * np.uint64(STEP)


def split_seed(seed: Hash32) -> tuple[int, int]:
    """The two words from which A and B are made."""
    return int.from_bytes(seed[:8], "big"), int.from_bytes(seed[8:16], "big")


def expand(word: int, n: int, first: int, count: int) -> Int8s:
    """Lines first to first + count - 1 of a matrix, count x n: rows of A from seedA, columns of B from seedB."""
    words = count * n // 8
    start = first * n // 8
    out = np.empty(words, dtype="<u8")
    for at in range(0, words, _CHUNK_WORDS):
        part = out[at : at + _CHUNK_WORDS]
        base = np.uint64((word + (start + at) * STEP) & MASK)
        np.add(_STEPS[: len(part)], base, out=part)
        _mix(part)
    return out.view(np.int8).reshape(count, n)


def _mix(words: UInt64s) -> None:
    """splitmix64's finalizer, in place."""
    for shift, multiplier in zip(_SHIFTS, _MULTIPLIERS, strict=False):
        words ^= words >> shift
        words *= multiplier
    words ^= words >> _SHIFTS[2]
