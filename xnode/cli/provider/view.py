"""Provider view: how a provider's status and earnings look on a terminal."""

from __future__ import annotations

from typing import Any

import msgspec

from xnode.cli.terminal.brief import (
    brief_age,
    brief_date,
    brief_duration,
    brief_gas,
    brief_hosting,
    brief_id,
    brief_money,
    brief_settings,
)
from xnode.cli.terminal.screen import Column, Screen, say
from xnode.control.views import EarnedPeriod, EarningsView, LeaseRow, ProviderStatus

_LEASES = (
    Column("lease"),
    Column("state", fold=True),
    Column("resources", fold=True),
    Column("ran", right=True),
    Column("cost", right=True),
    Column("unpaid", right=True),
    Column("asset", optional=True),
    Column("outputs", fold=True, optional=True),
)
_REFUSALS = (Column("jobs", right=True), Column("turned away because", fold=True))
_EARNINGS = (
    Column("asset"),
    Column("earned", right=True),
    Column("signed for", right=True),
    Column("claimed", right=True),
    Column("to claim", right=True),
    Column("leases", right=True),
)

_PERIODS = (
    Column("from"),
    Column("asset"),
    Column("earned", right=True),
    Column("claimed", right=True),
    Column("leases", right=True),
    Column("settled", right=True),
)

_REGISTERED = {True: "", False: "  (not registered on chain)", None: "  (registration not known)"}


def draw_provider(screen: Screen, answer: Any) -> None:
    """Print a provider.status answer."""
    status = msgspec.convert(answer, ProviderStatus)
    prices = status.prices
    screen.record(
        (
            ("provider", status.provider + _REGISTERED[status.registered]),
            ("node", status.node),
            ("region", status.region),
            ("offered", brief_hosting(status.capacity)),
            ("free now", brief_hosting(status.free)),
            ("prices", ", ".join(f"{name} {brief_money(getattr(prices, name))}" for name in prices.__struct_fields__)),
            ("asset", status.asset),
            ("stake", "not known" if status.stake is None else brief_money(status.stake, "OPENX")),
            ("offer", _describe_offer(status)),
            (
                "drained",
                f"nothing new is taken since {brief_date(status.drained_at_ns)}" if status.drained_at_ns else "",
            ),
            ("not lent", "\n".join(status.not_lent)),
            ("quotes held", str(status.quotes)),
            ("settings", brief_settings(status.settings)),
            *(() if status.gas is None else (("gas", brief_gas(status.gas)),)),
        )
    )
    if status.leases:
        screen.gap()
        screen.table(_LEASES, (_make_lease_cells(row, status.asset) for row in status.leases))
        if status.leases_total > len(status.leases):
            say(f"{status.leases_total - len(status.leases):,} more: see `xnode provider leases`")
    if status.refusals:
        screen.gap()
        ranked = sorted(status.refusals.items(), key=lambda pair: -pair[1])
        screen.table(_REFUSALS, ((count, reason) for reason, count in ranked))
    for hint in status.hints:
        say(f"hint: {hint}")


def _describe_offer(status: ProviderStatus) -> str:
    if status.drained_at_ns:
        return "withdrawn"
    return f"number {status.offer_number}, good until {brief_date(status.offer_expires_at_ns)}"


def draw_leases(screen: Screen, answer: Any) -> None:
    """Print rows of provider.leases, newest first."""
    rows = msgspec.convert(answer, list[LeaseRow])
    if not rows:
        say("no such leases")
        say("hint: `xnode provider status` says why no jobs come")
        return
    columns = (*_LEASES[:-1], Column("begun", right=True), _LEASES[-1])
    cells = (_make_lease_cells(row, "") for row in rows)
    screen.table(
        columns, ((*one[:-1], brief_age(row.begun_at_ns), one[-1]) for one, row in zip(cells, rows, strict=True))
    )


def draw_earnings(screen: Screen, answer: Any) -> None:
    """Print a provider.earnings answer."""
    view = msgspec.convert(answer, EarningsView)
    if not view.rows:
        say("nothing earned yet")
        say("hint: `xnode provider status` says why no jobs come")
        return
    cells = (
        (
            row.asset,
            brief_money(row.earned),
            brief_money(row.vouchered),
            brief_money(row.claimed),
            brief_money(row.pending),
            row.leases,
        )
        for row in view.rows
    )
    if view.periods:
        screen.table(_PERIODS, (_make_period_cells(one) for one in view.periods))
        if view.more_periods:
            say(f"{view.more_periods:,} older: --limit shows more")
        screen.gap()
    screen.table(_EARNINGS, cells, "all that was ever earned" if view.periods else "")
    ended = max(0, sum(row.leases for row in view.rows) - view.settled_leases - view.open_leases)
    say(f"{_count_of(view.settled_leases, 'lease')} settled, {ended} to settle, {view.open_leases} open")
    say(f"claims are paid to {view.provider}")
    say("what broken promises gave back, or took out of stake, is not subtracted: see `xnode provider reputation`")
    if view.gas is not None and view.gas.is_low:
        say(f"gas for claims: {brief_gas(view.gas)}")


def _count_of(count: int, noun: str) -> str:
    """1 lease, 2 leases."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _make_period_cells(one: EarnedPeriod) -> tuple[object, ...]:
    return one.begins, one.asset, brief_money(one.earned), brief_money(one.claimed), one.leases, one.settled


def _make_lease_cells(row: LeaseRow, asset: str) -> tuple[object, ...]:
    return (
        brief_id(row.lease_id),
        row.state,
        brief_hosting(row.resources),
        brief_duration(row.running_ns),
        brief_money(row.cost),
        brief_money(row.exposure),
        row.asset if row.asset != asset else "",
        row.outputs,
    )
