"""SimMarket: stands where OfferPublisher and OfferSearch do: offers on one board, searched by the real book."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from metering.refusal import Refusal
from metering.units import Address, Hash32
from scheduler.book import Book
from scheduler.job import Job
from scheduler.offer import SignedOffer
from scheduler.preferences import ExposureBound, Preferences
from tests.sim.clockwork import Clockwork
from xnode.peers.search import Found, search_offers

SEARCH_NS = 50_000_000


@dataclass(slots=True)
class SimMarket:
    """One for all nodes. searched: how often; withdrawn: with which reasons offers were taken back."""

    clockwork: Clockwork
    entropy: random.Random
    separator: Hash32
    board: dict[Address, SignedOffer]
    searched: int = 0
    exposure_bound: ExposureBound = field(default_factory=ExposureBound)
    withdrawn: list[str] = field(default_factory=list)

    async def publish(self, offer: SignedOffer) -> None:
        """Everybody can see it a moment later; the offer of a node that has gone stays, as in a real replica."""
        await self.clockwork.sleep(SEARCH_NS)
        self.board[offer.offer.node] = offer

    async def withdraw(self, wait_s: float = 0, refusal: Refusal | None = None) -> None:
        """What others know of the offer stays: the provider itself has to refuse."""
        await self.clockwork.sleep(SEARCH_NS)
        self.withdrawn.append(refusal.code if refusal else "")

    async def search(self, job: Job, tried: tuple[Address, ...]) -> Found:
        """What the book holds for the job."""
        await self.clockwork.sleep(SEARCH_NS)
        self.searched += 1
        now_ns = self.clockwork.now_ns
        book = Book(self.separator)
        for signed in self.board.values():
            book.add(signed, now_ns)
        refused = dict.fromkeys(tried, "tried already for this job")
        preferences = Preferences(refused=refused, exposure_bound=self.exposure_bound)
        return search_offers(book, job, preferences, now_ns, self.entropy.randbytes(32))

    def note_silence(self, node: Address) -> None:
        """The board is asked anew each time."""
