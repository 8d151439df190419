"""Market: our own offer made known, and the book of everybody's kept fresh."""

from __future__ import annotations

import os
from dataclasses import dataclass

import structlog
import trio

from metering.codec import decode_strict, encode
from metering.refusal import Refusal
from metering.units import NANOS_PER_SECOND, Address, Amount, Hash32
from scheduler.book import Book, shortfalls_of
from scheduler.job import Job
from scheduler.latency import Latency, next_latency
from scheduler.offer import SignedOffer
from scheduler.preferences import ExposureBound, Preferences
from xnode.errors import Permanent, Retryable
from xnode.net.records import NodeRecord, make_record, read_record
from xnode.node.message import OFFER_GET
from xnode.node.records import Candidate
from xnode.ports.chain import Chain
from xnode.ports.clock import Clock
from xnode.ports.net import Net, Peer, RpcRefused
from xnode.ports.wallet import Signer
from xnode.repeated_event import RepeatedEvent

FRESH_NS = 30 * NANOS_PER_SECOND
"""A book refreshed within this is not refreshed again for being looked at; the lease answer is the only truth anyway."""

WATCHED_NS = 60 * NANOS_PER_SECOND
"""So long after the last search or listing (and after the start) the book is kept fresh."""

REST_NS = 300 * NANOS_PER_SECOND
"""How often a node that nobody asks looks around; each look costs every provider two requests and the DHT a search."""

FIRST_LOOK_NS = 8 * NANOS_PER_SECOND
"""How long a node that knows no offers yet looks for some before it says there are none."""

ASK_NS = 4 * NANOS_PER_SECOND
"""How long one provider may take to hand out its offer."""

MAX_ASKS = 16
"""Providers asked at once."""

MAX_CANDIDATES = 32
"""Candidates that a search gives: more than are ever asked for a quote."""

