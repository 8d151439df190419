"""Market: what other nodes offer, and what is known of them."""

from __future__ import annotations

from dataclasses import dataclass

from metering.units import Address, Hash32
from scheduler.preferences import ExposureBound
from xnode.peers.book import LiveBook
from xnode.peers.experience import Experience
from xnode.peers.registrations import Registrations
from xnode.peers.search import OfferSearch
from xnode.ports.chain import Chain
from xnode.ports.clock import Clock
from xnode.ports.net import Net


@dataclass(frozen=True, slots=True)
class Market:
    """book: offers; registrations: what the chain says of their providers; experience: what our own leases say."""

    book: LiveBook
    search: OfferSearch
    registrations: Registrations
    experience: Experience


def make_market(
    net: Net,
    node: Address,
    chain: Chain,
    clock: Clock,
    separator: Hash32,
    experience: Experience,
    exposure_bound: ExposureBound,
) -> Market:
    """The market as this node sees it. exposure_bound: on what offers may leave unpaid."""
    registrations = Registrations(chain, clock)
    book = LiveBook(net, node, clock, separator, registrations)
    return Market(book, OfferSearch(book, registrations, experience, clock, exposure_bound), registrations, experience)
