"""Guests: the connections of a host, and which of them gives way to one that comes when there is no room for all.

A proved key costs nothing either. Whom we work with is never dropped; of the others the one that has done nothing for the
longest, from the place that has the most.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import structlog
import trio
from libp2p.io.trio import TrioTCPStream
from libp2p.network.exceptions import SwarmException
from libp2p.rcmgr import Direction
from libp2p.relay.circuit_v2.protocol import PROTOCOL_ID as HOP_ID
from libp2p.relay.circuit_v2.protocol import STOP_PROTOCOL_ID as STOP_ID

from metering.units import Address
from xnode.net.counters import NetCounters
from xnode.net.doors import Doors, drop_socket, source_of_arrival
from xnode.net.entrance import Pace
from xnode.net.identity import address_of_peer_id
from xnode.net.quick import let_partners_go_on
from xnode.net.standing import Standing, StandingOf

MAX_CONNECTIONS = 400
"""All connections: at about 0.1 MB each idle and 20,000 file descriptors, memory is what ends first."""

MAX_INBOUND = 300
"""Leaves room for the connections we open ourselves, whatever strangers do."""

SLACK = 100
"""Connections beyond: of those we work with, and while those that were dropped are still being closed."""

STEADY_S = 600.0
STEADY_PARTS = 4
"""A stranger's connection that has lasted this long is among the last to go, for the oldest quarter of all: a flood is young, and
nodes behind a relay are silent for long."""

MAX_STREAMS_PARTNER = 128
MAX_STREAMS_STRANGER = 48
"""Streams the other side may have open on one connection; each may hold a window of unread bytes."""

MAX_STREAMS_STRANGERS = 1024
"""Streams of all strangers together."""

STREAMS_PER_S = 50.0
STREAM_BURST = 200.0
"""Streams that a stranger may open on one connection: a peer that asks often keeps its streams."""

MAX_REFUSED = 400
"""A connection on which so many streams were refused is no honest one."""

COUNT_S = 0.1
"""How long a count of all streams is good."""

CARRYING = frozenset({str(HOP_ID), str(STOP_ID)})
"""Streams in which a relay carries the connection of others."""

CLOSE_S = 5.0

log = structlog.get_logger("xnode.net.guests")


@dataclass(slots=True)
class Use:
    """How a connection is used. source: where it comes from, "" when we opened it; busy: requests under way."""

    source: str
    since: float
    used_at: float
    busy: int = 0
    refused: int = 0
    streams: Pace = field(default_factory=lambda: Pace(STREAMS_PER_S, STREAM_BURST))


_uses: WeakKeyDictionary[Any, Use] = WeakKeyDictionary()


def use_of(muxed_conn: Any) -> Use:
    """What is noted of a connection, by libp2p's muxed connection."""
    use = _uses.get(muxed_conn)
    if use is None:
        now = trio.current_time()
        use = _uses[muxed_conn] = Use(source_of_arrival(), now, now)
    return use


@contextmanager
def busy(muxed_conn: Any) -> Iterator[None]:
    """While this is open a request is under way on the connection."""
    use = use_of(muxed_conn)
    use.busy += 1
    try:
        yield
    finally:
        use.busy -= 1
        use.used_at = trio.current_time()


@dataclass(frozen=True, slots=True)
class Guest:
    """A connection that may have to go. key: whatever names it."""

    key: Any
    standing: Standing
    source: str
    since: float
    used_at: float
    is_busy: bool = False


