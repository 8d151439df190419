"""Host: one libp2p host with Noise, yamux and TCP only, capped and watched; dials by Ethereum address."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import trio
from libp2p import new_host
from libp2p.crypto.x25519 import create_new_key_pair as create_x25519_key_pair
from libp2p.io.trio import TrioTCPStream
from libp2p.network.config import ConnectionConfig
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.peer.id import ID
from libp2p.rcmgr.connection_limits import ConnectionLimits
from libp2p.rcmgr.manager import ResourceLimits, ResourceManager
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE_ID
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX_ID
from libp2p.stream_muxer.yamux.yamux import Yamux
from multiaddr import Multiaddr

from metering.units import Address
from xnode.errors import Permanent, Retryable, Unreachable
from xnode.net.counters import NetCounters
from xnode.net.doors import MAX_SILENT, MAX_TURNS, Doors
from xnode.net.guests import MAX_CONNECTIONS, SLACK, Guests
from xnode.net.identity import address_of_peer_id, key_pair_of, read_peer_id
from xnode.net.multiaddr import Endpoint, expand_unspecified, make_multiaddr, parse_multiaddr
from xnode.net.patches import GUESTS, apply_patches, close_sockets
from xnode.net.pipe import STREAM_FAULTS
from xnode.net.relay import open_circuit
from xnode.net.standing import StandingOf, take_for_stranger
from xnode.ports.net import Peer

MAX_CONNECTIONS_PER_PEER = 3
"""Two sides that dial each other at once have two; one more lets a new one replace a dead one."""

MAX_CONCURRENT_DIALS = 16

MOST = MAX_CONNECTIONS + SLACK + MAX_SILENT + MAX_TURNS + 512
"""libp2p's own limits, which refuse the peer that comes last: above all that our own let in, with room for handshakes."""

MAX_STREAMS = 4096
"""All streams of the host together: 10 per connection on average."""

MAX_DIAL_ADDRESSES = 4
"""Multiaddrs of one peer that are tried, so that a record full of dead ones cannot keep us busy."""

DIAL_S = 8.0
"""One address, TCP and Noise and yamux together: several round trips around the world, on a loaded host."""

NEXT_ADDRESS_S = 0.5
"""How long a dial is waited for before the next address is tried as well: longer than most dials take, and short enough that a
relay which has fallen silent costs nobody its lease."""

UPGRADE_S = 5.0
"""How long a stranger may take over its handshake. Half-open sockets hold a slot for this long."""

HEALTH_INTERVAL_S = 15.0
HEALTH_PING_S = 8.0
"""A peer that answers no ping for this long is gone: its connection is dropped and its calls fail."""

CLOSE_S = 5.0
PEER_ADDRESS_S = 3600

StreamHandlerFn = Callable[[Any], Awaitable[None]]


