"""Edge: the net as the rest of the node sees it; libp2p runs inside, and when it falls callers only see Retryable."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import structlog
import trio

from metering.units import NANOS_PER_SECOND, Address, Hash32
from xnode.errors import Retryable
from xnode.net.counters import NetCounters
from xnode.net.host import Host, open_host
from xnode.net.identity import make_node_address
from xnode.net.rpc import KEEP_S, OPEN_S, Rpc
from xnode.net.server import Methods, Server
from xnode.net.wire import PROTOCOL_ID
from xnode.ports import Peer, RpcHandler, StreamHandler

RESTART_FIRST_S, RESTART_LAST_S = 0.2, 30.0
"""Pause before libp2p is started again: short, because calls wait for it, and doubled while it keeps falling."""

HEALTHY_S = 60.0
"""A host that lived this long fell for a new reason: the pause starts again from the first."""

log = structlog.get_logger("xnode.net.edge")


@dataclass(frozen=True, slots=True)
class NetSettings:
    """secret: the node's 32-byte key; listen: multiaddrs (empty: behind NAT, others answer over our own connections);
    bootstrap: multiaddrs with /p2p; separator: of the domain that node records are signed in; dht: False asks the
    bootstrap peers alone."""

    secret: bytes
    listen: tuple[str, ...]
    separator: Hash32
    bootstrap: tuple[str, ...] = ()
    dht: bool = True

    def __repr__(self) -> str:
        return f"NetSettings(listen={self.listen}, bootstrap={self.bootstrap}, dht={self.dht})"


@dataclass(slots=True)
class _Session:
    """What lives as long as one host: leaving it fails the calls that are under way."""

    host: Host
    rpc: Rpc
    _scopes: set[trio.CancelScope] = field(default_factory=set)

    @contextmanager
    def running(self) -> Iterator[None]:
        """A call's time on this host. Raises Retryable when the host ends first."""
        with trio.CancelScope() as scope:
            self._scopes.add(scope)
            try:
                yield
            finally:
                self._scopes.discard(scope)
        if scope.cancelled_caught:
            raise Retryable("the net was restarted during this call")

    def end(self) -> None:
        for scope in self._scopes:
            scope.cancel()


class Net:
    """ports.Net over libp2p. Only open_net() makes one."""

    def __init__(self, settings: NetSettings, now_ns: Callable[[], int]) -> None:
        self.address: Address = make_node_address(settings.secret)
        self.counters = NetCounters()
        self._settings = settings
        self._now_ns = now_ns
        self._listen = settings.listen
        self._methods = Methods()
        self._server = Server(self._methods, self.counters)
        self._session: _Session | None = None
        self._started = trio.Event()
        self._restart_asked = trio.Event()

    def serve(self, method: str, handler: RpcHandler) -> None:
        """Answer calls of a method, from now on and across restarts."""
        self._methods.serve(method, handler)

    def serve_stream(self, method: str, handler: StreamHandler) -> None:
        """Answer streams of a method, from now on and across restarts."""
        self._methods.serve_stream(method, handler)

    async def call(self, peer: Peer, method: str, body: bytes, deadline_ns: int, correlation: str = "") -> bytes:
        """One request, one response. Raises RpcRefused, Permanent (unknown method), Retryable."""
        deadline = trio.current_time() + (deadline_ns - self._now_ns()) / NANOS_PER_SECOND
        self.counters.calls_out += 1
        try:
            session = await self._wait_session(deadline)
            with session.running():
                return await session.rpc.call(peer, method, body, deadline, correlation)
        except Retryable:
            self.counters.calls_out_failed += 1
            raise
        raise AssertionError("unreachable")

    @asynccontextmanager
    async def stream(
        self, peer: Peer, method: str, body: bytes, correlation: str = ""
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """One request, many items; raises as call() does."""
        session = await self._wait_session(trio.current_time() + OPEN_S)
        with session.running():
            async with session.rpc.stream(peer, method, body, correlation) as items:
                yield items

    def multiaddrs(self) -> tuple[str, ...]:
        """Where we listen, without /p2p."""
        return self._listen

    def peers(self) -> tuple[Address, ...]:
        """Whom we have a connection with."""
        return self._session.host.connected() if self._session else ()

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
        """Keep a host running for ever; when the very first start fails, hand back why (Permanent, mostly) and end."""
        pause, first = RESTART_FIRST_S, True
        while True:
            began = trio.current_time()
            try:
                await self._run_host(task_status if first else None)
                log.info("net restart asked for")
            except (
                Exception
            ) as error:  # a supervisor's edge: libp2p may fall in any way, and jobs and money must not notice
                if first and not self._started.is_set():
                    task_status.started(_unwrap(error))
                    return
                log.warning("net fell; starting it again", error=repr(_unwrap(error))[:300])
            first = False
            self.counters.restarts += 1
            pause = RESTART_FIRST_S if trio.current_time() - began > HEALTHY_S else min(2 * pause, RESTART_LAST_S)
            await trio.sleep(pause)

    async def _run_host(self, task_status: Any) -> None:
        self._restart_asked = trio.Event()
        async with open_host(self._settings.secret, self._listen) as host:
            session = _Session(host, Rpc(host, self.counters))
            # Port 0 was a wish for any port; after a restart others must find us where we were.
            self._listen = host.multiaddrs()
            host.set_handler(PROTOCOL_ID, self._server.answer_stream)
            try:
                self._session = session
                self._started.set()
                if task_status is not None:
                    task_status.started(None)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._keep_tidy, session)
                    await self._restart_asked.wait()
                    nursery.cancel_scope.cancel()
            finally:
                self._session, self._started = None, trio.Event()
                session.end()

    async def _keep_tidy(self, session: _Session) -> None:
        while True:
            self.counters.connections = session.host.count_connections()
            await session.rpc.close_idle()
            await trio.sleep(KEEP_S / 4)


@asynccontextmanager
async def open_net(settings: NetSettings, now_ns: Callable[[], int]) -> AsyncIterator[Net]:
    """A running net. now_ns: nanoseconds UTC, in which deadlines and expiries are written.

    Raises Permanent when it cannot listen; what the body raises comes out in an ExceptionGroup, as from any nursery.
    """
    net = Net(settings, now_ns)
    async with trio.open_nursery() as nursery:
        fault: Exception | None = await nursery.start(net.supervise)
        if fault is None:
            try:
                yield net
            finally:
                nursery.cancel_scope.cancel()
    if fault is not None:
        raise fault


def _unwrap(error: Exception) -> Exception:
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
