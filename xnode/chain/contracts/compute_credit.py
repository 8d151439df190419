"""ComputeCredit: calls and views of tGPU and tCPU, which are also ERC-20s with permits (see openx_token)."""

from __future__ import annotations

from enum import IntEnum

from metering.units import mul_div_up
from xnode.chain.abi.codec import Call, View, amount_of
from xnode.text.amount import OPENX


class Kind(IntEnum):
    """What one credit is an hour of: a reference GPU or a reference vCPU."""

    GPU = 0
    CPU = 1


IN_FORCE = 2**64 - 1
"""As the time until which a verdict serves: there is no end of it yet."""

MINT = Call("ComputeCredit", "mint")
BURN_AT = Call("ComputeCredit", "burnAt")
REDEEM = Call("ComputeCredit", "redeem")

OUTSTANDING = View("ComputeCredit", "outstanding", int)
LIMIT_OF = View("ComputeCredit", "limitOf", int)
MINTABLE_OF = View("ComputeCredit", "mintableOf", int)
SHORTFALL_OF = View("ComputeCredit", "shortfallOf", int)
REDEEMABLE_OF = View("ComputeCredit", "redeemableOf", int)
SERVED_UNTIL = View("ComputeCredit", "servedUntil", int)
VALUE_OF = View("ComputeCredit", "valueOf", int)
DEFAULT_GRACE = View("ComputeCredit", "DEFAULT_GRACE", int)
IS_DEFAULTED = View("ComputeCredit", "isDefaulted", bool)
HELD_STAKE_OF = View("ComputeCredit", "heldStakeOf", amount_of)
COLLATERAL_RATIO = View("ComputeCredit", "collateralRatio", int)
WINDOW_HOURS = View("ComputeCredit", "windowHours", int)


def collateral_of(amount: int, collateral_ratio: int) -> int:
    """OPENX base units of stake that so many credits need when they are minted, rounded as the contract does: up.

    collateral_ratio: for one whole credit, which has as many base units as one OPENX.
    """
    return mul_div_up(max(amount, 0), collateral_ratio, OPENX)


def added_collateral(amount: int, outstanding: int, held: int, collateral_ratio: int) -> int:
    """OPENX base units that a mint of so many adds to what is held, to the unit: each credit above zero outstanding needs the
    ratio now, or what those that are outstanding have, where that is more.

    held: for what is outstanding, by the contract.
    """
    owed = max(outstanding, 0)
    more = max(outstanding + amount, 0) - owed
    needed = collateral_of(more, collateral_ratio)
    return max(needed, mul_div_up(held, more, owed)) if owed else needed
