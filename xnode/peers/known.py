"""Known: keeps on disk which nodes were good, for the next start. Only such as the chain knows an owner of, and as answered us
themselves, so that no stranger fills the list."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import structlog
import trio

from metering.units import NANOS_PER_SECOND
from xnode.net.edge import Net
from xnode.net.known_peers import KnownPeer, choose_peers, read_known_peers, write_known_peers
from xnode.net.multiaddr import parse_multiaddr
from xnode.net.records import MAX_MULTIADDRS
from xnode.peers.market import Market
from xnode.ports.clock import Clock
from xnode.text.hex import to_hex

LOOK_S = 15.0
"""How often we look whether there is something to keep."""

REFRESH_NS = 600 * NANOS_PER_SECOND
"""A file in which only the times have changed is not written more often."""

log = structlog.get_logger()


class KnownPeerKeeper:
    """Keeps one file."""

    def __init__(self, net: Net, market: Market, clock: Clock, file: Path) -> None:
        self._net, self._market, self._clock, self._file = net, market, clock, file
        self._kept: tuple[KnownPeer, ...] = ()

    async def run(self) -> None:
        """Until cancelled."""
        self._kept = await trio.to_thread.run_sync(read_known_peers, self._file, self._clock.now_ns())
        while True:
            await self.keep()
            await trio.sleep(LOOK_S)

    async def keep(self) -> None:
        """Write down whom we know now, if it is news."""
        chosen = choose_peers((*self._kept, *self._list_good()), self._clock.now_ns())
        if not _is_news(self._kept, chosen):
            return
        try:
            await trio.to_thread.run_sync(write_known_peers, self._file, chosen)
            self._kept = chosen
        except OSError as error:
            log.info("the nodes that are known are not kept for the next start", reason=str(error))

    def _list_good(self) -> Iterator[KnownPeer]:
        book, registrations = self._market.book, self._market.registrations
        for signed in tuple(book.offers):
            node = signed.offer.node
            heard_at_ns = book.heard_at_ns(node)
            if heard_at_ns and not book.is_silent(node) and registrations.owner_of(node) is not None:
                multiaddrs, record = self._net.locate_known(node)
                places = tuple(filter(parse_multiaddr, signed.offer.body.multiaddrs)) or multiaddrs
                yield KnownPeer(to_hex(node), places[:MAX_MULTIADDRS], heard_at_ns, record)


def _is_news(kept: tuple[KnownPeer, ...], chosen: tuple[KnownPeer, ...]) -> bool:
    before = {each.node: each for each in kept}
    if set(before) != {each.node for each in chosen}:
        return True
    return any(
        each.multiaddrs != before[each.node].multiaddrs or each.heard_at_ns - before[each.node].heard_at_ns > REFRESH_NS
        for each in chosen
    )
