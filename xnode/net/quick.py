"""Quick: frames pass libp2p's muxer without waiting for everything else that the node has to do.

As shipped, each lock that nobody holds and each of the small reads of which a message consists lets every other task go first:
some twenty times for one frame. On a node that strangers keep busy a call then takes seconds. Here a free lock is just taken, and
what has arrived is read at once; a peer that we work with gets so many messages a turn, any other one message.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import trio
from libp2p.io import trio as tcp_io_module
from libp2p.io.trio import TrioTCPStream
from libp2p.network.stream import net_stream as net_stream_module
from libp2p.stream_muxer import rw_lock as rw_lock_module
from libp2p.stream_muxer.yamux import yamux as yamux_module

AHEAD_BYTES = 16 << 10
"""Read from a socket at once: some hundred small frames, and what one connection may hold of them."""

READS_PARTNER = 64
READS_STRANGER = 2
"""Of what has arrived, before the other tasks have their turn. A message takes two: its length, and the rest."""

_AHEAD = "_xnode_ahead"
_IS_PARTNER = "_xnode_is_partner"


class QuickLock:
    """A lock that lets nobody go first when it is free. Others wait in the order in which they came, as with trio's."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = trio.Lock()

    async def acquire(self) -> None:
        try:
            self._lock.acquire_nowait()
        except trio.WouldBlock:
            await self._lock.acquire()

    def release(self) -> None:
        self._lock.release()

    def locked(self) -> bool:
        return self._lock.locked()

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(self, *_error: object) -> None:
        self._lock.release()


class QuickSemaphore:
    """A semaphore with the same manners."""

    __slots__ = ("_semaphore",)

    def __init__(self, initial_value: int) -> None:
        self._semaphore = trio.Semaphore(initial_value)

    @property
    def value(self) -> int:
        return self._semaphore.value

    async def acquire(self) -> None:
        try:
            self._semaphore.acquire_nowait()
        except trio.WouldBlock:
            await self._semaphore.acquire()

    def release(self) -> None:
        self._semaphore.release()


class _QuickTrio:
    """trio, as these modules of libp2p see it."""

    Lock = QuickLock
    Semaphore = QuickSemaphore

    def __getattr__(self, name: str) -> Any:
        return getattr(trio, name)


def take_free_locks_at_once() -> None:
    """A lock that is free lets all other tasks go first, and a frame takes a dozen of them."""
    for module in (yamux_module, rw_lock_module, net_stream_module, tcp_io_module):
        module.trio = _QuickTrio()


class _Ahead:
    """What was read of a connection and not asked for yet. left: reads until the others have their turn."""

    __slots__ = ("data", "left", "start")

    def __init__(self) -> None:
        self.data = b""
        self.start = 0
        self.left = READS_STRANGER

    def take(self, most: int | None) -> bytes:
        end = len(self.data) if most is None else min(len(self.data), self.start + most)
        taken = self.data[self.start : end]
        self.start = end
        if end == len(self.data):
            self.data, self.start = b"", 0
        return taken


def read_ahead() -> None:
    """Two bytes of length, then a message, each by a read of its own that lets all other tasks go first."""
    read = TrioTCPStream.read

    async def read_from_ahead(self: Any, n: int | None = None) -> bytes:
        if n == 0:
            return b""
        ahead: _Ahead | None = self.__dict__.get(_AHEAD)
        if ahead is None:
            ahead = self.__dict__[_AHEAD] = _Ahead()
        if ahead.data:
            if ahead.left <= 0:
                ahead.left = _count_reads(self)
                # Another one cannot have taken the rest meanwhile: each connection has one reader.
                await trio.lowlevel.checkpoint()
            ahead.left -= 1
            return ahead.take(n)
        if n is None or n >= AHEAD_BYTES:
            return await read(self, n)
        ahead.data = await read(self, AHEAD_BYTES)
        ahead.left = _count_reads(self) - 1
        return ahead.take(n)

    TrioTCPStream.read = read_from_ahead


def let_partners_go_on(stream: Any, is_partner: Callable[[], bool]) -> None:
    """Say how one finds out whether we work with the peer of a TCP connection; until this is said, we do not."""
    stream.__dict__[_IS_PARTNER] = is_partner


def _count_reads(stream: Any) -> int:
    is_partner: Callable[[], bool] | None = stream.__dict__.get(_IS_PARTNER)
    return READS_PARTNER if is_partner is not None and is_partner() else READS_STRANGER
