"""Search: the offers that can run a job, ranked by what they ask and by all that we know of their providers."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

import trio

from metering.units import U128_MAX, Address
from scheduler.book import Book, Shortfall, shortfalls_of
from scheduler.feasible import is_only_busy
from scheduler.job import Job
from scheduler.latency import Latency
from scheduler.offer import SignedOffer
from scheduler.preferences import ExposureBound, Preferences
from scheduler.reputation import Reputation
from scheduler.score import Parts, Score, weights_of
from xnode.node.records import Candidate
from xnode.peers.book import LiveBook
from xnode.peers.experience import Experience
from xnode.peers.registrations import Registrations
from xnode.ports.clock import Clock

MAX_CANDIDATES = 32
"""Candidates that a search gives: more than are ever asked for a quote."""


CHAIN_WAIT_S = 8.0
"""How long the chain may take, in all, to say what it knows of the offers that a search ranks."""

AGAIN_WAIT_S = 1.0
"""How long it may take to say again what it said some minutes ago: until it does, that counts."""

ROUNDS = (MAX_CANDIDATES, 128, 512, 2_000, 2_000, 2_000)
"""How many of the best offers the chain is asked about, one time after the other, until the best are borne out by it: as a rule
they are at once, and a market full of offers that nobody registered is gone through in few batches all the same."""


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
            Score(min(self.parts.total, U128_MAX)),
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
    cheapest: tuple[SignedOffer, ...] = ()
    """The one by whose price the job's time was valued, ranked or not."""


