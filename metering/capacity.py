"""Capacity: what a node and a verifier sign about a challenge of CapacityRegistry: the answer of a device, and the verdict.

Both are signed in CapacityRegistry's domain, not in PaymentEscrow's.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from metering.eip712 import keccak, make_digest
from metering.units import U32, ZERO_HASH, Hash32


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
    signature: bytes


class Verdict(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What one verifier saw. answers_hash: make_answers_hash of the devices' roots; opening_seed: the verifier's dice, told
    only after the answers were signed, which say which rows were opened."""

    challenge_id: Hash32
    answers_hash: Hash32
    passed: bool
    opening_seed: Hash32


class SignedVerdict(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A verdict and the verifier's node signature over its digest."""

    verdict: Verdict
    signature: bytes


def make_answers_hash(roots: Sequence[Hash32]) -> Hash32:
    """keccak of the roots in order of device; zero when there are none."""
    return keccak(b"".join(roots)) if roots else ZERO_HASH


def make_answer_digest(separator: Hash32, answer: CapacityAnswer) -> Hash32:
    """What the provider's node signs. separator: of CapacityRegistry's domain."""
    return make_digest(separator, "CapacityAnswer", answer)


def make_verdict_digest(separator: Hash32, verdict: Verdict) -> Hash32:
    """What the verifier's node signs. separator: of CapacityRegistry's domain."""
    return make_digest(separator, "Verdict", verdict)
