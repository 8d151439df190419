"""Rpc: asks other nodes over one host: one request and one response, or one request and many items."""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

import structlog
import trio
from libp2p.peer.id import ID

from xnode.errors import Permanent, Retryable
from xnode.net.counters import NetCounters
from xnode.net.host import Host
from xnode.net.pipe import Pipe
from xnode.net.ways import Ways
from xnode.net.wire import (
    MAX_BODY_BYTES,
    MAX_DEADLINE_MS,
    MAX_METHOD_CHARS,
    PROTOCOL_ID,
    VERSION,
    Request,
    Response,
    WireError,
    decode_response,
    encode_envelope,
)
from xnode.ports.net import Peer, RpcRefused

MAX_KEPT_STREAMS = 4
"""Idle streams kept for one peer: opening one costs 1.75 ms, a round trip on a kept one 0.54 ms."""

KEEP_S = 30.0
"""How long an idle stream is kept; well below the server's SERVER_IDLE_S."""

OPEN_S = 10.0
"""Connect and open a stream that has no deadline of its own."""

SILENCE_S = 35.0
"""A stream whose server is silent for this long, without even `alive` (each ALIVE_S), has lost its server."""

MAX_TRIES = 3
"""Of one call, while there is a connection: the way may be silent at the first, and be dropped during the second."""

AGAIN_S = 0.5
"""With less time left than this a call that broke off is not made again."""

REQUEST_S = 20.0


@dataclass(slots=True)
class Rpc:
    """The asking side over one host; as long-lived as the host."""

    host: Host
    counters: NetCounters
    ways: Ways
    _ids: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _kept: dict[ID, list[tuple[float, Pipe]]] = field(default_factory=dict)

    async def call(self, peer: Peer, method: str, body: bytes, deadline: float) -> bytes:
        """One request, one response; deadline on trio's clock. Raises RpcRefused, Permanent, Retryable."""
        with self.ways.calling(peer, method):
            for tries_left in reversed(range(MAX_TRIES)):
                try:
                    response = await self._call(peer, method, body, deadline)
                    break
                except Retryable:
                    # A silent way is dropped when another one answers: then the same question, which peers answer alike.
                    is_late = trio.current_time() + AGAIN_S > deadline
                    if not tries_left or is_late or not self.host.list_connections(peer.address):
                        raise
        return _body_of(response, method, peer)

    async def _call(self, peer: Peer, method: str, body: bytes, deadline: float) -> Response:
        peer_id = await self.host.connect(peer, deadline)
        pipe = await self._take_pipe(peer_id, deadline)
        done = False
        try:
            request = self._make_request(method, body, deadline)
            with pipe.busy():
                await pipe.send(encode_envelope(request), deadline)
                response = await _receive(pipe, request, deadline)
            done = True
        finally:
            if done:
                await self._keep_pipe(peer_id, pipe)
            else:
                await pipe.reset()
        return response

    @asynccontextmanager
    async def stream(self, peer: Peer, method: str, body: bytes) -> AsyncIterator[AsyncIterator[bytes]]:
        """One request, many items. The iterator raises as call() does, in bounded time when the other side dies."""
        deadline = trio.current_time() + OPEN_S
        with self.ways.calling(peer, method):
            peer_id = await self.host.connect(peer, deadline)
            pipe = Pipe(await self.host.open_stream(peer_id, PROTOCOL_ID, deadline))
        try:
            request = self._make_request(method, body, None)
            await pipe.send(encode_envelope(request), trio.current_time() + REQUEST_S)
            with self.ways.streaming(peer), pipe.busy():
                async with aclosing(_items(pipe, request, method, peer)) as items:
                    yield items
        finally:
            # The server learns from the reset that the caller has stopped listening.
            await pipe.reset()

    async def close_idle(self) -> None:
        """Close kept streams that were idle too long."""
        stale = trio.current_time() - KEEP_S
        for peer_id, kept in list(self._kept.items()):
            fresh = [(since, pipe) for since, pipe in kept if since > stale and pipe.is_alive]
            gone = [pipe for since, pipe in kept if since <= stale or not pipe.is_alive]
            if fresh:
                self._kept[peer_id] = fresh
            else:
                del self._kept[peer_id]
            for pipe in gone:
                await pipe.close()

    async def _take_pipe(self, peer_id: ID, deadline: float) -> Pipe:
        kept = self._kept.get(peer_id, [])
        while kept:
            since, pipe = kept.pop()
            if pipe.is_alive and since + KEEP_S > trio.current_time():
                self.counters.kept_hits += 1
                return pipe
            await pipe.reset()
        return Pipe(await self.host.open_stream(peer_id, PROTOCOL_ID, deadline))

    async def _keep_pipe(self, peer_id: ID, pipe: Pipe) -> None:
        kept = self._kept.setdefault(peer_id, [])
        if len(kept) < MAX_KEPT_STREAMS and pipe.is_alive:
            kept.append((trio.current_time(), pipe))
        else:
            await pipe.close()

    def _make_request(self, method: str, body: bytes, deadline: float | None) -> Request:
        assert len(method) <= MAX_METHOD_CHARS
        if len(body) > MAX_BODY_BYTES:
            raise Permanent(
                f"the request to {method} has {len(body)} bytes, and {MAX_BODY_BYTES} is the most: send a blob"
            )
        left_ms = 0 if deadline is None else int(1000 * (deadline - trio.current_time()))
        # The job whose work this is, as our own log lines name it (xnode.logs): the peer's lines name it so too.
        job = str(structlog.contextvars.get_contextvars().get("job", ""))
        return Request(VERSION, method, next(self._ids), max(0, min(left_ms, MAX_DEADLINE_MS)), job, body)


async def _items(pipe: Pipe, request: Request, method: str, peer: Peer) -> AsyncGenerator[bytes, None]:
    while True:
        response = await _receive(pipe, request, trio.current_time() + SILENCE_S)
        if response.status == "item":
            yield response.body
        elif response.status == "end":
            return
        elif response.status != "alive":
            _body_of(response, method, peer)
            raise Retryable(f"{_name(peer)} answered the stream {method} as a call")


async def _receive(pipe: Pipe, request: Request, deadline: float) -> Response:
    try:
        payload = await pipe.receive(deadline)
        if payload is None:
            raise Retryable("the other side closed the stream without an answer")
        response = decode_response(payload)
    except WireError as error:
        raise Retryable(f"the other side's answer cannot be read: {error}") from error
    if response.request_id != request.request_id:
        raise Retryable("the other side answered another request")
    return response


def _body_of(response: Response, method: str, peer: Peer) -> bytes:
    match response.status:
        case "ok":
            return response.body
        case "refused":
            raise RpcRefused(response.body)
        case "unknown_method":
            raise Permanent(f"{_name(peer)} does not know {method}: it runs another version")
        case _:
            raise Retryable(f"{_name(peer)} failed while answering {method}")


def _name(peer: Peer) -> str:
    return f"node 0x{peer.address.hex()}"
