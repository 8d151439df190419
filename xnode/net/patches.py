"""Patches: runtime guards for what libp2p 0.8.1 does wrong as shipped. One function a fault, applied once a process."""

from __future__ import annotations

import importlib.metadata
import logging
import weakref
from collections import Counter
from collections.abc import Callable
from typing import Any

import structlog
import trio
from libp2p.kad_dht import value_store as value_store_module
from libp2p.kad_dht.kad_dht import KadDHT
from libp2p.kad_dht.provider_store import ProviderStore
from libp2p.network import swarm as swarm_module
from libp2p.network.auto_connector import AutoConnector
from libp2p.network.connection.exceptions import RawConnError
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.network.exceptions import SwarmException
from libp2p.peer.peerstore import PeerStore
from libp2p.protocol_muxer.exceptions import MultiselectCommunicatorError
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator
from libp2p.stream_muxer.yamux import yamux as yamux_module
from libp2p.transport.tcp import tcp as tcp_module

from xnode.errors import Permanent
from xnode.net.doors import PacedListener
from xnode.net.guests import find_socket
from xnode.net.quick import read_ahead, take_free_locks_at_once
from xnode.net.records import list_provider_keys

LIBP2P_VERSION = "0.8.1"

DIAL_DELAY_S = 0.02
"""How long a dial waits for its first address before it tries the next: as shipped 250 ms, and spent on every dial."""

FRAME_WRITE_S = 15.0
"""A muxer frame (64 KiB) that cannot be written in this time means a peer that reads nothing: the connection goes."""

MAX_RECEIVE_WINDOW_BYTES = 4 << 20
"""Unread bytes one stream may hold: 4 MiB gives 40 MB/s at a round trip of 100 ms. As shipped it grows to 16 MiB."""

DHT_INBOUND_STREAMS = 128
"""DHT streams served at once. 12 as shipped, so that one idle peer starves the server."""

DHT_STREAMS_PER_PEER = 64
"""Of these the share that one peer may have."""

DHT_STREAM_S = 20.0
"""How long one DHT stream may stay; as shipped, forever."""

MAX_DHT_VALUES = 4000
"""Records we keep for others: at 16 KiB each 64 MiB."""

MAX_DATA_FRAME_BYTES = 256 << 10
"""One muxer frame of data, read as a whole: nobody sends more than 64 KiB, and every connection may hold one half."""

GUESTS = "_xnode_guests"
"""The attribute of a swarm where its Guests are."""

PROVIDER_KEYS = frozenset(list_provider_keys())

log = structlog.get_logger("xnode.net.patches")

_applied = False


def apply_patches() -> None:
    """Guard this process's libp2p. Raises Permanent when libp2p is not the version the guards were written for."""
    global _applied
    if _applied:
        return
    found = importlib.metadata.version("libp2p")
    if found != LIBP2P_VERSION:
        raise Permanent(
            f"libp2p is {found}, and its guards are written for {LIBP2P_VERSION}: install libp2p=={LIBP2P_VERSION}"
        )
    for patch in PATCHES:
        patch()
    # libp2p logs what peers do to it at ERROR with tracebacks, and peers' bytes with it.
    logging.getLogger("libp2p").setLevel(logging.CRITICAL)
    _applied = True


def refuse_text_that_is_not_utf8() -> None:
    """A multistream line that is not UTF-8 raises UnicodeDecodeError in the host's nursery: any peer ends the host."""
    read = MultiselectCommunicator.read

    async def read_text(self: Any) -> str:
        try:
            text: str = await read(self)
        except UnicodeDecodeError as error:
            raise MultiselectCommunicatorError("a protocol name is not UTF-8") from error
        return text

    MultiselectCommunicator.read = read_text


def contain_stream_handlers() -> None:
    """Any exception in a stream handler ends the host; and a peer may open streams without limit."""
    handle = SwarmConn._handle_muxed_stream

    async def handle_contained(self: Any, muxed_stream: Any) -> None:
        guests = self.swarm.__dict__.get(GUESTS)
        if guests is not None and not guests.may_open(self):
            await _reset_quietly(muxed_stream)
            return
        try:
            await handle(self, muxed_stream)
        except Exception as error:  # a supervisor's edge: libp2p's own handlers raise anything a peer makes them raise
            log.warning("stream handler raised", error=type(error).__name__)
            await _reset_quietly(muxed_stream)

    SwarmConn._handle_muxed_stream = handle_contained


