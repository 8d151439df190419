"""VerifierRegistry: calls and views of the contract that knows who judges challenges, and what they earn."""

from __future__ import annotations

import msgspec

from metering.units import Address, Amount
from xnode.chain.abi.codec import Call, Event, View, amount_of, list_of

MISSES_MAX = 8
"""Challenges in a row without a signed verdict after which anyone may strike a verifier off."""


class VerifierSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The governed numbers, in the order of IVerifierRegistry.Settings. leave_delay_s: how long a pledge is held after its
    verifier left; verifier_stake: what one pledges, in OPENX base units."""

    leave_delay_s: int
    verifier_stake: Amount


class Misses(msgspec.Struct, frozen=True):
    """How many challenges in a row a verifier was drawn for and did not sign; since: of the first, in the chain's seconds."""

    count: int
    since: int


class VerifierLeft(msgspec.Struct, frozen=True):
    """A verifier left the list, or was struck off; its pledge is held until then, in the chain's seconds."""

    verifier: Address
    held_until: int


ENLIST = Call("VerifierRegistry", "enlist")
LEAVE = Call("VerifierRegistry", "leave")
WITHDRAW_FEES = Call("VerifierRegistry", "withdrawFees")
CONNECT = Call("VerifierRegistry", "connect")

IS_VERIFIER = View("VerifierRegistry", "isVerifier", bool)
VERIFIERS = View("VerifierRegistry", "verifiers", list_of(Address))
VERIFIER_COUNT = View("VerifierRegistry", "verifierCount", int)
HELD_STAKE_OF = View("VerifierRegistry", "heldStakeOf", amount_of)
MISSES_OF = View("VerifierRegistry", "missesOf", Misses)
FEES_OF = View("VerifierRegistry", "feesOf", amount_of)
SETTINGS = View("VerifierRegistry", "settings", VerifierSettings)
SLOT_COUNT = View("VerifierRegistry", "slotCount", int)
MAX_VERIFIERS = View("VerifierRegistry", "MAX_VERIFIERS", int)
DRAW_BLOCKS = View("VerifierRegistry", "DRAW_BLOCKS", int)

VERIFIER_LEFT = Event("VerifierRegistry", VerifierLeft)
