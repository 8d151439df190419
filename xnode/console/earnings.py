"""Control method about what a provider earned: sums of the days, which outlive the leases that they were earned with."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import msgspec
from msgspec.structs import replace

from metering.units import Address, Amount
from xnode.console.console import Console
from xnode.console.gas import make_gas
from xnode.console.method import control_method
from xnode.console.paging import I64_MAX
from xnode.control import views
from xnode.node.lease import OPEN
from xnode.node.provider.earned import DAY_NS
from xnode.node.records import ProviderEscrow, ProviderLease
from xnode.node.state import State
from xnode.node.sums import EarnedDay
from xnode.text.hex import to_hex

MAX_PERIODS = 400
"""In one answer: more than a year of days."""

Period = Literal["", "day", "week", "month"]


class EarningsParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """by: also the sums of each day, week (from Monday) or month, in UTC; since_ns: only of the periods that end after it;
    limit: how many periods, 400 at most."""

    by: Period = ""
    since_ns: Annotated[int, msgspec.Meta(ge=0, le=I64_MAX)] = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_PERIODS)] = 30


@control_method("provider.earnings")
async def earnings(console: Console, params: EarningsParams) -> views.EarningsView:
    """What was ever earned, by asset; and how it came about over time."""
    days = await console.journal.read_records(EarnedDay)
    state, show = console.loop.state, console.presenter
    provider = state.settings.provider
    pending = _sum_pending(state)
    assets = sorted({one.asset for one in days} | pending.keys(), key=show.symbol)
    # Of a wish for some time only, days are what it is told in.
    by = params.by or ("day" if params.since_ns else "")
    periods = fold_days(days, by, params.since_ns) if by else []
    return views.EarningsView(
        provider=to_hex(provider.owner) if provider else "",
        rows=tuple(_make_total(console, asset, days, pending.get(asset, 0)) for asset in assets),
        settled_leases=sum(one.settled for one in days),
        open_leases=sum(one.status in OPEN for one in state.all(ProviderLease)),
        gas=make_gas(console.node.fuel()),
        periods=tuple(_make_period(console, one) for one in periods[: params.limit]),
        more_periods=max(0, len(periods) - params.limit),
    )


def fold_days(days: Iterable[EarnedDay], by: Period, since_ns: int) -> list[EarnedDay]:
    """The days of each period and asset as one, named by the period's first day; the newest first."""
    first = begin_of(since_ns // DAY_NS, by)
    found: dict[tuple[int, Address], EarnedDay] = {}
    for one in days:
        day = begin_of(one.day, by)
        if day >= first:
            known = found.get((day, one.asset), EarnedDay(day, one.asset))
            found[day, one.asset] = replace(
                known,
                earned=Amount(known.earned + one.earned),
                claimed=Amount(known.claimed + one.claimed),
                leases=known.leases + one.leases,
                settled=known.settled + one.settled,
            )
    return [found[place] for place in sorted(found, key=lambda place: (-place[0], place[1]))]


def begin_of(day: int, by: Period) -> int:
    """The first day of its period."""
    if by == "week":
        # 1970 began on a Thursday.
        return max(0, day - (day + 3) % 7)
    return day - _date_of(day).day + 1 if by == "month" else day


def _date_of(day: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day)


def _sum_pending(state: State) -> dict[Address, int]:
    """What is signed for and not claimed yet: of escrows at hand, for one that is owed does not leave."""
    pending: dict[Address, int] = {}
    for one in state.all(ProviderEscrow):
        pending[one.escrow.asset] = pending.get(one.escrow.asset, 0) + max(0, one.worth - one.claimed)
    return pending


def _make_total(console: Console, asset: Address, days: Iterable[EarnedDay], pending: int) -> views.Earning:
    show = console.presenter
    ours = [one for one in days if one.asset == asset]
    claimed = sum(int(one.claimed) for one in ours)
    return views.Earning(
        asset=show.symbol(asset),
        earned=show.money(sum(int(one.earned) for one in ours), asset),
        vouchered=show.money(claimed + pending, asset),
        claimed=show.money(claimed, asset),
        pending=show.money(pending, asset),
        leases=sum(one.leases for one in ours),
    )


def _make_period(console: Console, one: EarnedDay) -> views.EarnedPeriod:
    show = console.presenter
    return views.EarnedPeriod(
        begins=_date_of(one.day).date().isoformat(),
        asset=show.symbol(one.asset),
        earned=show.money(one.earned, one.asset),
        claimed=show.money(one.claimed, one.asset),
        leases=one.leases,
        settled=one.settled,
    )
