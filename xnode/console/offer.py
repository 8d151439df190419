"""Control methods about the market's offers."""

from __future__ import annotations

from collections.abc import AsyncIterator

from xnode.console.console import Console
from xnode.console.method import NoParams, control_method
from xnode.console.present import Acquaintance
from xnode.control.views import OfferRow


@control_method("offer.list")
async def list_offers(console: Console, _params: NoParams) -> AsyncIterator[OfferRow]:
    """The offers that this node knows now, each with when its node last answered; they are refreshed beside."""
    market = console.market
    await market.book.wait_first()
    now_ns = console.clock.now_ns()
    market.experience.look()
    offers = sorted(market.book.offers, key=lambda one: one.offer.node)
    stakes = await market.registrations.read_stakes(one.offer.provider for one in offers)
    for signed in offers:
        known = Acquaintance(
            market.book.latencies.get(signed.offer.node),
            market.experience.reputations.get(signed.offer.node),
            stakes.get(signed.offer.provider),
            market.book.heard_at_ns(signed.offer.node),
            market.book.is_silent(signed.offer.node),
        )
        yield console.presenter.offer(signed, known, now_ns)
