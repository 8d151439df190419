"""ProviderRegistry: calldata, views and events of the contract that knows node keys, payouts and stake."""

from __future__ import annotations

import msgspec

from metering.eip712 import Domain
from metering.units import Address, Amount
from xnode.chain.abi.codec import Event, Function

REGISTER = Function("register(address,address,uint64,bytes)")
ROTATE_NODE_KEY = Function("rotateNodeKey(address,uint64,bytes)")
SET_PAYOUT = Function("setPayout(address)")
DEACTIVATE = Function("deactivate()")
STAKE = Function("stake(uint256)")
STAKE_FOR = Function("stakeFor(address,uint256)")
START_UNSTAKE = Function("startUnstake(uint256)")
WITHDRAW_STAKE = Function("withdrawStake()", "uint256")
SET_PROFILE = Function("setProfile(bytes32)")
CONNECT = Function("connect(address,address[])")

PROVIDER_OF = Function("providerOf(address)", "address")
BOUND_PROVIDER_OF = Function("boundProviderOf(address)", "address")
NODE_KEY_OF = Function("nodeKeyOf(address)", "address")
PAYOUT_OF = Function("payoutOf(address)", "address")
STAKE_OF = Function("stakeOf(address)", "uint256")
STAKE_DETAILS = Function("stakeDetails(address)", "uint128,uint128,uint64")
HELD_STAKE_OF = Function("heldStakeOf(address)", "uint256")
PROFILE_OF = Function("profileOf(address)", "bytes32")
FAULTS_OF = Function("faultsOf(address)", "uint64,uint128")
SLASHER = Function("slasher()", "address")
HOLDS_OF = Function("holdsOf()", "address[]")
NONCES = Function("nonces(address)", "uint256")
OPENX = Function("openx()", "address")
STAKE_THAW = Function("stakeThaw()", "uint32")
DOMAIN_SEPARATOR = Function("domainSeparator()", "bytes32")

PROVIDER_REGISTERED = Event("ProviderRegistered(address indexed provider, address indexed nodeKey, address payout)")
NODE_KEY_ROTATED = Event(
    "NodeKeyRotated(address indexed provider, address indexed oldNodeKey, address indexed newNodeKey)"
)
PAYOUT_SET = Event("PayoutSet(address indexed provider, address payout)")
PROVIDER_DEACTIVATED = Event("ProviderDeactivated(address indexed provider, address indexed nodeKey)")
STAKED = Event("Staked(address indexed provider, address indexed from, uint256 amount, uint256 staked)")
UNSTAKE_STARTED = Event(
    "UnstakeStarted(address indexed provider, uint256 amount, uint256 staked, uint256 thawing, uint64 thawEnd)"
)
STAKE_WITHDRAWN = Event("StakeWithdrawn(address indexed provider, uint256 amount)")
PROFILE_SET = Event("ProfileSet(address indexed provider, bytes32 profileHash)")
SLASHED = Event(
    "Slashed(address indexed provider, bytes32 indexed faultId, uint8 fault, address reporter, uint256 slashed,"
    " uint256 reward)"
)


class StakeDetails(msgspec.Struct, frozen=True):
    """OPENX base units that count, and that are on their way out; thaw_end: seconds UTC, 0 when nothing thaws."""

    staked: Amount
    thawing: Amount
    thaw_end: int


def make_domain(chain_id: int, registry: Address) -> Domain:
    """Where node keys' consents count."""
    return Domain(chain_id, registry)
