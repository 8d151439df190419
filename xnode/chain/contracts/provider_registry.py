"""ProviderRegistry: calls and views of the contract that knows node keys, payouts and stake."""

from __future__ import annotations

import msgspec

from metering.eip712 import Domain
from metering.units import Address, Amount, Hash32
from xnode.chain.abi.codec import Call, View, amount_of


class StakeDetails(msgspec.Struct, frozen=True):
    """OPENX base units that count, and that are on their way out; thaw_end: seconds UTC, 0 when nothing thaws."""

    staked: Amount
    thawing: Amount
    thaw_end: int


class Faults(msgspec.Struct, frozen=True):
    """Proven faults of a provider, and the OPENX base units that it lost by them."""

    count: int
    slashed: Amount


REGISTER = Call("ProviderRegistry", "register")
ROTATE_NODE_KEY = Call("ProviderRegistry", "rotateNodeKey")
SET_PAYOUT = Call("ProviderRegistry", "setPayout")
STAKE = Call("ProviderRegistry", "stake")
START_UNSTAKE = Call("ProviderRegistry", "startUnstake")
WITHDRAW_STAKE = Call("ProviderRegistry", "withdrawStake")
SET_PROFILE = Call("ProviderRegistry", "setProfile")
CONNECT = Call("ProviderRegistry", "connect")

PROVIDER_OF = View("ProviderRegistry", "providerOf", Address)
BOUND_PROVIDER_OF = View("ProviderRegistry", "boundProviderOf", Address)
NODE_KEY_OF = View("ProviderRegistry", "nodeKeyOf", Address)
PAYOUT_OF = View("ProviderRegistry", "payoutOf", Address)
STAKE_OF = View("ProviderRegistry", "stakeOf", amount_of)
STAKE_DETAILS = View("ProviderRegistry", "stakeDetails", StakeDetails)
HELD_STAKE_OF = View("ProviderRegistry", "heldStakeOf", amount_of)
PROFILE_OF = View("ProviderRegistry", "profileOf", Hash32)
FAULTS_OF = View("ProviderRegistry", "faultsOf", Faults)
NONCES = View("ProviderRegistry", "nonces", int)
STAKE_THAW = View("ProviderRegistry", "stakeThaw", int)


def make_domain(chain_id: int, registry: Address) -> Domain:
    """Where node keys' consents count."""
    return Domain(chain_id, registry)
