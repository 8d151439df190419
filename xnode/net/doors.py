"""Doors: the way of an inbound socket from the kernel to a libp2p handshake: paced, bounded, and open whatever comes.

A socket is accepted at a bounded rate, waits in a task of its own that costs next to nothing until it has said something, and
then for its turn at a handshake, which is what costs: a key exchange and a signature each. libp2p's dialers all speak first.
"""

from __future__ import annotations

import errno
import math
import socket
import struct
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import structlog
import trio

from xnode.net.counters import NetCounters
from xnode.net.entrance import Pace, Turns, Waiting, source_of
from xnode.repeated_event import RepeatedEvent

ACCEPTS_PER_S = 300.0
ACCEPT_BURST = 300.0
"""A socket that is accepted and dropped takes about 0.1 ms: what is more than this waits in the kernel."""

BACKLOG = 2048
"""Connections that wait in the kernel meanwhile: a newcomer's is behind those of a flood, and not turned away."""

SILENT_S = 3.0
"""How long a socket may say nothing; a peer that dials has sent its first line with the connection."""

MAX_SILENT = 512
MAX_SILENT_PER_SOURCE = 384
"""Sockets that have said nothing: each is a file descriptor and a small task. At the rate above it takes more than a second until
the oldest of a place has to go: enough for a busy host to say its first line."""

HANDSHAKES_PER_S = 60.0
HANDSHAKE_BURST = 40.0
"""A handshake takes about 4 ms of a processor: a quarter of one at this rate."""

MAX_TURNS = 192
"""Sockets that have spoken and wait for their handshake: about three seconds' worth."""

KNOWN_S = 3600.0
MAX_KNOWN = 1024
"""How long, and for how many places, we remember that a node which we work with came from there."""

FULL_S = 0.1
"""Pause after the system had no descriptor or memory for one more connection: something else must end first."""

FULL = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})

log = structlog.get_logger("xnode.net.doors")

Upgrade = Callable[[Any, Any], Awaitable[None]]
"""libp2p's way on: (its stream, the multiaddr of the listener)."""


@dataclass(slots=True, eq=False)
class _Arrival:
    """A socket that has not proved who it is."""

    stream: trio.SocketStream
    source: str
    number: int
    turn: trio.Event = field(default_factory=trio.Event)


_arrival: ContextVar[_Arrival | None] = ContextVar("arrival", default=None)


class Doors:
    """One for each host; run() gives out the turns."""

    def __init__(self, upgrade: Upgrade, counters: NetCounters) -> None:
        self._upgrade, self._counters = upgrade, counters
        self._waiting = Waiting(MAX_SILENT_PER_SOURCE, MAX_SILENT)
        self._turns = Turns(MAX_TURNS)
        self._pace = Pace(HANDSHAKES_PER_S, HANDSHAKE_BURST)
        self._arrivals: dict[int, _Arrival] = {}
        self._numbers = count()
        self._came = RepeatedEvent()
        self._known: dict[str, float] = {}

    def know_source(self, source: str) -> None:
        """Somebody that we work with is there: a peer that comes from there gets its turn first."""
        self._known.pop(source, None)
        self._known[source] = trio.current_time()
        if len(self._known) > MAX_KNOWN:
            del self._known[next(iter(self._known))]

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            came = self._came.next()
            number = self._turns.take()
            if number is None:
                await came.wait()
            elif number in self._arrivals:
                await trio.sleep(self._pace.take(trio.current_time()))
                arrival = self._arrivals.get(number)
                if arrival is not None:
                    arrival.turn.set()

    async def answer(self, tcp: Any, maddr: Any) -> None:
        """One inbound connection, to its end."""
        stream: trio.SocketStream = tcp.stream
        arrival = _Arrival(stream, _source_of_socket(stream), next(self._numbers))
        self._arrivals[arrival.number] = arrival
        try:
            if not await self._hear(arrival) or not await self._wait_turn(arrival):
                drop_socket(stream)
                return
        finally:
            del self._arrivals[arrival.number]
        token = _arrival.set(arrival)
        try:
            await self._upgrade(tcp, maddr)
        finally:
            _arrival.reset(token)

    async def _hear(self, arrival: _Arrival) -> bool:
        """False when it says nothing."""
        self._make_leave(self._waiting.enter(arrival.source, arrival.number))
        try:
            with trio.move_on_after(SILENT_S):
                return bool(await arrival.stream.socket.recv(1, socket.MSG_PEEK))
        except (OSError, trio.ClosedResourceError):
            return False
        finally:
            self._waiting.leave(arrival.source, arrival.number)
        self._counters.silent_sockets += 1
        return False

    async def _wait_turn(self, arrival: _Arrival) -> bool:
        is_known = self._known.get(arrival.source, -math.inf) > trio.current_time() - KNOWN_S
        self._make_leave(self._turns.add(arrival.source, arrival.number, is_known))
        self._came.set()
        await arrival.turn.wait()
        return arrival.stream.socket.fileno() >= 0

    def _make_leave(self, number: int | None) -> None:
        arrival = self._arrivals.get(number) if number is not None else None
        if arrival is not None:
            self._counters.turned_away += 1
            drop_socket(arrival.stream)
            arrival.turn.set()


class PacedListener(trio.abc.Listener[trio.SocketStream]):
    """Accepts at a bounded rate, whatever accept() raises: trio's own ends the server on most errors, and writes a traceback
    ten times a second while descriptors are short."""

    def __init__(self, listener: trio.SocketListener) -> None:
        self._listener = listener
        listener.socket.listen(BACKLOG)
        self._pace = Pace(ACCEPTS_PER_S, ACCEPT_BURST)
        self._is_full = False

    @property
    def socket(self) -> trio.socket.SocketType:
        """The one that listens, for libp2p, which reads the port from it."""
        return self._listener.socket

    async def aclose(self) -> None:
        await self._listener.aclose()

    async def accept(self) -> trio.SocketStream:
        """The next connection; waits however long there is no room for one."""
        while True:
            await trio.sleep(self._pace.take(trio.current_time()))
            try:
                stream = await self._listener.accept()
            except OSError as error:
                await self._wait_room(error)
            else:
                self._is_full = False
                return stream

    async def _wait_room(self, error: OSError) -> None:
        if self.socket.fileno() < 0:
            raise trio.ClosedResourceError("the listener was closed") from error
        if error.errno in FULL and not self._is_full:
            self._is_full = True
            log.error("no connection can be accepted now", reason=errno.errorcode.get(error.errno or 0, "?"))
        # What accept() reports otherwise is the fault of that one connection: it has gone.
        await trio.sleep(FULL_S if error.errno in FULL else 0)


def source_of_arrival() -> str:
    """Where the connection comes from whose handshake this task makes; "" when it makes none."""
    arrival = _arrival.get()
    return arrival.source if arrival is not None else ""


def drop_socket(stream: trio.SocketStream) -> None:
    """Close at once and without a word, also while somebody reads or writes: nothing of it stays in the kernel."""
    if stream.socket.fileno() >= 0:
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        stream.socket.close()


def _source_of_socket(stream: trio.SocketStream) -> str:
    try:
        return source_of(str(stream.socket.getpeername()[0]))
    except OSError:
        return ""  # it has gone already
