"""ProviderRegistry: calls and views of the contract that knows node keys, payouts and stake."""

from __future__ import annotations

from enum import IntEnum

import msgspec

from metering.eip712 import Domain
from metering.units import Address, Amount, Hash32
from xnode.chain.abi.codec import Call, View, amount_of


class Role(IntEnum):
    """The compartments of stake, in the contract's numbers: what a seller of compute answers with, and what a verifier does."""

    PROVIDER = 0
    VERIFIER = 1


class JudgeEntry(msgspec.Struct, frozen=True):
    """Who may take of which compartment, and the most of it in one penalty period, in millionths."""

    judge: Address
    role: int
    most_ppm: int


class HoldEntry(msgspec.Struct, frozen=True):
    """A contract that keeps stake of a compartment from leaving."""

    hold: Address
    role: int


class KeyTime(msgspec.Struct, frozen=True):
    """From when to when a node key was bound, in seconds UTC. since 0: never; until 0: it is bound."""

    since: int
    until: int


class StakeDetails(msgspec.Struct, frozen=True):
    """OPENX base units that count, and that are on their way out; thaw_end: seconds UTC, 0 when nothing thaws."""

    staked: Amount
    thawing: Amount
    thaw_end: int


class Announced(msgspec.Struct, frozen=True):
    """What of the thawing stake was announced as lost and waits for whom it is owed: OPENX base units; until: seconds UTC, 0
    when nothing waits."""

    amount: Amount
    until: int


class Faults(msgspec.Struct, frozen=True):
    """Episodes of faults proven against a provider, and the OPENX base units that it lost by them."""

    count: int
    slashed: Amount


REGISTER = Call("ProviderRegistry", "register")
ROTATE_NODE_KEY = Call("ProviderRegistry", "rotateNodeKey")
SET_PAYOUT = Call("ProviderRegistry", "setPayout")
START_UNSTAKE = Call("ProviderRegistry", "startUnstake")
STAKE_INTO = Call("ProviderRegistry", "stakeInto")
START_UNSTAKE_FROM = Call("ProviderRegistry", "startUnstakeFrom")
WITHDRAW_STAKE_FROM = Call("ProviderRegistry", "withdrawStakeFrom")
SET_PROFILE = Call("ProviderRegistry", "setProfile")
CONNECT = Call("ProviderRegistry", "connect")

PROVIDER_OF = View("ProviderRegistry", "providerOf", Address)
BOUND_PROVIDER_OF = View("ProviderRegistry", "boundProviderOf", Address)
KEY_TIME_OF = View("ProviderRegistry", "keyTimeOf", KeyTime)
NODE_KEY_OF = View("ProviderRegistry", "nodeKeyOf", Address)
PAYOUT_OF = View("ProviderRegistry", "payoutOf", Address)
STAKE_OF = View("ProviderRegistry", "stakeOf", amount_of)
STAKE_DETAILS = View("ProviderRegistry", "stakeDetails", StakeDetails)
STAKE_DETAILS_IN = View("ProviderRegistry", "stakeDetailsIn", StakeDetails)
ANNOUNCED_IN = View("ProviderRegistry", "announcedIn", Announced)
HELD_STAKE_OF = View("ProviderRegistry", "heldStakeOf", amount_of)
HELD_IN = View("ProviderRegistry", "heldIn", amount_of)
IS_NOT_PAYABLE = View("ProviderRegistry", "isNotPayable", bool)
PROFILE_OF = View("ProviderRegistry", "profileOf", Hash32)
FAULTS_OF = View("ProviderRegistry", "faultsOf", Faults)
NONCES = View("ProviderRegistry", "nonces", int)
STAKE_THAW = View("ProviderRegistry", "stakeThaw", int)

COLLECT_TIME_S = 7 * 86_400
"""How long after its thaw an announced loss can be collected (ProviderRegistry.COLLECT_TIME)."""


def make_domain(chain_id: int, registry: Address) -> Domain:
    """Where node keys' consents count."""
    return Domain(chain_id, registry)