class Host:
    """A running host. Only open_host() makes one."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw
        self._swarm = raw.get_network()
        self._dials: dict[Address, trio.Lock] = {}
        self._dial_slots = trio.CapacityLimiter(MAX_CONCURRENT_DIALS)

    def set_handler(self, protocol: str, handler: StreamHandlerFn) -> None:
        """Answer streams of one protocol. An exception of the handler is logged and resets its stream."""
        self.raw.set_stream_handler(protocol, handler)

    def multiaddrs(self) -> tuple[str, ...]:
        """Where we listen, without /p2p."""
        return tuple(str(each) for each in self.raw.get_transport_addrs())

    def connected(self) -> tuple[Address, ...]:
        """The proven addresses at the other end of our connections."""
        addresses = (address_of_peer_id(peer_id) for peer_id in self._live_peers())
        return tuple(address for address in addresses if address is not None)

    def count_connections(self) -> int:
        return len(self._swarm.get_connections())

    def find_connected(self, address: Address) -> ID | None:
        """The peer id of an address that we have a connection with, opened by either side."""
        for peer_id in self._live_peers():
            if address_of_peer_id(peer_id) == address:
                return peer_id
        return None

    def _live_peers(self) -> list[ID]:
        return [
            peer for peer, all_of in self._swarm.get_connections_map().items() if any(not c.is_closed for c in all_of)
        ]

    async def connect(self, peer: Peer, deadline: float) -> ID:
        """A live connection to the node that proves this address, over an existing one or a new one. Raises Retryable."""
        known = self.find_connected(peer.address)
        if known is not None:
            return known
        lock = self._dials.setdefault(peer.address, trio.Lock())
        try:
            with trio.CancelScope(deadline=deadline) as scope:
                async with lock:
                    return self.find_connected(peer.address) or await self._dial_any(peer)
        finally:
            if not lock.locked():
                self._dials.pop(peer.address, None)
        assert scope.cancelled_caught
        raise Retryable(f"node 0x{peer.address.hex()} could not be reached in time")

    async def _dial_any(self, peer: Peer) -> ID:
        """Over the first address that answers; the next one does not wait until a silent one before it is given up."""
        endpoints = _dialable(peer.multiaddrs)
        if not endpoints:
            raise Retryable(f"node 0x{peer.address.hex()} has no address that can be dialed, and no connection to us")
        found: list[ID] = []
        faults: list[str] = []
        failed = [trio.Event() for _ in endpoints]
        async with trio.open_nursery() as nursery:

            async def try_one(number: int, endpoint: Endpoint) -> None:
                try:
                    with trio.fail_after(DIAL_S):
                        found.append(await self._dial(endpoint, peer.address))
                    nursery.cancel_scope.cancel()
                except (*STREAM_FAULTS, Retryable, trio.TooSlowError, ValueError) as error:
                    faults.append(f"{endpoint.host}:{endpoint.port} {_say(error)}")
                    failed[number].set()

            for number, endpoint in enumerate(endpoints):
                nursery.start_soon(try_one, number, endpoint)
                with trio.move_on_after(NEXT_ADDRESS_S):
                    await failed[number].wait()
        if found:
            return found[0]
        raise Unreachable(f"node 0x{peer.address.hex()} cannot be reached: {'; '.join(faults)}")

    async def dial_anew(self, peer: Peer) -> ID:
        """One more connection to a node, whatever connections there are. Raises Retryable."""
        return await self._dial_any(peer)

    def list_connections(self, address: Address) -> list[Any]:
        """Every live connection with a node."""
        peer_id = self.find_connected(address)
        found = self._swarm.get_connections(peer_id) if peer_id is not None else []
        return [one for one in found if not one.is_closed]

    async def drop_connections(self, connections: Iterable[Any]) -> None:
        """Close these, whatever is under way on them: it fails at once, and can be done over another."""

        async def close(connection: Any) -> None:
            with trio.move_on_after(CLOSE_S):
                try:
                    await connection.close()
                except STREAM_FAULTS:
                    return

        async with trio.open_nursery() as nursery:
            for connection in connections:
                nursery.start_soon(close, connection)

    async def _dial(self, endpoint: Endpoint, address: Address) -> ID:
        # Not by swarm.dial_peer: it needs the peer id beforehand (an address is only its key's hash), tries one address
        # alone, and blocks a peer for 60 s after a failure, at a new address too.
        if endpoint.target is not None:
            return await self._secure(RawConnection(await self._open_circuit(endpoint, address), True), address)
        async with self._dial_slots:
            stream = await trio.open_tcp_stream(endpoint.host, endpoint.port)
            return await self._secure(RawConnection(TrioTCPStream(stream), True), address)

    async def _open_circuit(self, endpoint: Endpoint, address: Address) -> Any:
        relay = read_peer_id(endpoint.peer_id or "")
        if relay is None or read_peer_id(endpoint.target or "") != address:
            raise Retryable("the relay address does not lead to this node")
        at = make_multiaddr(endpoint.host, endpoint.port)
        relay_id = await self.connect(Peer(relay, (at,)), trio.current_time() + DIAL_S)
        return await open_circuit(self.raw, relay_id, ID.from_base58(endpoint.target or ""))

    async def _secure(self, raw: RawConnection, address: Address) -> ID:
        try:
            upgrader = self._swarm.upgrader
            secured = await upgrader.security_multistream.secure_outbound(raw, None)
            peer_id: ID = secured.get_remote_peer()
            if address_of_peer_id(peer_id) != address:
                raise Retryable("answers as another node")
            muxed = await upgrader.upgrade_connection(secured, peer_id)
            await self._swarm.add_conn(muxed, direction="outbound")
        except BaseException:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_S):
                await raw.close()
            raise
        self._swarm.unblock_peer(peer_id)
        return peer_id

    def remember(self, peer_id: ID, multiaddrs: Iterable[str]) -> None:
        """Tell libp2p where a peer listens; its DHT names to others only peers of which it knows that."""
        endpoints = (parse_multiaddr(each) for each in multiaddrs)
        known = [Multiaddr(make_multiaddr(each.host, each.port)) for each in endpoints if each and not each.target]
        self.raw.get_peerstore().add_addrs(peer_id, known, PEER_ADDRESS_S)

    async def open_stream(self, peer_id: ID, protocol: str, deadline: float) -> Any:
        """A stream to a connected peer. Raises Retryable; Permanent when it does not speak the protocol."""
        with trio.CancelScope(deadline=deadline) as scope:
            try:
                return await self.raw.new_stream(peer_id, [protocol])
            except STREAM_FAULTS as error:
                raise Retryable(f"no stream could be opened: {_say(error)}") from error
        assert scope.cancelled_caught
        raise Retryable("the other side did not open a stream in time")

    async def disconnect(self, address: Address) -> None:
        """Drop every connection with a node."""
        peer_id = self.find_connected(address)
        if peer_id is not None:
            await self.raw.disconnect(peer_id)


@asynccontextmanager
async def open_host(
    secret: bytes,
    listen: Iterable[str],
    announce: tuple[str, ...] = (),
    standing_of: StandingOf = take_for_stranger,
    counters: NetCounters | None = None,
) -> AsyncIterator[Host]:
    """A running host under the node's identity. Raises Permanent when an address cannot be listened on.

    listen: multiaddrs, may be empty (then others reach us over connections that we open); announce: what to tell others
    instead of where we listen; standing_of: who gives way when there is no room for all.
    """
    apply_patches()
    wanted = tuple(listen)
    _check_listen(wanted)
    raw = _make_raw_host(secret, announce)
    doors = _set_guard(raw.get_network(), standing_of, counters or NetCounters())
    stop, is_up = trio.Event(), trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_stop_if_cancelled_before, is_up, stop)
        host: Host = await nursery.start(_run, raw, wanted, stop, doors)
        is_up.set()
        try:
            yield host
        finally:
            stop.set()


def _set_guard(swarm: Any, standing_of: StandingOf, counters: NetCounters) -> Doors:
    """Every socket comes in by the doors, and every connection is admitted by the guests' rules, not by libp2p's, which turn
    away the peer that comes last."""
    doors = Doors(swarm._handle_inbound_connection, counters)
    guests = Guests(swarm, doors, standing_of, counters)
    swarm._handle_inbound_connection = doors.answer
    swarm.add_conn = guests.admit
    setattr(swarm, GUESTS, guests)
    return doors


async def _stop_if_cancelled_before(is_up: trio.Event, stop: trio.Event) -> None:
    # Who waits for the start is told of it by nobody once it is cancelled, and the shielded host would wait for ever.
    try:
        await is_up.wait()
    except trio.Cancelled:
        stop.set()
        raise


async def _run(
    raw: Any, wanted: tuple[str, ...], stop: trio.Event, doors: Doors, task_status: Any = trio.TASK_STATUS_IGNORED
) -> None:
    # Shielded: libp2p, when cancelled, marks connections as closed and then leaves their sockets open.
    with trio.CancelScope(shield=True) as scope:
        try:
            async with raw.run([Multiaddr(each) for each in wanted]):
                _check_bound(wanted, raw)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(doors.run)
                    task_status.started(Host(raw))
                    await stop.wait()
                    nursery.cancel_scope.cancel()
                scope.deadline = trio.current_time() + CLOSE_S
                await _close_connections(raw)
                await raw.close()
        finally:
            await _close_what_is_left(raw)


async def _close_connections(raw: Any) -> None:
    # All at once: libp2p closes one after the other and sleeps 0.2 s over each.
    async with trio.open_nursery() as nursery:
        for connection in raw.get_network().get_connections():
            nursery.start_soon(connection.close)


async def _close_what_is_left(raw: Any) -> None:
    # After a fall the listener still has its port, and connections their sockets: others would wait for us on them.
    with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_S):
        await raw.close()
    close_sockets(raw.get_network())


def _make_raw_host(secret: bytes, announce: tuple[str, ...]) -> Any:
    keys = key_pair_of(secret)

    def choose_announced(bound: list[Multiaddr]) -> list[Multiaddr]:
        return [Multiaddr(each) for each in announce or expand_unspecified(tuple(str(each) for each in bound))]

    raw = new_host(
        key_pair=keys,
        # Noise alone: the default also takes plaintext, which proves nothing about who calls.
        sec_opt={NOISE_ID: NoiseTransport(keys, noise_privkey=create_x25519_key_pair().private_key)},
        muxer_opt={YAMUX_ID: Yamux},
        connection_config=_make_connection_config(),
        resource_manager=_make_resource_manager(),
        # What strangers say our address is must not decide what we announce.
        disable_identify_address_discovery=True,
        addrs_factory=choose_announced,
    )
    raw.get_network()._inbound_limiter = trio.CapacityLimiter(MOST)
    return raw


def _make_connection_config() -> ConnectionConfig:
    return ConnectionConfig(
        max_connections=MOST,
        # No auto-connect: who we talk to is decided by discovery and by calls.
        min_connections=0,
        low_watermark=0,
        high_watermark=MOST,
        max_connections_per_peer=MAX_CONNECTIONS_PER_PEER,
        inbound_upgrade_timeout=UPGRADE_S,
        outbound_upgrade_timeout=UPGRADE_S,
        outbound_stream_protocol_negotiation_timeout=UPGRADE_S,
        inbound_stream_protocol_negotiation_timeout=UPGRADE_S,
        enable_health_monitoring=True,
        health_initial_delay=HEALTH_INTERVAL_S,
        health_check_interval=HEALTH_INTERVAL_S,
        ping_timeout=HEALTH_PING_S,
        abort_connection_on_ping_failure=True,
        # A dead connection is dropped, a slow one is not "replaced": that would cut the streams on it.
        min_health_threshold=0.0,
        critical_health_threshold=0.0,
        min_ping_success_rate=0.0,
        max_ping_latency=1e9,
        max_failed_streams=1 << 30,
    )


def _make_resource_manager() -> ResourceManager:
    return ResourceManager(
        limits=ResourceLimits(max_connections=MOST, max_streams=MAX_STREAMS),
        connection_limits=ConnectionLimits(
            max_pending_inbound=MOST,
            max_pending_outbound=MAX_CONCURRENT_DIALS,
            max_established_inbound=MOST,
            max_established_per_peer=MAX_CONNECTIONS_PER_PEER,
            max_established_total=MOST,
        ),
        enable_metrics=False,
        # Five refusals in a row would refuse every node for a minute.
        enable_circuit_breaker=False,
        # It cuts the limits above for good when they are reached.
        enable_graceful_degradation=False,
        enable_memory_limits=False,
    )


def _check_listen(wanted: tuple[str, ...]) -> None:
    for each in wanted:
        if not each.startswith(("/ip4/", "/ip6/")) or parse_multiaddr(each.replace("/tcp/0", "/tcp/1")) is None:
            raise Permanent(
                f"{each} is not an address to listen on", hint="write /ip4/ADDRESS/tcp/PORT or /ip6/ADDRESS/tcp/PORT"
            )


def _check_bound(wanted: tuple[str, ...], raw: Any) -> None:
    # libp2p starts without an error when a port is busy.
    bound = raw.get_network().listeners
    missing = [each for each in wanted if str(Multiaddr(each)) not in bound]
    if missing:
        raise Permanent(
            f"cannot listen on {', '.join(missing)}: in use, or not an address of this host",
            hint="free it, or choose another port",
        )


def _dialable(multiaddrs: Iterable[str]) -> tuple[Endpoint, ...]:
    endpoints = (parse_multiaddr(each) for each in multiaddrs)
    known = dict.fromkeys(each for each in endpoints if each is not None)
    # Through a relay only when the straight ways have failed.
    return tuple(sorted(known, key=lambda each: each.target is not None))[:MAX_DIAL_ADDRESSES]


def _say(error: BaseException) -> str:
    if isinstance(error, Retryable | OSError):
        return str(error)
    return "does not answer" if isinstance(error, trio.TooSlowError) else type(error).__name__
