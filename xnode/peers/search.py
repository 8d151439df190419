"""Search: the offers that can run a job, ranked by what they ask and by all that we know of their providers."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

import trio

from metering.units import Address
from scheduler.book import Book, Shortfall, shortfalls_of
from scheduler.feasible import is_only_busy
from scheduler.job import Job
from scheduler.latency import Latency
from scheduler.offer import SignedOffer
from scheduler.preferences import ExposureBound, Preferences
from scheduler.reputation import Reputation
from scheduler.score import Parts, weights_of
from xnode.node.records import Candidate
from xnode.peers.book import LiveBook
from xnode.peers.experience import Experience
from xnode.peers.registrations import Registrations
from xnode.ports.clock import Clock

MAX_CANDIDATES = 32
"""Candidates that a search gives: more than are ever asked for a quote."""


OWNERS_WAIT_S = 8.0
"""How long the chain may take to say who owns the offers: those that it has told are searched, the others later."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """An offer that can run the job. rtt_ns: to expect; latency: None when it was never measured."""

    offer: SignedOffer
    parts: Parts
    rtt_ns: int
    latency: Latency | None
    reputation: Reputation
    has_image: bool
    silent: bool = False

    def to_record(self) -> Candidate:
        """What the job's record keeps of it."""
        return Candidate(
            self.offer,
            self.rtt_ns,
            self.parts.total,
            self.parts.describe(),
            self.reputation,
            self.has_image,
            self.silent,
        )


@dataclass(frozen=True, slots=True)
class Found:
    """What a search gave: offers seen, those that can run the job, best first, and why the others cannot. busy: those of them
    that could if they had more room; waiting: nodes that have not answered yet; may_grow: the market was looked for just now,
    and more may be known in a moment."""

    seen: int
    ranked: tuple[Ranked, ...]
    shortfalls: tuple[Shortfall, ...]
    busy: int = 0
    waiting: int = 0
    may_grow: bool = False
    unread: str = ""
    """Why the chain did not say who owns all of them, "" when it did."""


class OfferSearch:
    """Searches the book. It asks the chain only for what an offer claims about it."""

    def __init__(
        self,
        book: LiveBook,
        registrations: Registrations,
        experience: Experience,
        clock: Clock,
        exposure_bound: ExposureBound,
    ) -> None:
        self._book, self._registrations, self._experience, self._clock = book, registrations, experience, clock
        self._exposure_bound = exposure_bound

    async def search(self, job: Job, tried: tuple[Address, ...]) -> Found:
        """Rank what the book holds for the job now: it is refreshed beside, and nobody is waited for but the first to answer."""
        await self._book.wait_first()
        found = await self._search(job, tried)
        if not found.ranked and found.may_grow:
            await self._book.wait_answers()
            found = await self._search(job, tried)
        return found

    async def _search(self, job: Job, tried: tuple[Address, ...]) -> Found:
        offers = self._book.offers
        unread = await self._learn_owners([known.offer.node for known in tuple(offers)])
        self._experience.look()
        preferences = await self._make_preferences(job, tried)
        now_ns = self._clock.now_ns()
        offers.drop_expired(now_ns)
        found = search_offers(offers, job, preferences, now_ns, os.urandom(32))
        # A node that could not be asked the last time may be gone: it comes after those that answered.
        marked = (replace(one, silent=self._book.is_silent(one.offer.offer.node)) for one in found.ranked)
        return replace(
            found,
            ranked=tuple(sorted(marked, key=lambda one: one.silent)),
            waiting=self._book.count_asked(),
            may_grow=self._book.is_looking,
            unread=unread,
        )

    def note_silence(self, node: Address) -> None:
        """The node could not be reached: until it answers again, it comes after the others."""
        self._book.note_silence(node)

    async def _learn_owners(self, nodes: list[Address]) -> str:
        """Why not all could be learned. A chain that is away is asked once, not once for each offer."""
        reason = "the chain did not answer in time"
        with trio.move_on_after(OWNERS_WAIT_S):
            for node in nodes:
                reason = await self._registrations.learn_owner(node)
                if reason:
                    break
        return reason if any(not self._registrations.knows_owner(node) for node in nodes) else ""

    async def _make_preferences(self, job: Job, tried: tuple[Address, ...]) -> Preferences:
        refused = {node: "tried already for this job" for node in tried}
        for signed in self._book.offers:
            reason = self._find_doubt(signed)
            if reason:
                refused.setdefault(signed.offer.node, reason)
        providers = [signed.offer.provider for signed in self._book.offers] if job.min_stake else []
        return Preferences(
            refused=refused,
            latencies=self._book.latencies,
            stakes=await self._registrations.read_stakes(providers),
            reputations=self._experience.reputations,
            warm=self._experience.holders_of(job.image.digest),
            exposure_bound=self._exposure_bound,
        )

    def _find_doubt(self, signed: SignedOffer) -> str:
        """Why the chain does not bear the offer out, "" when it does."""
        node, owner = signed.offer.node, self._registrations.owner_of(signed.offer.node)
        if not self._registrations.knows_owner(node):
            return "the chain cannot be asked whether its node key is registered; try again"
        if owner is None:
            return "its node key is not registered on chain"
        if owner != signed.offer.provider:
            return f"its node key is registered to 0x{owner.hex()}, not to the provider it names"
        return ""


def search_offers(offers: Book, job: Job, preferences: Preferences, now_ns: int, entropy: bytes) -> Found:
    """Search twice when anything fits: the lowest price found first says what the job's time is worth."""
    cheapest = offers.search(job, preferences, now_ns, 1, entropy).candidates
    weights = weights_of(job, (one.subject.body.tariff for one in cheapest))
    search = offers.search(job, replace(preferences, weights=weights), now_ns, MAX_CANDIDATES, entropy)
    ranked = []
    for scored in search.candidates:
        signed = offers.get(scored.node)
        if signed is not None:
            ranked.append(_make_ranked(signed, scored.parts, preferences))
    known = ((one, offers.get(one.node)) for one in search.unfit)
    busy = sum(is_only_busy(job, signed.offer, one.misfits) for one, signed in known if signed is not None)
    return Found(search.offers_seen, tuple(ranked), shortfalls_of(search), busy)


def _make_ranked(signed: SignedOffer, parts: Parts, preferences: Preferences) -> Ranked:
    node = signed.offer.node
    return Ranked(
        offer=signed,
        parts=parts,
        rtt_ns=preferences.rtt_us(node) * 1000,
        latency=preferences.latencies.get(node),
        reputation=preferences.reputation(node),
        has_image=node in preferences.warm,
    )
