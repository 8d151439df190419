"""ComputeCredit: calldata, views and events of tGPU and tCPU, which are also ERC-20s with permits (see openx_token)."""

from __future__ import annotations

from enum import IntEnum

from xnode.chain.abi.codec import Event, Function


class Kind(IntEnum):
    """What one credit is an hour of: a reference GPU or a reference vCPU."""

    GPU = 0
    CPU = 1


MINT = Function("mint(address,uint256)")
BURN_AT = Function("burnAt(address,uint256)")
REDEEM = Function("redeem(address,uint256)", "uint256")
NOTE_SHORTAGE = Function("noteShortage(address)")

OUTSTANDING = Function("outstanding(address)", "int256")
LIMIT_OF = Function("limitOf(address)", "uint256")
MINTABLE_OF = Function("mintableOf(address)", "uint256")
SHORTFALL_OF = Function("shortfallOf(address)", "uint256")
SHORTAGE_OF = Function("shortageOf(address)", "uint64,uint64")
VALUE_OF = Function("valueOf(address,uint256)", "uint256")
DEFAULT_GRACE = Function("DEFAULT_GRACE()", "uint64")
IS_DEFAULTED = Function("isDefaulted(address)", "bool")
HELD_STAKE_OF = Function("heldStakeOf(address)", "uint256")
KIND = Function("kind()", "uint8")
REGISTRY = Function("registry()", "address")
CAPACITY = Function("capacity()", "address")
OWNER = Function("owner()", "address")
COLLATERAL_RATIO = Function("collateralRatio()", "uint256")
WINDOW_HOURS = Function("windowHours()", "uint32")

MINTED = Event("Minted(address indexed provider, address indexed to, uint256 amount, int256 outstanding)")
BURNED_AT = Event("BurnedAt(address indexed provider, address indexed from, uint256 amount, int256 outstanding)")
REDEEMED = Event(
    "Redeemed(address indexed provider, address indexed holder, uint256 amount, uint256 paid, int256 outstanding)"
)
SHORTAGE_NOTED = Event("ShortageNoted(address indexed provider, uint64 since)")
COLLATERAL_RATIO_SET = Event("CollateralRatioSet(uint256 collateralRatio)")
WINDOW_SET = Event("WindowSet(uint32 windowHours)")

DECIMALS = 18
UNIT: int = 10**DECIMALS
"""Base units of one credit, and of OPENX: what collateralRatio is given for."""


def collateral_of(amount: int, collateral_ratio: int) -> int:
    """OPENX base units of stake that so many credits outstanding need, rounded as the contract does: up."""
    return -(-max(amount, 0) * collateral_ratio // UNIT)
