"""Sums: what stays of leases that are over: what a provider earned day by day, and how each node that served us did."""

from __future__ import annotations

import msgspec

from metering.units import ZERO, Address, Amount
from scheduler.reputation import NO_REPUTATION, Reputation


class EarnedDay(msgspec.Struct, frozen=True, tag="earned_day"):
    """What a provider earned in one asset on one day, counted from 1970 in UTC. earned: what its receipts state; claimed:
    what its escrows were seen to have paid on chain; leases: begun; settled: leases whose money is where it belongs."""

    day: int
    asset: Address
    earned: Amount = ZERO
    claimed: Amount = ZERO
    leases: int = 0
    settled: int = 0

    @property
    def key(self) -> bytes:
        return self.day.to_bytes(4, "big") + self.asset


class Dealings(msgspec.Struct, frozen=True, tag="dealings"):
    """What leases that are no longer at hand say of the node that served them. images: digests of the last that it ran for us,
    the newest last; at_ns: when the last of them was heard of."""

    node: Address
    reputation: Reputation = NO_REPUTATION
    images: tuple[str, ...] = ()
    at_ns: int = 0

    @property
    def key(self) -> bytes:
        return self.node
