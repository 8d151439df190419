"""Edge: the net as the rest of the node sees it; libp2p runs inside, and when it falls callers only see Retryable."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog
import trio

from metering.units import NANOS_PER_SECOND, Address, Hash32
from xnode.backoff import Backoff
from xnode.errors import Permanent, Retryable, real_error_of
from xnode.net.counters import NetCounters
from xnode.net.dht import open_dht
from xnode.net.directory import serve_directory
from xnode.net.discovery import Discovery, Phonebook
from xnode.net.host import Host, open_host
from xnode.net.identity import node_address_of, peer_id_text_of, read_peer_id
from xnode.net.known_peers import KnownPeer
from xnode.net.last_ports import note_ports, take_last_ports
from xnode.net.multiaddr import expand_unspecified, merge_multiaddrs, name_peer, parse_multiaddr
from xnode.net.relay import open_relay
from xnode.net.rpc import KEEP_S, OPEN_S, Rpc
from xnode.net.server import Methods, Server
from xnode.net.standing import Standing, StandingOf, take_for_stranger
from xnode.net.ways import Ways
from xnode.net.wire import PROTOCOL_ID
from xnode.ports.net import Peer, RpcHandler, StreamHandler
from xnode.repeated_event import RepeatedEvent

RESTART = Backoff(first_s=0.2, most_s=30.0)
"""Before libp2p is started again: soon at first, because calls wait for it."""

LOOK_UP_S = 3.0
"""How long a call that failed may look for the peer's newest record; the caller tries again after that anyway."""

LONELY_S = 10.0
"""So long a node may be without any other before it says so: bootstrap peers that are there answer within a second."""

HEALTHY_S = 60.0
"""A host that lived this long fell for a new reason: the pause starts again from the first."""

log = structlog.get_logger("xnode.net.edge")


@dataclass(frozen=True, slots=True)
class NetSettings:
    """secret: the node's 32-byte key; listen: multiaddrs (empty: behind NAT, others answer over our own connections);
    announce: where others dial us, when that is elsewhere (a forwarded port); bootstrap: multiaddrs with /p2p;
    separator: of the domain that node records are signed in; dht: False asks the
    bootstrap peers alone; relay: carry others' connections to nodes that cannot be dialed; ports: the file that
    remembers what port 0 became, for the next start; known: nodes that were good before, tried when no bootstrap peer is
    reached."""

    secret: bytes
    listen: tuple[str, ...]
    separator: Hash32
    bootstrap: tuple[str, ...] = ()
    announce: tuple[str, ...] = ()
    dht: bool = True
    relay: bool = False
    ports: Path | None = None
    known: tuple[KnownPeer, ...] = ()

    def __repr__(self) -> str:
        return f"NetSettings(listen={self.listen}, bootstrap={self.bootstrap}, dht={self.dht})"


@dataclass(slots=True)
class _Session:
    """What lives as long as one host: leaving it fails the calls that are under way."""

    host: Host
    rpc: Rpc
    discovery: Discovery
    _scopes: set[trio.CancelScope] = field(default_factory=set)

    @contextmanager
    def running(self, deadline: float = math.inf) -> Iterator[None]:
        """A call's time on this host. Raises Retryable when the host or the time ends first."""
        with trio.CancelScope(deadline=deadline) as scope:
            self._scopes.add(scope)
            try:
                yield
            finally:
                self._scopes.discard(scope)
        if scope.cancelled_caught:
            late = trio.current_time() >= deadline
            raise Retryable("the deadline passed" if late else "the net was restarted during this call")

    def end(self) -> None:
        for scope in self._scopes:
            scope.cancel()


