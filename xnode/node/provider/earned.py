"""Earned: a running sum of what a provider earned, day by day and asset by asset: no lease is needed to know it."""

from __future__ import annotations

from metering.units import NANOS_PER_SECOND, U128_MAX, Address, Amount
from xnode.node.records import ProviderEscrow
from xnode.node.state import Turn
from xnode.node.sums import EarnedDay

DAY_NS = 86_400 * NANOS_PER_SECOND


def count_earned(
    turn: Turn, asset: Address, *, earned: int = 0, claimed: int = 0, leases: int = 0, settled: int = 0
) -> None:
    """Add to today's sums."""
    last = _find_last(turn, asset)
    # A day that is put away is never begun again, also where the clock is set back: its sums would be lost.
    day = max(turn.at_ns // DAY_NS, last.day if last else 0)
    today = last if last is not None and last.day == day else EarnedDay(day, asset)
    turn.put(
        today,
        earned=Amount(min(today.earned + earned, U128_MAX)),
        claimed=Amount(max(0, min(today.claimed + claimed, U128_MAX))),
        leases=today.leases + leases,
        settled=today.settled + settled,
    )


def _find_last(turn: Turn, asset: Address) -> EarnedDay | None:
    days = sorted((one for one in turn.state.all(EarnedDay) if one.asset == asset), key=lambda one: one.day)
    is_new = bool(days) and days[-1].day < turn.at_ns // DAY_NS
    for old in days if is_new else days[:-1]:
        turn.archive(old)
    return days[-1] if days else None


def see_paid(turn: Turn, escrow: ProviderEscrow, deposited: Amount, claimed: Amount, thaw_end: int) -> ProviderEscrow:
    """The escrow as the chain shows it; what it was seen to pay since the last look counts as claimed today."""
    if claimed != escrow.claimed:
        count_earned(turn, escrow.escrow.asset, claimed=claimed - escrow.claimed)
    return turn.put(escrow, deposited=deposited, claimed=claimed, thaw_end=thaw_end)
