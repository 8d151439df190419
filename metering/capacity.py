"""Capacity: what a node and a verifier sign about a challenge of CapacityRegistry: the answer of a device, and the verdict.

Both are signed in CapacityRegistry's domain, not in PaymentEscrow's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from metering.bounds import SignatureBytes
from metering.eip712 import keccak, typed_digest
from metering.units import U32, U64, ZERO_HASH, Hash32

LEAF_COLUMNS = 256
"""Elements in one leaf, each an int32, big-endian."""

LEAF_BYTES = 4 * LEAF_COLUMNS

MAX_PATH = 32
"""Levels above a leaf: 26 for the largest product there is."""

OPENED_ROWS = 4
"""Rows that each verifier opens of each device."""


class CapacityAnswer(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a node says a device's product is. device: from 0, through the challenge's claims in order; n: rows and
    columns of its class; seed: the device's own, out of the challenge's; root: of the product's Merkle tree."""

    challenge_id: Hash32
    device: U32
    n: U32
    seed: Hash32
    root: Hash32


class SignedAnswer(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """An answer and the provider's node signature over its digest."""

    answer: CapacityAnswer
    signature: SignatureBytes


class Verdict(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What one verifier saw. answers_hash: answers_hash_of of the devices' roots; opening_seed: the verifier's entropy, revealed
    only after the answers were signed, which say which rows were opened."""

    challenge_id: Hash32
    answers_hash: Hash32
    passed: bool
    opening_seed: Hash32


class SignedVerdict(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A verdict and the verifier's node signature over its digest."""

    verdict: Verdict
    signature: SignatureBytes


class ElementProof(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A leaf of an answer's tree and the way to its root (IFaultProver.ElementProof). index: of the leaf; column: within the
    leaf, of the element that is meant; path: from the leaf up."""

    index: U64
    column: Annotated[int, msgspec.Meta(ge=0, lt=LEAF_COLUMNS)]
    values: Annotated[bytes, msgspec.Meta(min_length=LEAF_BYTES, max_length=LEAF_BYTES)]
    path: Annotated[tuple[Hash32, ...], msgspec.Meta(max_length=MAX_PATH)]

    @property
    def element(self) -> int:
        """What the leaf says the element is."""
        return int.from_bytes(self.values[4 * self.column : 4 * self.column + 4], "big", signed=True)

    def find_place(self, n: int) -> tuple[int, int]:
        """(row, column) of the element in an n x n product."""
        row, leaf = divmod(self.index, n // LEAF_COLUMNS)
        return row, leaf * LEAF_COLUMNS + self.column

    def find_root(self) -> Hash32:
        """The root that the leaf and its path lead to."""
        node = keccak(b"\0" + self.index.to_bytes(8, "big") + self.values)
        for level, beside in enumerate(self.path):
            node = keccak(b"\1" + (beside + node if self.index >> level & 1 else node + beside))
        return node


def count_leaves(n: int) -> int:
    """Leaves of the tree over an n x n product."""
    return n * (n // LEAF_COLUMNS)


def count_levels(leaves: int) -> int:
    """Levels above the leaves: the length of a path."""
    return max(0, leaves - 1).bit_length()


def element_at(seed: Hash32, n: int, row: int, column: int) -> int:
    """One element of the product that a device's seed asks for: row of A times column of B, exactly."""
    first, second = (int.from_bytes(seed[at : at + 8], "big") for at in (0, 8))
    return sum(a * b for a, b in zip(_expand(first, n, row), _expand(second, n, column), strict=True))


_MASK = (1 << 64) - 1


def _expand(word: int, n: int, line: int) -> list[int]:
    words = n // 8
    made = (_mix(word + (line * words + at) * 0x9E3779B97F4A7C15 & _MASK).to_bytes(8, "little") for at in range(words))
    return [byte - 256 if byte > 127 else byte for byte in b"".join(made)]


def _mix(word: int) -> int:
    """splitmix64's finalizer."""
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    word = (word ^ word >> 27) * 0x94D049BB133111EB & _MASK
    return word ^ word >> 31


def find_opened_rows(opening_seed: Hash32, device: int, n: int) -> tuple[int, ...]:
    """The rows of a device that a verdict says its verifier opened; two may be the same."""
    parts = (device.to_bytes(32, "big") + k.to_bytes(32, "big") for k in range(OPENED_ROWS))
    return tuple(int.from_bytes(keccak(opening_seed + part), "big") % n for part in parts)


def answers_hash_of(roots: Sequence[Hash32]) -> Hash32:
    """keccak of the roots in order of device; zero when there are none."""
    return keccak(b"".join(roots)) if roots else ZERO_HASH


def answer_digest_of(separator: Hash32, answer: CapacityAnswer) -> Hash32:
    """What the provider's node signs. separator: of CapacityRegistry's domain."""
    return typed_digest(separator, "CapacityAnswer", answer)


def verdict_digest_of(separator: Hash32, verdict: Verdict) -> Hash32:
    """What the verifier's node signs. separator: of CapacityRegistry's domain."""
    return typed_digest(separator, "Verdict", verdict)
