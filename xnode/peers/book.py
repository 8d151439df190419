"""Book: this node's replica of the market's offers, kept fresh from the net, with the round trip to each of them."""

from __future__ import annotations

import structlog
import trio

from metering.codec import decode_strict
from metering.units import NANOS_PER_SECOND, Address, Hash32
from scheduler.book import Book
from scheduler.latency import Latency, next_latency
from scheduler.offer import SignedOffer
from xnode.errors import Permanent, Retryable
from xnode.net.records import NodeRecord, read_record
from xnode.node.message import OFFER_GET
from xnode.peers.registrations import Registrations
from xnode.ports.clock import Clock
from xnode.ports.net import Net, Peer, RpcRefused
from xnode.repeated_event import RepeatedEvent
from xnode.text.hex import to_hex

FRESH_NS = 30 * NANOS_PER_SECOND
"""A book refreshed within this is not refreshed again for being looked at; the lease answer is the only truth anyway."""

WATCHED_NS = 60 * NANOS_PER_SECOND
"""So long after the last search or listing (and after the start) the book is kept fresh."""

REST_NS = 300 * NANOS_PER_SECOND
"""How often a node whose book is not read looks around; each look costs every provider two requests and the DHT a search."""

FIRST_LOOK_NS = 8 * NANOS_PER_SECOND
"""How long a node that knows no offers yet looks for some before it says there are none."""

FIRST_LOOK_EVERY_S = 0.25

ASK_NS = 4 * NANOS_PER_SECOND
"""How long one provider may take to hand out its offer."""

MAX_ASKS = 16
"""Providers asked at once."""

log = structlog.get_logger()


class LiveBook:
    """offers: the checked offers; latencies: measured round trips by node. node: our own, which is left out."""

    def __init__(self, net: Net, node: Address, clock: Clock, separator: Hash32, registrations: Registrations) -> None:
        self._net, self._node, self._clock, self._separator = net, node, clock, separator
        self._registrations = registrations
        self._refreshed_at_ns = 0
        self._refreshing = trio.Lock()
        self._read_at_ns = clock.now_ns()
        self._was_read = RepeatedEvent()
        self.latencies: dict[Address, Latency] = {}
        self.offers = Book(separator)

    async def run(self) -> None:
        """Keep the book fresh while it is being read, so that a search need not wait for the net."""
        while True:
            try:
                await self.refresh()
            except (Retryable, Permanent) as error:
                log.info("offers not refreshed", reason=str(error))
            await trio.sleep(FRESH_NS / 2 / NANOS_PER_SECOND)
            if self._clock.now_ns() - self._read_at_ns > WATCHED_NS:
                with trio.move_on_after(REST_NS / NANOS_PER_SECOND):
                    await self._was_read.wait()

    async def refresh_if_older(self, age_ns: int) -> bool:
        """Refresh what is about to be read, unless that was done within the age; true when it was done now."""
        self._read_at_ns = self._clock.now_ns()
        self._was_read.set()
        is_older = self._clock.now_ns() - self._refreshed_at_ns > age_ns
        if is_older:
            await self.refresh()
        return is_older

    async def wait_first(self) -> None:
        """Returns as soon as there are offers, or when it has been looked for them long enough."""
        begun_ns = self._clock.now_ns()
        while not len(self.offers) and self._clock.now_ns() - begun_ns < FIRST_LOOK_NS:
            await trio.sleep(FIRST_LOOK_EVERY_S)
            await self.refresh()

    async def refresh(self) -> None:
        """Ask the net which nodes provide, and each of them for its offer; the record of one that cannot be asked is read."""
        async with self._refreshing:
            nodes = [node for node in await self._net.find_providers() if node != self._node]
            slots = trio.CapacityLimiter(MAX_ASKS)
            async with trio.open_nursery() as nursery:
                for node in nodes:
                    nursery.start_soon(self._refresh_one, node, slots)
            self.offers.drop_expired(self._clock.now_ns())
            if nodes:
                self._refreshed_at_ns = self._clock.now_ns()

    async def _refresh_one(self, node: Address, slots: trio.CapacityLimiter) -> None:
        async with slots:
            try:
                signed = await self._ask_offer(node) or await self._read_record(node)
            except (Retryable, Permanent):
                return
            if signed is None or signed.offer.node != node:
                return
            refusal = self.offers.add(signed, self._clock.now_ns())
            if refusal is not None and refusal.code != "offer_old":
                log.info("offer refused", node=to_hex(node), code=refusal.code)
                return
            await self._registrations.learn_owner(node)

    async def _ask_offer(self, node: Address) -> SignedOffer | None:
        known = self.offers.get(node)
        peer = Peer(node, known.offer.body.multiaddrs if known else ())
        try:
            # The first call may have to dial; the second one measures the way.
            await self._net.call(peer, OFFER_GET, b"", self._clock.now_ns() + ASK_NS)
            begun_ns = self._clock.now_ns()
            body = await self._net.call(peer, OFFER_GET, b"", begun_ns + ASK_NS)
        except (Retryable, Permanent, RpcRefused):
            return None
        now_ns = self._clock.now_ns()
        self.latencies[node] = next_latency(self.latencies.get(node), (now_ns - begun_ns) // 1000, now_ns)
        return _read_offer(body)

    async def _read_record(self, node: Address) -> SignedOffer | None:
        data = await self._net.get_record(node)
        record = read_record(data, node, self._separator, self._clock.now_ns()) if data else None
        return _read_offer(record.body) if isinstance(record, NodeRecord) and record.body else None


def _read_offer(body: bytes) -> SignedOffer | None:
    try:
        return decode_strict(body, SignedOffer)
    except ValueError:
        return None
