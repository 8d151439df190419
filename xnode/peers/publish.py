"""Publish: our own offer, or only our addresses, made known to other nodes."""

from __future__ import annotations

from math import inf

import structlog
import trio

from metering.codec import encode
from metering.refusal import Refusal
from metering.units import NANOS_PER_SECOND, Address
from scheduler.offer import SignedOffer
from xnode.errors import Permanent, Retryable
from xnode.loop import Loop
from xnode.net.records import NodeRecord, make_record
from xnode.node.changes import AddressesChanged
from xnode.ports.clock import Clock
from xnode.ports.net import Net, RpcRefused
from xnode.ports.wallet import Signer

ADDRESS_LOOK_S = 1.0
"""How often we look whether we are reached elsewhere now: a relay is found a moment after the start."""

RECORD_EVERY_S = 600.0
"""How often a node without an offer says where it is."""

RECORD_TTL_NS = 3600 * NANOS_PER_SECOND
"""How long a record without an offer says where we are."""

NO_OFFER = Refusal("not_a_provider", "this node offers no capacity")

log = structlog.get_logger()


class OfferPublisher:
    """Keeps the offer that we stand by now, and hands it out."""

    def __init__(self, net: Net, signer: Signer, clock: Clock) -> None:
        self._net, self._signer, self._clock = net, signer, clock
        self._own: SignedOffer | None = None
        self._none = NO_OFFER

    async def publish(self, offer: SignedOffer | None) -> None:
        """Make our offer (or only our addresses) known."""
        self._own = offer
        await self._net.publish_record(self._make_record(offer))

    async def withdraw(self, wait_s: float = 0, refusal: Refusal = NO_OFFER) -> None:
        """Say that our offer no longer stands; wait_s: how long to wait until others know; refusal: what is said to those
        that ask us for it."""
        self._none = refusal
        if self._own is not None:
            self._own = None
            await self._net.publish_record(self._make_record(None), wait_s)

    def _make_record(self, offer: SignedOffer | None) -> bytes:
        now_ns = self._clock.now_ns()
        record = NodeRecord(
            node=self._signer.address,
            number=now_ns,
            expires_at_ns=offer.offer.expires_at_ns if offer else now_ns + RECORD_TTL_NS,
            multiaddrs=self._net.multiaddrs(),
            body=encode(offer) if offer else b"",
        )
        return make_record(record, self._signer)

    async def answer_offer(self, _caller: Address, _body: bytes) -> bytes:
        """offer.get: our offer as it is now."""
        if self._own is None:
            raise RpcRefused(encode(self._none))
        return encode(self._own)


async def keep_found(net: Net, publisher: OfferPublisher, loop: Loop) -> None:
    """Keep us findable where we are, forever: with our offer when we have one, else with our addresses alone."""
    published: tuple[str, ...] | None = None
    published_at = -inf
    while True:
        moved = net.multiaddrs() != published
        if moved:
            # The first time too: they may be others already than when the node was told of its start.
            await loop.tell(AddressesChanged(net.multiaddrs()))
        settings = loop.state.settings
        is_silent = settings.provider is None or bool(settings.drained_at_ns)
        if is_silent and (moved or trio.current_time() - published_at > RECORD_EVERY_S):
            try:
                await publisher.publish(None)
                published_at = trio.current_time()
            except (Retryable, Permanent) as error:
                log.info("our addresses are not published", reason=str(error))
        published = net.multiaddrs()
        await trio.sleep(ADDRESS_LOOK_S)
