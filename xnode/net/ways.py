"""Ways: the connections by which the nodes that we work with are reached, watched, so that a silent one is replaced in time.

A relay that stops, or a router that forgets, ends nothing: bytes just stop coming. What is in use is therefore pinged every
few seconds. A silent way alone proves nothing, since the other side may be busy; only when another way to the same node
answers is the silent one dropped, and the calls on it are made anew.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import structlog
import trio
from libp2p.network.health.ping_probe import ping_connection

from metering.units import Address
from xnode.errors import Retryable, real_error_of
from xnode.net.host import Host
from xnode.net.multiaddr import merge_multiaddrs
from xnode.ports.net import Peer

DOUBT_S = 2.0
"""An answer that takes longer makes us look whether the way is still there; most answers take milliseconds."""

TICK_S = 0.5
"""How often the calls under way are looked at."""

CHECK_S = 4.0
"""How often a way in use is pinged, and the least between two looks at one node."""

MAX_PINGS_PER_S = 10
"""With more nodes in use than 40, each is pinged less often: a ping costs both sides a stream."""

PING_S = 2.0
"""How long a ping may take; at the end of it another way is there already, or there is none."""

USED_S = 90.0
"""So long after its last call a node is one that we work with: receipts come every few seconds."""

LASTING = ("lease.", "receipts.")
"""Calls that more will follow. A node that is only asked for an offer or a record is not pinged for it: a provider is asked by
very many."""

REDIAL_S = 8.0
"""How long another way is looked for."""

MAX_USED = 1000
"""Nodes watched at once."""

log = structlog.get_logger("xnode.net.ways")


@dataclass(slots=True)
class _Use:
    """How a node is used. multiaddrs: where it may be reached; waiting_since: of the oldest call without an answer; holds: open
    streams."""

    multiaddrs: tuple[str, ...] = ()
    used_at: float = -math.inf
    checked_at: float = -math.inf
    is_checked: bool = False
    holds: int = 0
    waiting: dict[int, float] = field(default_factory=dict)

    def is_due(self, now: float, every_s: float) -> bool:
        if self.is_checked or now < self.checked_at + CHECK_S:
            return False
        doubtful = any(now >= since + DOUBT_S for since in self.waiting.values())
        in_use = self.holds > 0 or now < self.used_at + USED_S
        return doubtful or (in_use and now >= self.checked_at + every_s)


class Ways:
    """One for each host; run() watches."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._uses: dict[Address, _Use] = {}
        self._calls = 0

    @contextmanager
    def calling(self, peer: Peer, method: str) -> Iterator[None]:
        """While this is open an answer is waited for."""
        use, self._calls = self._use(peer), self._calls + 1
        number = self._calls
        use.waiting[number] = trio.current_time()
        try:
            yield
        finally:
            del use.waiting[number]
            if method.startswith(LASTING):
                use.used_at = trio.current_time()

    @contextmanager
    def streaming(self, peer: Peer) -> Iterator[None]:
        """While this is open a stream may be silent for good reasons."""
        use = self._use(peer)
        use.holds += 1
        try:
            yield
        finally:
            use.holds -= 1
            use.used_at = trio.current_time()

    def _use(self, peer: Peer) -> _Use:
        use = self._uses.setdefault(peer.address, _Use(checked_at=trio.current_time()))
        use.multiaddrs = merge_multiaddrs(peer.multiaddrs, use.multiaddrs)
        return use

    async def run(self) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                await trio.sleep(TICK_S)
                now = trio.current_time()
                self._forget(now)
                every_s = max(CHECK_S, len(self._uses) / MAX_PINGS_PER_S)
                for node, use in self._uses.items():
                    if use.is_due(now, every_s):
                        use.is_checked = True
                        nursery.start_soon(self._check, node, use)

    def _forget(self, now: float) -> None:
        idle = [node for node, use in self._uses.items() if not use.holds and not use.waiting and not use.is_checked]
        for node in idle:
            if now >= max(self._uses[node].used_at, self._uses[node].checked_at) + USED_S or len(self._uses) > MAX_USED:
                del self._uses[node]

    async def _check(self, node: Address, use: _Use) -> None:
        try:
            connections = self._host.list_connections(node)
            if connections:
                await self._check_all(Peer(node, use.multiaddrs), connections)
        except Exception as error:  # a supervisor's edge: libp2p may raise anything, alone and in groups
            log.warning("a way could not be checked", peer=f"0x{node.hex()}", error=repr(real_error_of(error))[:200])
        finally:
            use.is_checked, use.checked_at = False, trio.current_time()

    async def _check_all(self, peer: Peer, connections: list[Any]) -> None:
        """Drop those that are silent, if any other one answers."""
        answered: list[Any] = []

        async def ping(connection: Any) -> None:
            if (await ping_connection(connection, ping_timeout=PING_S)).success:
                answered.append(connection)

        async with trio.open_nursery() as nursery:
            for connection in connections:
                nursery.start_soon(ping, connection)
        silent = [one for one in connections if one not in answered and not one.is_closed]
        if not silent or not (answered or await self._find_another(peer)):
            return
        log.info("a silent way was left for another", peer=f"0x{peer.address.hex()}", silent=len(silent))
        await self._host.drop_connections(silent)

    async def _find_another(self, peer: Peer) -> bool:
        """True when the node answers over a new connection: the one that answers there has proved the same key."""
        try:
            with trio.move_on_after(REDIAL_S):
                await self._host.dial_anew(peer)
                return True
        except Retryable as error:
            log.debug("no other way", peer=f"0x{peer.address.hex()}", why=str(error))
        return False