async def _reset_quietly(muxed_stream: Any) -> None:
    try:
        await muxed_stream.reset()
    except Exception as error:  # third-party code: a reset of a dead stream raises several unrelated types
        log.debug("stream reset failed", error=type(error).__name__)


def release_inbound_slots() -> None:
    """An inbound connection keeps its slot until the host stops: after 250 connections in its life the node is deaf."""
    upgrade = swarm_module.Swarm.upgrade_inbound_raw_conn

    async def upgrade_and_wait(self: Any, raw_conn: Any, maddr: Any) -> Any:
        muxed_conn = await upgrade(self, raw_conn, maddr)
        await muxed_conn.event_closed.wait()
        # The caller would now wait for the end of the host; an error is the only way out that frees the slot.
        raise SwarmException("inbound connection ended")

    swarm_module.Swarm.upgrade_inbound_raw_conn = upgrade_and_wait


def remember_connections() -> None:
    """A close that is cancelled half way leaves the socket open, and nothing in libp2p knows it any more."""
    init = SwarmConn.__init__

    def init_remembered(self: Any, muxed_conn: Any, swarm: Any, *args: Any, **kwargs: Any) -> None:
        init(self, muxed_conn, swarm, *args, **kwargs)
        swarm.__dict__.setdefault("_all_connections", weakref.WeakSet()).add(self)

    SwarmConn.__init__ = init_remembered


def close_sockets(swarm: Any) -> None:
    """Close every socket that a swarm ever used and that is still open. For a swarm that has ended."""
    for connection in list(swarm.__dict__.get("_all_connections", ())):
        stream = find_socket(connection)
        if stream is not None:
            stream.socket.close()


def write_frames_whole() -> None:
    """A cancelled write leaves half a frame and a spent Noise nonce on the wire: the whole connection breaks.

    So a muxer frame is written whatever happens to the task that wanted it, with a deadline of its own.
    """
    write_frame = yamux_module.Yamux._write_frame

    async def write_frame_whole(self: Any, data: bytes) -> None:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + FRAME_WRITE_S) as scope:
            await write_frame(self, data)
        if scope.cancelled_caught:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + FRAME_WRITE_S):
                await self._cleanup_on_error()
            raise RawConnError(f"a frame could not be written in {FRAME_WRITE_S:.0f} s; connection dropped")

    yamux_module.Yamux._write_frame = write_frame_whole


def shorten_dial_delay() -> None:
    """Every dial of one address waits out the 250 ms head start meant for choosing between two."""
    swarm_module._HAPPY_EYEBALLS_DELAY = DIAL_DELAY_S


class WindowOverrun(trio.TooSlowError):
    """A peer sent more than its window. A TooSlowError, because that makes libp2p's reader drop the connection."""


class _BoundedBuffer(bytearray):
    """Unread bytes of one stream, never more than its receive window."""

    stream: Any

    def extend(self, data: Any, /) -> None:
        if len(data) > self.stream.recv_window:
            raise WindowOverrun(f"stream {self.stream.stream_id} overran its window")
        super().extend(data)


class _BoundedBuffers(dict[int, bytearray]):
    """The buffers of one connection; each new one learns which stream's window bounds it."""

    def __init__(self, streams: dict[int, Any]) -> None:
        super().__init__()
        self._streams = streams

    def __setitem__(self, stream_id: int, data: bytearray) -> None:
        buffer = _BoundedBuffer(data)
        buffer.stream = self._streams[stream_id]
        super().__setitem__(stream_id, buffer)