RECORD_TTL_NS = 3600 * NANOS_PER_SECOND
"""How long a record without an offer says where we are."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Found:
    """What a search gave; see OffersRanked."""

    seen: int
    candidates: tuple[Candidate, ...]
    shortfalls: tuple[tuple[str, int, str], ...]


class Market:
    """The offer book, refreshed from the net. Reads the chain only for what an offer claims about it."""

    def __init__(
        self, net: Net, signer: Signer, chain: Chain, clock: Clock, separator: Hash32, exposure_bound: ExposureBound
    ) -> None:
        self._net, self._signer, self._chain, self._clock = net, signer, chain, clock
        self._separator, self._exposure_bound = separator, exposure_bound
        self._own: SignedOffer | None = None
        self._latencies: dict[Address, Latency] = {}
        self._owners: dict[Address, Address | None] = {}
        self._refreshed_at_ns = 0
        self._refreshing = trio.Lock()
        self._looked_at_ns = clock.now_ns()
        self._looked = RepeatedEvent()
        self.book = Book(separator)

    @property
    def latencies(self) -> dict[Address, Latency]:
        """Measured round trips by node."""
        return self._latencies

    # -------------------------------------------------------------------------------------------------------- our offer

    async def publish(self, offer: SignedOffer | None) -> None:
        """Make our offer (or only our addresses) known."""
        self._own = offer
        now_ns = self._clock.now_ns()
        record = NodeRecord(
            node=self._signer.address,
            number=now_ns,
            expires_at_ns=offer.offer.expires_at_ns if offer else now_ns + RECORD_TTL_NS,
            multiaddrs=self._net.multiaddrs(),
            body=encode(offer) if offer else b"",
        )
        await self._net.publish_record(make_record(record, self._signer))

    async def answer_offer(self, _caller: Address, _body: bytes) -> bytes:
        """offer.get: our offer as it is now."""
        if self._own is None:
            raise RpcRefused(encode(Refusal("not_a_provider", "this node offers no capacity")))
        return encode(self._own)

    # --------------------------------------------------------------------------------------------------------- the book

    async def search(self, job: Job, tried: tuple[Address, ...]) -> Found:
        """Rank what the book holds for the job; refresh it first when it is old or holds nothing that fits."""
        self._note_look()
        await self._refresh_if_older(REST_NS)
        found = await self._search(job, tried)
        if not found.candidates and await self._refresh_if_older(FRESH_NS):
            found = await self._search(job, tried)
        return found

    async def _search(self, job: Job, tried: tuple[Address, ...]) -> Found:
        begun_ns = self._clock.now_ns()
        while not len(self.book) and self._clock.now_ns() - begun_ns < FIRST_LOOK_NS:
            await trio.sleep(0.25)
            await self.refresh()
        for known in tuple(self.book):
            await self._learn_owner(known.offer.node)
        now_ns = self._clock.now_ns()
        self.book.drop_expired(now_ns)
        preferences = await self._make_preferences(job, tried)
        search = self.book.search(job, preferences, now_ns, MAX_CANDIDATES, os.urandom(32))
        candidates = []
        for scored in search.candidates:
            signed = self.book.get(scored.node)
            if signed is not None:
                rtt_ns = preferences.rtt_us(scored.node) * 1000
                candidates.append(Candidate(signed, rtt_ns, scored.score, scored.parts.describe()))
        short = tuple((one.code, one.count, one.nearest) for one in shortfalls_of(search))
        return Found(search.offers_seen, tuple(candidates), short)

    async def refresh_if_stale(self) -> None:
        """Refresh unless that was done a moment ago."""
        self._note_look()
        await self._refresh_if_older(FRESH_NS)

    def _note_look(self) -> None:
        self._looked_at_ns = self._clock.now_ns()
        self._looked.set()

    async def _refresh_if_older(self, age_ns: int) -> bool:
        """True when it was."""
        is_older = self._clock.now_ns() - self._refreshed_at_ns > age_ns
        if is_older:
            await self.refresh()
        return is_older

    async def refresh(self) -> None:
        """Ask the net who provides, and each of them for its offer; whoever cannot be asked is read from its record."""
        async with self._refreshing:
            nodes = [node for node in await self._net.find_providers() if node != self._signer.address]
            slots = trio.CapacityLimiter(MAX_ASKS)
            async with trio.open_nursery() as nursery:
                for node in nodes:
                    nursery.start_soon(self._refresh_one, node, slots)
            self.book.drop_expired(self._clock.now_ns())
            if nodes:
                self._refreshed_at_ns = self._clock.now_ns()

    async def run(self) -> None:
        """Keep the book fresh while somebody reads it, so that a search need not wait for the net."""
        while True:
            try:
                await self.refresh()
            except (Retryable, Permanent) as error:
                log.info("offers not refreshed", reason=str(error))
            await trio.sleep(FRESH_NS / 2 / NANOS_PER_SECOND)
            if self._clock.now_ns() - self._looked_at_ns > WATCHED_NS:
                with trio.move_on_after(REST_NS / NANOS_PER_SECOND):
                    await self._looked.wait()

    async def _refresh_one(self, node: Address, slots: trio.CapacityLimiter) -> None:
        async with slots:
            try:
                signed = await self._ask_offer(node) or await self._read_offer(node)
            except (Retryable, Permanent):
                return
            if signed is None or signed.offer.node != node:
                return
            refusal = self.book.add(signed, self._clock.now_ns())
            if refusal is not None and refusal.code != "offer_old":
                log.info("offer refused", node="0x" + node.hex(), code=refusal.code)
                return
            await self._learn_owner(node)

    async def _ask_offer(self, node: Address) -> SignedOffer | None:
        known = self.book.get(node)
        peer = Peer(node, known.offer.body.multiaddrs if known else ())
        try:
            # The first call may have to dial; the second one measures the way.
            await self._net.call(peer, OFFER_GET, b"", self._clock.now_ns() + ASK_NS)
            begun_ns = self._clock.now_ns()
            body = await self._net.call(peer, OFFER_GET, b"", begun_ns + ASK_NS)
        except (Retryable, Permanent, RpcRefused):
            return None
        now_ns = self._clock.now_ns()
        self._latencies[node] = next_latency(self._latencies.get(node), (now_ns - begun_ns) // 1000, now_ns)
        return _read_offer(body)

    async def _read_offer(self, node: Address) -> SignedOffer | None:
        data = await self._net.get_record(node)
        record = read_record(data, node, self._separator, self._clock.now_ns()) if data else None
        return _read_offer(record.body) if isinstance(record, NodeRecord) and record.body else None

    # ---------------------------------------------------------------------------------------------- what the chain says

    async def _learn_owner(self, node: Address) -> None:
        """Ask the chain who owns a node key; an answer of "nobody" is not kept, because it may be registered any moment."""
        if self._owners.get(node) is None:
            try:
                self._owners[node] = await self._chain.provider_of(node)
            except (Retryable, Permanent):
                # Not knowing is not the same as "not registered".
                self._owners.pop(node, None)

    async def _make_preferences(self, job: Job, tried: tuple[Address, ...]) -> Preferences:
        refused = {node: "tried already for this job" for node in tried}
        stakes: dict[Address, Amount] = {}
        for signed in self.book:
            offer = signed.offer
            owner = self._owners.get(offer.node)
            if offer.node not in self._owners:
                refused.setdefault(
                    offer.node, "the chain cannot be asked whether its node key is registered; try again"
                )
            elif owner is None:
                refused.setdefault(offer.node, "its node key is not registered on chain")
            elif owner != offer.provider:
                refused.setdefault(
                    offer.node, f"its node key is registered to 0x{owner.hex()}, not to the provider it names"
                )
            if job.min_stake:
                stakes[offer.provider] = await self._chain.stake_of(offer.provider)
        bound = self._exposure_bound
        return Preferences(refused=refused, latencies=self._latencies, stakes=stakes, exposure_bound=bound)


def _read_offer(body: bytes) -> SignedOffer | None:
    try:
        return decode_strict(body, SignedOffer)
    except ValueError:
        return None