def choose_leaver(guests: Iterable[Guest], now: float) -> Guest | None:
    """Who gives way to one more, or None when all are needed."""
    others = [one for one in guests if one.standing < Standing.PARTNER]
    by_age = sorted(others, key=lambda one: one.since)
    steady = {id(one) for one in by_age[: len(others) // STEADY_PARTS] if now - one.since >= STEADY_S}
    crowds = Counter(one.source for one in others)

    def rank(one: Guest) -> tuple[int, bool, bool, int, float]:
        return one.standing, one.is_busy, id(one) in steady, -crowds[one.source], one.used_at

    return min(others, key=rank, default=None)


class Guests:
    """One for each host. Takes the place of its swarm's add_conn."""

    def __init__(self, swarm: Any, doors: Doors, standing_of: StandingOf, counters: NetCounters) -> None:
        self._swarm, self._doors, self._standing_of, self._counters = swarm, doors, standing_of, counters
        self._add = swarm.add_conn
        self._coming: Counter[bool] = Counter()
        self._leaving: WeakSet[Any] = WeakSet()
        self._strangers = (0.0, 0)

    async def admit(self, muxed_conn: Any, direction: str = "unknown") -> Any:
        """Add a connection that is proved, and let another go for it when there is no room. Raises SwarmException."""
        use, is_inbound = use_of(muxed_conn), direction == "inbound"
        standing = self._standing(muxed_conn.peer_id)
        tcp = find_tcp(muxed_conn)
        if tcp is not None:
            peer_id = muxed_conn.peer_id
            let_partners_go_on(tcp, lambda: self._standing(peer_id) is Standing.PARTNER)
        if standing is Standing.PARTNER and use.source:
            self._doors.know_source(use.source)
        if not self._make_room(is_inbound) and standing < Standing.PARTNER and is_inbound:
            with trio.move_on_after(CLOSE_S):
                await muxed_conn.close()
            raise SwarmException("all connections are in use")
        self._coming[is_inbound] += 1
        try:
            return await self._add(muxed_conn, direction=direction)
        finally:
            self._coming[is_inbound] -= 1

    def _make_room(self, is_inbound: bool) -> bool:
        """False when nobody can go."""
        live = [one for one in self._swarm.get_connections() if not one.is_closed and one not in self._leaving]
        inbound = [one for one in live if one.direction == Direction.INBOUND]
        if is_inbound and len(inbound) + self._coming[True] >= MAX_INBOUND:
            crowd = inbound
        elif len(live) + self._coming.total() >= MAX_CONNECTIONS:
            crowd = live
        else:
            return True
        leaver = choose_leaver(map(self._describe, crowd), trio.current_time())
        if leaver is not None:
            self._counters.evicted += 1
            self.drop(leaver.key)
        return leaver is not None

    def _describe(self, connection: Any) -> Guest:
        use = use_of(connection.muxed_conn)
        is_busy = use.busy > 0 or any(str(each.get_protocol()) in CARRYING for each in connection.get_streams())
        standing = self._standing(connection.muxed_conn.peer_id)
        return Guest(connection, standing, use.source, use.since, use.used_at, is_busy)

    def drop(self, connection: Any) -> None:
        """End a connection now, without waiting for its other side."""
        self._leaving.add(connection)
        stream = find_socket(connection)
        if stream is not None:
            drop_socket(stream)
        self._swarm.manager.run_task(_close, connection)

    def may_open(self, connection: Any) -> bool:
        """True when the other side may open one more stream."""
        if self._standing(connection.muxed_conn.peer_id) is Standing.PARTNER:
            return len(connection.streams) < MAX_STREAMS_PARTNER
        use = use_of(connection.muxed_conn)
        is_within = len(connection.streams) < MAX_STREAMS_STRANGER and self._count_strangers() < MAX_STREAMS_STRANGERS
        if is_within and use.streams.try_take(trio.current_time()):
            return True
        self._counters.streams_refused += 1
        use.refused += 1
        if use.refused == MAX_REFUSED:
            log.info("a connection with too many streams was dropped", peer=str(connection.muxed_conn.peer_id))
            self.drop(connection)
        return False

    def _count_strangers(self) -> int:
        counted_at, streams = self._strangers
        now = trio.current_time()
        if now - counted_at >= COUNT_S:
            of = (
                one
                for one in self._swarm.get_connections()
                if self._standing(one.muxed_conn.peer_id) < Standing.PARTNER
            )
            streams = sum(len(one.streams) for one in of)
        self._strangers = (now if now - counted_at >= COUNT_S else counted_at, streams)
        return streams

    def _standing(self, peer_id: Any) -> Standing:
        address: Address | None = address_of_peer_id(peer_id)
        return Standing.STRANGER if address is None else self._standing_of(address)


def find_tcp(muxed_conn: Any) -> TrioTCPStream | None:
    """What libp2p reads below all layers of a connection, or None when it is carried by a relay."""
    layer = muxed_conn
    for name in ("secured_conn", "conn", "read_writer", "read_write_closer", "stream"):
        layer = getattr(layer, name, None)
    return layer if isinstance(layer, TrioTCPStream) else None


def find_socket(connection: Any) -> trio.SocketStream | None:
    """The socket of a connection, or None when it is carried by a relay."""
    tcp = find_tcp(connection.muxed_conn)
    return tcp.stream if tcp is not None else None


async def _close(connection: Any) -> None:
    with trio.move_on_after(CLOSE_S):
        await connection.close()
