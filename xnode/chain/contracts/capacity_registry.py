"""CapacityRegistry: calls and views of the contract that knows what a provider's hardware was seen to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
from eth_abi.abi import encode as abi_encode

from metering.eip712 import keccak
from metering.units import Address, Amount, Hash32
from xnode.chain.abi.codec import Call, View, amount_of, list_of

KINDS: tuple[Literal["gpu", "cpu"], ...] = ("gpu", "cpu")
"""Of device classes, in the contract's order."""

HASHES_KEPT = 256
"""How many blocks back the EVM, and so a draw, can read a block's hash."""

RECORD_GAS = 250_000
VERDICT_GAS = 60_000
"""The expensive case of record(): the first fee of every verifier, and a capacity that ends. Unused gas costs nothing."""

DRAW_GAS = 1_600_000
"""A panel out of the longest list of verifiers: what is estimated before the block's hash is there may be another draw."""


class DeviceClass(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A class of devices as governed now, which its place among all names. weight_milli: thousandths of a reference unit
    that one device is, 0 when the class takes no new devices; n, time_limit_ms: of the challenge that verifies it."""

    name: str
    kind: Literal["gpu", "cpu"]
    weight_milli: int
    n: int
    time_limit_ms: int


def _class_of(name: str, kind: int, weight_milli: int, n: int, time_limit_ms: int) -> DeviceClass:
    return DeviceClass(name, KINDS[kind], weight_milli, n, time_limit_ms)


class Capacity(msgspec.Struct, frozen=True):
    """What is in force; *_milli: thousandths of reference units; since, until: the chain's seconds, 0 when nothing is."""

    gpus: int
    vcpus: int
    gpu_milli: int
    cpu_milli: int
    since: int
    until: int


class CapacitySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The governed numbers, in the order of ICapacityRegistry.Settings. *_s: seconds; fee, which one challenge costs, and
    verifier_stake: OPENX base units."""

    draw_delay_blocks: int
    panel_size: int
    quorum: int
    answer_time_s: int
    validity_s: int
    spot_check_pause_s: int
    leave_delay_s: int
    fee: Amount
    verifier_stake: Amount


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
ENLIST = Call("CapacityRegistry", "enlist")
LEAVE = Call("CapacityRegistry", "leave")
WITHDRAW_FEES = Call("CapacityRegistry", "withdrawFees")

CHALLENGE_OF = View("CapacityRegistry", "challengeOf", ChallengeRow)
CONDITIONS_OF = View("CapacityRegistry", "conditionsOf", list_of(_class_of))
DEVICE_OF = View("CapacityRegistry", "deviceOf", DeviceRow)
QUORUM_OF = View("CapacityRegistry", "quorumOf", int)
OPEN_CHALLENGE_OF = View("CapacityRegistry", "openChallengeOf", Hash32)
CAPACITY_OF = View("CapacityRegistry", "capacityOf", Capacity)
VERIFIED_OF = View("CapacityRegistry", "verifiedOf", int)
HISTORY_OF = View("CapacityRegistry", "historyOf", Capacity)
HISTORY_LENGTH = View("CapacityRegistry", "historyLength", int)
IS_JAILED = View("CapacityRegistry", "isJailed", bool)
LAPSED_SINCE = View("CapacityRegistry", "lapsedSince", int)
IS_VERIFIER = View("CapacityRegistry", "isVerifier", bool)
VERIFIERS = View("CapacityRegistry", "verifiers", list_of(Address))
HELD_STAKE_OF = View("CapacityRegistry", "heldStakeOf", amount_of)
FEES_OF = View("CapacityRegistry", "feesOf", amount_of)
CLASS_OF = View("CapacityRegistry", "classOf", _class_of)
CLASS_COUNT = View("CapacityRegistry", "classCount", int)
SETTINGS = View("CapacityRegistry", "settings", CapacitySettings)


def make_request(declared: Sequence[tuple[int, int]]) -> bytes:
    """The calldata of a provider's request; declared: (class_id, count). The provider's own wallet sends it, after it has
    approved the registry for CapacitySettings.fee."""
    return REQUEST_CHALLENGE.encode(sorted(declared))


def challenge_id_of(chain_id: int, registry: Address, provider: Address, number: int) -> Hash32:
    """The id of a provider's challenge, numbered from 1."""
    return keccak(abi_encode(("uint256", "address", "address", "uint256"), (chain_id, registry, provider, number)))