class OfferSearch:
    """Searches the book. The chain is asked only about the offers that would be ranked: for what they claim of it."""

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
        """Rank what the book holds for the job now: it is refreshed beside, and nobody is waited for but the first to answer.
        No job is refused by an old offer, which its provider may have changed: then it is asked for anew."""
        await self._book.wait_first()
        found = await self._search(job, tried)
        if not found.ranked and await self._book.ask_anew():
            found = await self._search(job, tried)
        if not found.ranked and found.may_grow:
            await self._book.wait_answers()
            found = await self._search(job, tried)
        return found

    async def _search(self, job: Job, tried: tuple[Address, ...]) -> Found:
        offers, entropy = self._book.offers, os.urandom(32)
        self._experience.look()
        offers.drop_expired(self._clock.now_ns())
        found, unread = await self._settle(job, tried, entropy)
        # A node that could not be asked the last time may be gone: it comes after those that answered.
        marked = (replace(one, silent=self._book.is_silent(one.offer.offer.node)) for one in found.ranked)
        return replace(
            found,
            ranked=tuple(sorted(marked, key=lambda one: one.silent)),
            waiting=self._book.count_asked(),
            may_grow=self._book.is_looking,
            unread=unread or self._book.unread,
        )

    async def _settle(self, job: Job, tried: tuple[Address, ...], entropy: bytes) -> tuple[Found, str]:
        """Rank, ask the chain about those that are ranked, and rank again, until it has borne out all of them; or why it did
        not, and then only those that it had told before are ranked."""
        reason = "the chain did not answer in time"
        with trio.move_on_after(CHAIN_WAIT_S):
            for count in ROUNDS:
                found = self._rank(job, tried, entropy, count, trusting=True)
                best = replace(found, ranked=found.ranked[:MAX_CANDIDATES])
                if not self._list_doubtful(job, best):
                    return best, ""
                reason = await self._ask_chain(job, self._list_doubtful(job, found))
                if reason:
                    break
        return self._rank(job, tried, entropy, MAX_CANDIDATES, trusting=False), reason

    def _rank(self, job: Job, tried: tuple[Address, ...], entropy: bytes, count: int, trusting: bool) -> Found:
        preferences = self._make_preferences(job, tried, trusting)
        return search_offers(self._book.offers, job, preferences, self._clock.now_ns(), entropy, count)

    def _list_doubtful(self, job: Job, found: Found) -> list[SignedOffer]:
        """Those of them of which the chain has yet to say something."""
        offers = [*found.cheapest, *(one.offer for one in found.ranked)]
        staked = self._registrations.known_stakes(one.offer.provider for one in offers) if job.min_stake else {}
        return [
            one
            for one in offers
            if self._registrations.is_due(one.offer.node) or (job.min_stake and one.offer.provider not in staked)
        ]

    async def _ask_chain(self, job: Job, offers: list[SignedOffer]) -> str:
        """Why the chain did not say all."""
        nodes = [one.offer.node for one in offers]
        is_new = not all(self._registrations.knows_owner(node) for node in nodes)
        reason = await self._registrations.learn_owners(nodes, CHAIN_WAIT_S if is_new else AGAIN_WAIT_S)
        if reason or not job.min_stake:
            return reason
        providers = [one.offer.provider for one in offers]
        read = await self._registrations.read_stakes(providers)
        return "" if all(one in read for one in providers) else "the chain did not say what is staked"

    def note_silence(self, node: Address) -> None:
        """The node could not be reached: until it answers again, it comes after the others."""
        self._book.note_silence(node)

    def _make_preferences(self, job: Job, tried: tuple[Address, ...], trusting: bool) -> Preferences:
        """trusting: what the chain has yet to say of an offer counts as good."""
        refused = {node: "tried already for this job" for node in tried}
        offers = self._book.offers
        asked = (offers.get(node) for node in self._registrations.known_nodes()) if trusting else offers
        for signed in asked:
            reason = self._find_doubt(signed, trusting) if signed is not None else ""
            if signed is not None and reason:
                refused.setdefault(signed.offer.node, reason)
        providers = {signed.offer.provider for signed in offers} if job.min_stake else set()
        known = self._registrations.known_stakes(providers)
        trusted = dict.fromkeys(providers, job.min_stake) if trusting else {}
        return Preferences(
            refused=refused,
            latencies=self._book.latencies,
            stakes=trusted | {one: staked.amount for one, staked in known.items()},
            defaulted=frozenset(one for one, staked in known.items() if staked.in_default),
            reputations=self._experience.reputations,
            warm=self._experience.holders_of(job.image.digest),
            exposure_bound=self._exposure_bound,
        )

    def _find_doubt(self, signed: SignedOffer, trusting: bool) -> str:
        """Why the chain does not bear the offer out, "" when it does."""
        node, owner = signed.offer.node, self._registrations.owner_of(signed.offer.node)
        if not self._registrations.knows_owner(node):
            unknown = "the chain cannot be asked whether its node key is registered; try again"
            return "" if trusting else unknown
        if owner is None:
            return "its node key is not registered on chain"
        if owner != signed.offer.provider:
            return f"its node key is registered to 0x{owner.hex()}, not to the provider it names"
        return ""


def search_offers(
    offers: Book, job: Job, preferences: Preferences, now_ns: int, entropy: bytes, count: int = MAX_CANDIDATES
) -> Found:
    """Search twice when anything fits: the lowest price found first says what the job's time is worth."""
    search = offers.search(job, preferences, now_ns, 1, entropy)
    cheapest = search.candidates
    if cheapest:
        weights = weights_of(job, (one.subject.body.tariff for one in cheapest))
        search = offers.search(job, replace(preferences, weights=weights), now_ns, count, entropy)
    ranked = []
    for scored in search.candidates:
        signed = offers.get(scored.node)
        if signed is not None:
            ranked.append(_make_ranked(signed, scored.parts, preferences))
    known = ((one, offers.get(one.node)) for one in search.unfit)
    busy = sum(is_only_busy(job, signed.offer, one.misfits) for one, signed in known if signed is not None)
    return Found(
        search.offers_seen,
        tuple(ranked),
        shortfalls_of(search),
        busy,
        cheapest=tuple(signed for one in cheapest if (signed := offers.get(one.node)) is not None),
    )


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
