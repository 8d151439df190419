"""Control methods of a provider: what is offered, what is asked, what was earned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, get_args

import msgspec
import trio

from metering.tariff import Tariff
from metering.time_words import say_duration
from metering.units import NANOS_PER_SECOND, Address, Amount
from xnode.console.config import describe_settings
from xnode.console.console import Console
from xnode.console.gas import make_gas
from xnode.console.method import NoParams, control_method
from xnode.console.paging import PageParams, check_states
from xnode.console.present import hosting
from xnode.console.silences import find_unanswered
from xnode.console.standing import IN_DEFAULT, JAILED
from xnode.control import views
from xnode.errors import UserError
from xnode.node.lease import LeaseStatus
from xnode.node.provider.room import leased_of
from xnode.node.records import HeldQuote, ProviderLease, ProviderSettings, SilenceClaim
from xnode.ports.chain import Staked
from xnode.text.amount import format_amount, parse_amount
from xnode.text.hex import to_hex

MAX_LEASES = 100
"""Leases in what is said of a provider; `provider.leases` has them all, page by page."""
LOOK_S = 3.0
"""How long a person who asks for the status waits for the chain."""


class PriceParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """prices: decimal numbers in the provider's asset, by the price's name."""

    prices: dict[str, str]


class LeasesParams(PageParams, frozen=True, forbid_unknown_fields=True):
    """states: only leases that are in one of these."""

    states: tuple[str, ...] = ()


@control_method("provider.set_price")
async def set_price(console: Console, params: PriceParams) -> views.Prices:
    """New prices for new quotes. A price not named stays."""
    provider = console.require_provider()
    decimals = console.presenter.assets[provider.asset].decimals
    prices = {}
    for name, text in params.prices.items():
        if name not in Tariff.__struct_fields__:
            raise UserError(f"price {name} does not exist", hint=f"use one of: {', '.join(Tariff.__struct_fields__)}")
        prices[name] = format_amount(parse_amount(text, decimals), decimals)
    await console.declared.set_prices(prices)
    return console.presenter.prices(console.require_provider().tariff, provider.asset)


@control_method("provider.status")
async def status(console: Console, _params: NoParams) -> views.ProviderStatus:
    """What is offered, what runs, and why jobs were turned away."""
    state, provider, registrations = console.loop.state, console.require_provider(), console.market.registrations
    node, standing = state.settings.node, state.standing_offer
    looked = await _look_at_chain(console, provider)
    registered = registrations.owner_of(node) == provider.owner if registrations.knows_owner(node) else None
    live = [one for one in state.all(ProviderLease) if one.status not in ("settled", "refused")]
    live.sort(key=lambda one: -one.requested_at_ns)
    return views.ProviderStatus(
        node=to_hex(node),
        provider=to_hex(provider.owner),
        registered=registered,
        asset=console.presenter.symbol(provider.asset),
        region=provider.region,
        prices=console.presenter.prices(provider.tariff, provider.asset),
        capacity=hosting(provider.offered_resources()),
        free=hosting(standing.free),
        stake=None if looked.stake is None else console.presenter.stake(looked.stake),
        offer_number=standing.number,
        offer_expires_at_ns=standing.expires_at_ns,
        quotes=sum(1 for _ in state.all(HeldQuote)),
        reveals=_make_reveals(console),
        leases=_make_rows(console, live[:MAX_LEASES]),
        leases_total=len(live),
        refusals=dict(console.node.refusals),
        hints=_make_hints(console, provider, registered, looked),
        gas=make_gas(console.node.fuel()),
        drained_at_ns=state.settings.drained_at_ns,
        not_lent=console.node.not_lent(),
        leased=hosting(leased_of(state)),
        challenge_failed=await _find_failed(console),
        settings=await describe_settings(console),
    )


def _make_reveals(console: Console) -> views.Reveals:
    now = console.node.reveals()
    return views.Reveals(now.open, now.has_more, now.until_s, now.late, now.reason)


async def _find_failed(console: Console) -> views.ChallengeFailed | None:
    keeper = console.challenge_failures
    found = await keeper.find_last() if keeper is not None else None
    return views.ChallengeFailed(to_hex(found.challenge_id), found.drawn_at_s, found.reason) if found else None


@control_method("provider.leases")
async def leases(console: Console, params: LeasesParams) -> views.LeasePage:
    """A page of the leases that this node serves or served, newest first, and how many there are in all."""
    console.require_provider()
    check_states(params.states, get_args(LeaseStatus))
    page = await console.journal.read_page(ProviderLease, params.make_pick(params.states))
    return views.LeasePage(_make_rows(console, page.records), page.total)


def _make_rows(console: Console, leases: Sequence[ProviderLease]) -> tuple[views.LeaseRow, ...]:
    state = console.loop.state
    return tuple(console.presenter.lease_row(one, state.get(SilenceClaim, one.lease_id)) for one in leases)


class _Look(NamedTuple):
    """What the chain said in the time that a person waits. problem: why not all of it, "" when all; in_default: by its
    credits."""

    stake: Amount | None
    problem: str
    in_default: bool = False


async def _look_at_chain(console: Console, provider: ProviderSettings) -> _Look:
    """Who owns the node key, and the stake; both asked at once."""
    registrations, node = console.market.registrations, console.loop.state.settings.node
    problem = f"the chain node has not answered for {LOOK_S:g} s"
    stakes: dict[Address, Staked] = {}

    async def learn_owner() -> None:
        nonlocal problem
        problem = await registrations.learn_owner(node, anew=True)

    async def read_stake() -> None:
        stakes.update(await registrations.read_stakes([provider.owner]))

    with trio.move_on_after(LOOK_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(learn_owner)
            nursery.start_soon(read_stake)
    if not problem and provider.owner not in stakes:
        problem = "the stake was not said"
    staked = stakes.get(provider.owner)
    return _Look(None if staked is None else staked.amount, problem, staked is not None and staked.in_default)


def _make_hints(
    console: Console, provider: ProviderSettings, registered: bool | None, looked: _Look
) -> tuple[str, ...]:
    hints, problem = [], looked.problem
    known = console.node.ready()
    if looked.in_default or "credits" in known:
        hints.append(IN_DEFAULT)
    if "jail" in known:
        hints.append(JAILED)
    if console.loop.state.settings.drained_at_ns:
        hints.append("drained, so no job comes: run `xnode provider resume` when the maintenance is over")
    if problem:
        hints.append(
            f"the chain cannot be asked now, so what it says may be old or missing ({problem}): see `xnode doctor`"
        )
    if registered is False:
        hints.append("the node key is not registered to its owner on chain, so no job comes: run `xnode provider init`")
    if provider.exceeds_verified:
        hints.append(
            "the share is larger than what was verified, and the rest is held back because its use would be slashable:"
            " run `xnode provider capacity request` for all of it"
        )
    if provider.in_doubt_until_s:
        left_s = max(0, provider.in_doubt_until_s - console.clock.now_ns() // NANOS_PER_SECOND)
        hints.append(
            f"a check of the verified capacity was failed, and it ends in {say_duration(left_s * NANOS_PER_SECOND)}:"
            " run `xnode provider capacity request` before, while no workload is in the way"
        )
    hints += filter(None, (find_unanswered(console.loop, console.clock), console.node.reveals().describe()))
    gas = make_gas(console.node.fuel())
    if gas is not None and gas.is_low:
        hints.append(
            f"the node key has gas for about {gas.transactions} transactions, a lease takes two:"
            f" send some to {to_hex(console.loop.state.settings.node)}"
        )
    if not console.node.peers():
        hints.append("no peer is connected: check node.bootstrap and the network")
    if console.node.refusals:
        code, count = console.node.refusals.most_common(1)[0]
        hints.append(f"{count} requests for work were refused for {code!r}, the most frequent reason")
    return tuple(hints)
