"""Standing: what another node is to this one, which decides who gives way when there is not enough for all."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

from metering.units import Address


class Standing(IntEnum):
    """stranger: anybody, a key costs nothing; registered: the chain knows an owner of it; partner: we have a lease with it,
    or it is one of our bootstrap peers."""

    STRANGER = 0
    REGISTERED = 1
    PARTNER = 2


StandingOf = Callable[[Address], Standing]
"""Asked for every request: it must answer from memory."""


def take_for_stranger(_node: Address) -> Standing:
    """The standing of everybody until somebody knows better."""
    return Standing.STRANGER