class Net:
    """ports.Net over libp2p. Only open_net() makes one."""

    def __init__(self, settings: NetSettings, now_ns: Callable[[], int]) -> None:
        self.address: Address = node_address_of(settings.secret)
        self.counters = NetCounters()
        self._settings = settings
        self._now_ns = now_ns
        self._listen = settings.listen
        self._bootstrap = tuple(_make_bootstrap_peer(each) for each in settings.bootstrap)
        self._phonebook = Phonebook(settings.separator, now_ns, self._find_standing)
        self._methods = Methods()
        self._phonebook.remember(settings.known)
        self._in_company_at = trio.current_time()
        serve_directory(self._methods, self._phonebook.book, now_ns)
        self._judge: StandingOf = take_for_stranger
        self._hubs = frozenset(peer.address for peer in self._bootstrap)
        self._server = Server(self._methods, self.counters, self._find_standing)
        self._session: _Session | None = None
        self._has_started = False
        self._started = RepeatedEvent()
        self._restart_asked = RepeatedEvent()

    def judge(self, standing_of: StandingOf) -> None:
        """Who gives way when there is not enough for all; until this is called our bootstrap peers alone are known."""
        self._judge = standing_of

    def _find_standing(self, node: Address) -> Standing:
        return Standing.PARTNER if node in self._hubs else self._judge(node)

    def listen_on(self, multiaddrs: tuple[str, ...]) -> None:
        """Try these first when it starts, before those of the settings."""
        self._listen = multiaddrs

    def serve(self, method: str, handler: RpcHandler) -> None:
        """Answer calls of a method, from now on and across restarts."""
        self._methods.serve(method, handler)

    def serve_stream(self, method: str, handler: StreamHandler) -> None:
        """Answer streams of a method, from now on and across restarts."""
        self._methods.serve_stream(method, handler)

    async def call(self, peer: Peer, method: str, body: bytes, deadline_ns: int) -> bytes:
        """One request, one response. Raises RpcRefused, Permanent (unknown method), Retryable."""
        deadline = trio.current_time() + (deadline_ns - self._now_ns()) / NANOS_PER_SECOND
        self.counters.calls_out += 1
        try:
            session = await self._wait_session(deadline)
            with session.running(deadline):
                where = await self._locate(session, peer)
                try:
                    return await session.rpc.call(where, method, body, deadline)
                except Retryable:
                    await self._look_up_anew(session, peer)
                    moved = await self._locate(session, peer)
                    if moved == where:
                        raise
                return await session.rpc.call(moved, method, body, deadline)
        except Retryable:
            self.counters.calls_out_failed += 1
            raise
        raise AssertionError("unreachable")

    @asynccontextmanager
    async def stream(self, peer: Peer, method: str, body: bytes) -> AsyncIterator[AsyncIterator[bytes]]:
        """One request, many items; raises as call() does."""
        deadline = trio.current_time() + OPEN_S
        session = await self._wait_session(deadline)
        with session.running(deadline):
            where = await self._locate(session, peer)
            try:
                await session.host.connect(where, deadline)
            except Retryable:
                await self._look_up_anew(session, peer)
                where = await self._locate(session, peer)
        with session.running():
            async with session.rpc.stream(where, method, body) as items:
                yield items

    async def publish_record(self, record: bytes, wait_s: float = 0.0) -> None:
        """Make our own signed record (records.make_record) known, beside, for as long as it is valid and we live.

        wait_s: how long to wait for all who can be asked, when there is no time afterwards. Raises Permanent when it is not a
        valid record of this node.
        """
        refusal = self._phonebook.keep(self.address, record)
        if refusal is not None:
            raise Permanent(f"our own record was not published: {refusal}")
        self._phonebook.own = record
        if self._session is None:
            return
        self._session.discovery.publish_soon()
        if wait_s:
            with trio.move_on_after(wait_s), self._session.running():
                await self._session.discovery.publish()

    async def find_providers(self, tell: Callable[[Address], None] | None = None) -> tuple[Address, ...]:
        """Every node claimed to be a provider; a hint, to be checked by its record. tell: called with each as soon as it is
        named."""
        session = await self._wait_session(trio.current_time() + OPEN_S)
        with session.running():
            return await session.discovery.find_providers(tell)
        raise AssertionError("unreachable")

    async def get_record(self, address: Address) -> bytes | None:
        """The newest valid record of a node that any node has, or None."""
        session = await self._wait_session(trio.current_time() + OPEN_S)
        with session.running():
            return await session.discovery.get_record(address)
        raise AssertionError("unreachable")

    def multiaddrs(self) -> tuple[str, ...]:
        """Where others may dial us, without /p2p.

        A node that does not listen is reached through the relays among its bootstrap peers; none has taken it yet right
        after the start, so ask again.
        """
        if self._settings.announce or self._listen:
            return self._settings.announce or expand_unspecified(self._listen)
        relays = self._session.discovery.relays if self._session else ()
        me = peer_id_text_of(self._settings.secret)
        return tuple(name_peer(f"{relay}/p2p-circuit", me) for relay in relays)

    async def _locate(self, session: _Session, peer: Peer) -> Peer:
        # What the caller noted long ago may be out of date: the node's own record comes first.
        known = merge_multiaddrs(self._phonebook.locate(peer.address), peer.multiaddrs)
        if not known and session.host.find_connected(peer.address) is None:
            known = await session.discovery.locate(peer.address)
        return Peer(peer.address, known)

    async def _look_up_anew(self, session: _Session, peer: Peer) -> None:
        """A node that cannot be reached may be elsewhere by now: get its newest record."""
        if session.host.find_connected(peer.address) is None:
            with trio.move_on_after(LOOK_UP_S):
                await session.discovery.get_record(peer.address)

    def peers(self) -> tuple[Address, ...]:
        """Whom we have a connection with."""
        return self._session.host.connected() if self._session else ()

    def find_loneliness(self) -> str:
        """Why no other node is connected to one that should be, "" when one is or need not be."""
        hubs, known = len(self._bootstrap), len(self._phonebook.known)
        if self.peers() or not (hubs or known):
            self._in_company_at = trio.current_time()
        if trio.current_time() < self._in_company_at + LONELY_S:
            return ""
        tried = [
            f"{count} {what}" for count, what in ((hubs, "in node.bootstrap"), (known, "known from before")) if count
        ]
        return f"no other node can be reached (tried {' and '.join(tried)}): check the network, and that node.bootstrap is right"

    def locate_known(self, node: Address) -> tuple[tuple[str, ...], bytes]:
        """Where a node was last known to listen, and its record, when there is one."""
        found = self._phonebook.find(node)
        return self._phonebook.locate(node), found[1] if found else b""

    def restart(self) -> None:
        """Tear libp2p down and start it again; calls under way fail with Retryable."""
        self._restart_asked.set()

    async def _wait_session(self, deadline: float) -> _Session:
        with trio.CancelScope(deadline=deadline) as scope:
            while self._session is None:
                await self._started.wait()
            return self._session
        assert scope.cancelled_caught
        raise Retryable("the net is being restarted")

    async def supervise(self, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        """Keep a host running forever; when the very first start fails, hand back why (Permanent, mostly) and end."""
        pauses, first = RESTART.pauses(), True
        while True:
            began = trio.current_time()
            try:
                await self._run_host(task_status if first else None)
                log.info("net restart asked for")
            except (
                Exception
            ) as error:  # a supervisor's edge: libp2p may fall in any way, and jobs and money must not notice
                if first and not self._has_started:
                    if self._listen != self._settings.listen:
                        self._listen = self._settings.listen  # somebody took the port of last time just now
                        continue
                    task_status.started(real_error_of(error))
                    return
                log.warning("net fell; starting it again", error=repr(real_error_of(error))[:300])
            first = False
            self.counters.restarts += 1
            if trio.current_time() - began > HEALTHY_S:
                pauses = RESTART.pauses()
            await trio.sleep(next(pauses))

    async def _run_host(self, task_status: Any) -> None:
        restart_asked = self._restart_asked.next()
        async with AsyncExitStack() as stack:
            host = await stack.enter_async_context(
                open_host(
                    self._settings.secret, self._listen, self._settings.announce, self._find_standing, self.counters
                )
            )
            ways = Ways(host)
            rpc = Rpc(host, self.counters, ways)
            await stack.enter_async_context(open_relay(host.raw, self._settings.relay))
            dht = None
            if self._settings.dht:
                serves = bool(self._settings.listen)
                dht = await stack.enter_async_context(open_dht(host, self._phonebook.read, serves))
            discovery = Discovery(host, rpc, self._phonebook, self._bootstrap, dht, self.address)
            discovery.wants_relays = not self._settings.listen
            session = _Session(host, rpc, discovery)
            # Port 0 was a wish for any port; after a restart others must find us where we were.
            self._listen = host.multiaddrs()
            await self._note_ports()
            host.set_handler(PROTOCOL_ID, self._server.answer_stream)
            try:
                self._session = session
                self._started.set()
                self._has_started = True
                if task_status is not None:
                    task_status.started(None)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._keep_tidy, session)
                    nursery.start_soon(discovery.run)
                    nursery.start_soon(ways.run)
                    await restart_asked.wait()
                    nursery.cancel_scope.cancel()
            finally:
                self._session = None
                session.end()

    async def _note_ports(self) -> None:
        if self._settings.ports is None:
            return
        try:
            await trio.to_thread.run_sync(note_ports, self._settings.ports, self._settings.listen, self._listen)
        except OSError as error:
            log.info("the ports are not noted for the next start", why=str(error))

    async def _keep_tidy(self, session: _Session) -> None:
        while True:
            self.counters.connections = session.host.count_connections()
            self.find_loneliness()
            await session.rpc.close_idle()
            await trio.sleep(KEEP_S / 4)


@asynccontextmanager
async def open_net(settings: NetSettings, now_ns: Callable[[], int]) -> AsyncIterator[Net]:
    """A running net. now_ns: nanoseconds UTC, in which deadlines and expiries are written.

    Raises Permanent when it cannot listen; what the body raises comes out in an ExceptionGroup, as from any nursery.
    """
    net = Net(settings, now_ns)
    if settings.ports is not None:
        net.listen_on(await trio.to_thread.run_sync(take_last_ports, settings.ports, settings.listen))
    async with trio.open_nursery() as nursery:
        fault: Exception | None = await nursery.start(net.supervise)
        if fault is None:
            try:
                yield net
            finally:
                nursery.cancel_scope.cancel()
    if fault is not None:
        raise fault


def _make_bootstrap_peer(text: str) -> Peer:
    endpoint = parse_multiaddr(text)
    # Through a relay it is the node behind it that is meant.
    named = (endpoint.target or endpoint.peer_id) if endpoint is not None else None
    address = read_peer_id(named) if named is not None else None
    if address is None:
        raise Permanent(f"{text} is not a bootstrap peer", hint="write /ip4/ADDRESS/tcp/PORT/p2p/PEER-ID")
    return Peer(address, (text,))
