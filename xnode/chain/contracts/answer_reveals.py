"""AnswerReveals: calls, views and the event of the contract through which anyone sees leaves of recorded answers."""

from __future__ import annotations

import msgspec

from metering.units import Address, Amount, Hash32
from xnode.chain.abi.codec import Call, Event, View

REVEAL_GAS = 60_000
REVEAL_LEAF_GAS = 120_000
"""A leaf of the largest tree: 2 KiB of calldata, copied and hashed 27 times on."""


class DemandRow(msgspec.Struct, frozen=True):
    """A demand as the contract has it. stage: its place in ports.reveals.DemandStage."""

    provider: Address
    stage: int
    deadline: int
    payer: Address
    fee: Amount
    revealed_at: int
    at_block: int
    leaves_hash: Hash32
    challenge_id: Hash32


class Demanded(msgspec.Struct, frozen=True):
    """leaves: (device, index, n, seed, root) of each."""

    demand_id: int
    challenge_id: Hash32
    provider: Address
    payer: Address
    fee: Amount
    deadline: int
    leaves: tuple[tuple[int, int, int, Hash32, Hash32], ...]


DEMAND = Call("AnswerReveals", "demand")
REVEAL = Call("AnswerReveals", "reveal")
DOUBT = Call("AnswerReveals", "doubt")
PROVE_REVEALED = Call("AnswerReveals", "proveRevealed")

DEMAND_OF = View("AnswerReveals", "demandOf", DemandRow)
DEMAND_COUNT = View("AnswerReveals", "demandCount", int)

DEMANDED = Event("AnswerReveals", Demanded)
