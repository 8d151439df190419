"""OverCapacity: calls and views of the contract that judges cases of usage beyond what was verified."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from metering.over_capacity import MAX_PAIRS, OverCapacity, ReceiptPair
from metering.units import Address, Hash32
from xnode.chain.abi.codec import Call, View
from xnode.chain.contracts.fault_prover import lease_of, receipt_of


class Case(msgspec.Struct, frozen=True):
    """What a reporter's case has so far. pairs: how many were added; chain: over them, as in the evidence's id."""

    provider: Address
    history_index: int
    pairs: int
    gpus: int
    vcpus: int
    oldest_ns: int
    newest_ns: int
    chain: Hash32
    last_lease: Hash32
    gpu_ns: int
    vcpu_ns: int


OPEN_CASE = Call("OverCapacity", "openCase")
ADD_PAIRS = Call("OverCapacity", "addPairs")
CLOSE = Call("OverCapacity", "close")

CASE_OF = View("OverCapacity", "caseOf", Case)


def make_opening(proof: OverCapacity, commitment: Hash32) -> bytes:
    """Calldata that opens the case, empty."""
    return OPEN_CASE.encode(commitment, proof.provider, proof.history_index)


def make_addition(commitment: Hash32, pairs: Sequence[ReceiptPair]) -> bytes:
    """Calldata that adds so many pairs, at most MAX_PAIRS."""
    assert len(pairs) <= MAX_PAIRS, "one transaction takes no more"
    rows = [(lease_of(one.lease), receipt_of(one.older), receipt_of(one.newer), one.begun_under) for one in pairs]
    return ADD_PAIRS.encode(commitment, rows)
