"""CapacityRegistry: calls and views of the contract that knows what a provider's hardware was seen to do."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from eth_abi.abi import encode as abi_encode

from metering.eip712 import keccak
from metering.units import Address, Hash32
from xnode.chain.abi.codec import Call, View, list_of
from xnode.chain.contracts.challenge_rules import class_of

RECORD_GAS = 300_000
VERDICT_GAS = 70_000
ROOT_GAS = 1_000
"""The expensive case of record(): the first fee of every verifier, a capacity that ends, and a root for each device. Unused gas
costs nothing."""

DRAW_GAS = 2_200_000
"""The largest panel out of the longest list of verifiers: what is estimated in another block is another draw."""


class Tries(msgspec.Struct, frozen=True):
    """How a provider's own requests ended."""

    passed: int
    failed: int
    lapsed: int


class Capacity(msgspec.Struct, frozen=True):
    """What is in force; *_milli: thousandths of reference units; since, until: the chain's seconds, 0 when nothing is."""

    gpus: int
    vcpus: int
    gpu_milli: int
    cpu_milli: int
    since: int
    until: int


class ChallengeRow(msgspec.Struct, frozen=True):
    """A challenge as the contract has it. stage: its place in ports.capacity.ChallengeStage; declared: (class id, count)."""

    provider: Address
    stage: int
    draw_block: int
    deadline: int
    seed: Hash32
    panel: tuple[Address, ...]
    declared: tuple[tuple[int, int], ...]


class DeviceRow(msgspec.Struct, frozen=True):
    """One device of a challenge, and the seed and size of its matrices."""

    provider: Address
    seed: Hash32
    n: int


REQUEST_CHALLENGE = Call("CapacityRegistry", "requestChallenge")
DRAW = Call("CapacityRegistry", "draw")
RECORD = Call("CapacityRegistry", "record")
NOTE_VERDICTS = Call("CapacityRegistry", "noteVerdicts")

CHALLENGE_OF = View("CapacityRegistry", "challengeOf", ChallengeRow)
CONDITIONS_OF = View("CapacityRegistry", "conditionsOf", list_of(class_of))
DEVICE_OF = View("CapacityRegistry", "deviceOf", DeviceRow)
DRAWN_AT = View("CapacityRegistry", "drawnAt", int)
QUORUM_OF = View("CapacityRegistry", "quorumOf", int)
OPEN_CHALLENGE_OF = View("CapacityRegistry", "openChallengeOf", Hash32)
CAPACITY_OF = View("CapacityRegistry", "capacityOf", Capacity)
VERIFIED_OF = View("CapacityRegistry", "verifiedOf", int)
HISTORY_OF = View("CapacityRegistry", "historyOf", Capacity)
HISTORY_LENGTH = View("CapacityRegistry", "historyLength", int)
IS_JAILED = View("CapacityRegistry", "isJailed", bool)
IN_DOUBT_UNTIL = View("CapacityRegistry", "inDoubtUntil", int)
LAPSED_SINCE = View("CapacityRegistry", "lapsedSince", int)
TRIES_OF = View("CapacityRegistry", "triesOf", Tries)


def make_request(declared: Sequence[tuple[int, int]]) -> bytes:
    """The calldata of a provider's request; declared: (class_id, count). The provider's own wallet sends it, after it has
    approved the registry for CapacitySettings.price_of."""
    return REQUEST_CHALLENGE.encode(sorted(declared))


def challenge_id_of(chain_id: int, registry: Address, provider: Address, number: int) -> Hash32:
    """The id of a provider's challenge, numbered from 1."""
    return keccak(abi_encode(("uint256", "address", "address", "uint256"), (chain_id, registry, provider, number)))