def enforce_receive_windows() -> None:
    """The receive window is only logged when overrun: 52 MB were buffered on one unread stream."""
    yamux_module.MAX_WINDOW_SIZE = MAX_RECEIVE_WINDOW_BYTES
    init = yamux_module.Yamux.__init__

    def init_bounded(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        self.stream_buffers = _BoundedBuffers(self.streams)

    yamux_module.Yamux.__init__ = init_bounded
    read_data_body = yamux_module.Yamux._read_data_body

    async def read_short_body(self: Any, length: int) -> bytes:
        if length > MAX_DATA_FRAME_BYTES:
            raise WindowOverrun(f"a frame of {length} bytes")
        body: bytes = await read_data_body(self, length)
        return body

    yamux_module.Yamux._read_data_body = read_short_body


def forget_reset_streams() -> None:
    """What was not read of a stream that was reset is kept for a minute, uncounted: a peer that sends a window and resets, again
    and again, fills the memory."""
    finalize = yamux_module.Yamux._finalize_stream_locked

    def finalize_whole(self: Any, stream: Any, *, fully_closed: bool) -> None:
        if fully_closed and stream.reset_received:
            self.stream_buffers.pop(stream.stream_id, None)
        finalize(self, stream, fully_closed=fully_closed)

    yamux_module.Yamux._finalize_stream_locked = finalize_whole


def expire_dht_streams() -> None:
    """12 idle DHT streams starve the DHT server: more places, and none is kept by a silent stream."""
    init, handle = KadDHT.__init__, KadDHT._do_handle_stream

    def init_roomier(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        self._inbound_limiter = trio.CapacityLimiter(DHT_INBOUND_STREAMS)

    async def handle_briefly(self: Any, stream: Any) -> None:
        served, peer = self.__dict__.setdefault("_served", Counter()), stream.muxed_conn.peer_id
        if served[peer] >= DHT_STREAMS_PER_PEER:
            await stream.reset()
            return
        served[peer] += 1
        try:
            with trio.move_on_after(DHT_STREAM_S) as scope:
                await handle(self, stream)
        finally:
            served[peer] -= 1
            if not served[peer]:
                del served[peer]
        if scope.cancelled_caught:
            await stream.reset()

    KadDHT.__init__ = init_roomier
    KadDHT._do_handle_stream = handle_briefly


def keep_own_keys() -> None:
    """Of more than 1,000 peers those without addresses are forgotten first, and we are one: our private key goes."""
    enforce = PeerStore._enforce_peer_limit

    def enforce_for_others(self: Any) -> None:
        own = {peer_id: data for peer_id, data in self.peer_data_map.items() if data.privkey is not None}
        enforce(self)
        self.peer_data_map.update(own)

    PeerStore._enforce_peer_limit = enforce_for_others


def dial_nobody_unasked() -> None:
    """Peers it only heard of are dialed until half of all connections are used up, whatever the low mark says."""

    async def connect_to_nobody(self: Any) -> None:
        return

    AutoConnector.maybe_connect = connect_to_nobody


def bound_dht_stores() -> None:
    """A DHT server keeps 50,000 values of up to 1 MiB, and providers of any key a stranger makes up."""
    value_store_module.MAX_VALUE_STORE_SIZE = MAX_DHT_VALUES
    add_provider = ProviderStore.add_provider

    def add_known_provider(self: Any, key: bytes, provider: Any) -> None:
        if key in PROVIDER_KEYS:
            add_provider(self, key, provider)

    ProviderStore.add_provider = add_known_provider


def refuse_shared_ports() -> None:
    """Listeners set SO_REUSEPORT: a second daemon on a busy port gets half of the first one's connections, silently."""

    def set_reuse_address(sock: Any) -> None:
        sock.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_REUSEADDR, 1)

    tcp_module._set_reuse_flags = set_reuse_address


def pace_listeners() -> None:
    """Sockets are accepted as fast as strangers open them, and most errors of accept() end the listener for good."""
    open_listeners = tcp_module._open_reuseport_listeners

    async def open_paced(host: str | None, port: int) -> list[PacedListener]:
        return [PacedListener(each) for each in await open_listeners(host, port)]

    tcp_module._open_reuseport_listeners = open_paced


PATCHES: tuple[Callable[[], None], ...] = (
    refuse_text_that_is_not_utf8,
    contain_stream_handlers,
    release_inbound_slots,
    remember_connections,
    write_frames_whole,
    take_free_locks_at_once,
    read_ahead,
    shorten_dial_delay,
    enforce_receive_windows,
    forget_reset_streams,
    expire_dht_streams,
    bound_dht_stores,
    dial_nobody_unasked,
    keep_own_keys,
    refuse_shared_ports,
    pace_listeners,
)
