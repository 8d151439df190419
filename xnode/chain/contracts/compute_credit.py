"""ComputeCredit: calls and views of tGPU and tCPU, which are also ERC-20s with permits (see openx_token)."""

from __future__ import annotations

from enum import IntEnum

import msgspec

from metering.units import mul_div_up
from xnode.chain.abi.codec import Call, View, amount_of
from xnode.text.amount import OPENX


class Kind(IntEnum):
    """What one credit is an hour of: a reference GPU or a reference vCPU."""

    GPU = 0
    CPU = 1


class Shortage(msgspec.Struct, frozen=True):
    """Since when a provider is known to have less capacity than it sold, and when that was last seen; the chain's
    seconds, 0 when it is not known."""

    since: int
    seen: int


MINT = Call("ComputeCredit", "mint")
BURN_AT = Call("ComputeCredit", "burnAt")
REDEEM = Call("ComputeCredit", "redeem")
NOTE_SHORTAGE = Call("ComputeCredit", "noteShortage")

OUTSTANDING = View("ComputeCredit", "outstanding", int)
LIMIT_OF = View("ComputeCredit", "limitOf", int)
MINTABLE_OF = View("ComputeCredit", "mintableOf", int)
SHORTFALL_OF = View("ComputeCredit", "shortfallOf", int)
SHORTAGE_OF = View("ComputeCredit", "shortageOf", Shortage)
VALUE_OF = View("ComputeCredit", "valueOf", int)
DEFAULT_GRACE = View("ComputeCredit", "DEFAULT_GRACE", int)
IS_DEFAULTED = View("ComputeCredit", "isDefaulted", bool)
HELD_STAKE_OF = View("ComputeCredit", "heldStakeOf", amount_of)
COLLATERAL_RATIO = View("ComputeCredit", "collateralRatio", int)
WINDOW_HOURS = View("ComputeCredit", "windowHours", int)


def collateral_of(amount: int, collateral_ratio: int) -> int:
    """OPENX base units of stake that so many credits outstanding need, rounded as the contract does: up.

    collateral_ratio: for one whole credit, which has as many base units as one OPENX.
    """
    return mul_div_up(max(amount, 0), collateral_ratio, OPENX)
