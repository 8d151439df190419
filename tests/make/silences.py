"""What the chain says of a claim of silence that was answered; the node asks the contract itself."""

from __future__ import annotations

import msgspec

from metering.units import Address, Hash32
from xnode.chain.abi.codec import Event


class SilenceAnswered(msgspec.Struct, frozen=True):
    """A receipt of this number ended a claim."""

    lease_id: Hash32
    provider: Address
    number: int


SILENCE_ANSWERED = Event("BreachProver", SilenceAnswered)
