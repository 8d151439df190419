"""Server: answers the requests of an inbound stream one by one; nothing a peer sends or a handler raises passes."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable
from typing import Any

import structlog
import trio

from metering.codec import encode
from metering.refusal import Refusal
from metering.units import Address
from xnode.errors import Retryable, real_error_of
from xnode.net.counters import NetCounters
from xnode.net.identity import address_of_peer_id
from xnode.net.intake import CALL_LIMITS, FREE_BYTES, STREAM_LIMITS, Intake, Room
from xnode.net.pipe import Pipe
from xnode.net.standing import Standing, StandingOf, take_for_stranger
from xnode.net.wire import (
    MAX_BODY_BYTES,
    VERSION,
    Request,
    Response,
    Status,
    WireError,
    decode_request,
    encode_envelope,
)
from xnode.ports.net import RpcHandler, RpcRefused, StreamHandler

SERVER_IDLE_S = 90.0
"""How long a kept stream may stay without a request; the caller gives up earlier (KEEP_S), so it is not surprised."""

FIRST_REQUEST_S = 10.0
"""How long a new stream may take until its first request."""

HANDLER_S = 60.0
"""The most a handler may take, whatever the caller would wait."""

REPLY_S = 20.0
"""How long a peer may take to read a response of at most 1 MiB."""

STALL_S = 120.0
"""How long a reader of a stream may pause: a person who stopped scrolling, not one who left."""

ALIVE_S = 10.0
"""How often a stream without items sends `alive`."""

NO_ROOM = "there is no room for so long an answer now"

MAX_METHODS = 256

_JOB = re.compile(r"0x[0-9a-f]{16}")
"""The correlation id that a request may have: nothing else from a stranger gets into our log lines."""

log = structlog.get_logger("xnode.net.server")


class Methods:
    """What we answer: registered once, and outliving any host."""

    def __init__(self) -> None:
        self.calls: dict[str, RpcHandler] = {}
        self.streams: dict[str, StreamHandler] = {}

    def serve(self, method: str, handler: RpcHandler) -> None:
        self._check_new(method)
        self.calls[method] = handler

    def serve_stream(self, method: str, handler: StreamHandler) -> None:
        self._check_new(method)
        self.streams[method] = handler

    def _check_new(self, method: str) -> None:
        assert method not in self.calls and method not in self.streams, f"{method} is served already"
        assert len(self.calls) + len(self.streams) < MAX_METHODS


class Server:
    """One for the life of the net: limits hold across restarts of the host."""

    def __init__(self, methods: Methods, counters: NetCounters, standing_of: StandingOf = take_for_stranger) -> None:
        self._methods, self._counters, self._standing_of = methods, counters, standing_of
        self._calls = Intake(CALL_LIMITS)
        self._streams = Intake(STREAM_LIMITS)
        self._room = Room()

    async def answer_stream(self, stream: Any) -> None:
        """Answer what comes on an inbound libp2p stream until it ends or breaks the protocol."""
        caller = address_of_peer_id(stream.muxed_conn.peer_id)
        hold = _Hold(self._room, lambda: caller is None or self._standing_of(caller) < Standing.PARTNER)
        pipe = Pipe(stream, hold.grow)
        try:
            if caller is None:
                # Another kind of key has no address: there is no one to hold to anything.
                raise WireError("the caller's key is not secp256k1")
            await self._answer_all(pipe, caller, hold)
            await pipe.close()
        except Retryable:
            await pipe.reset()
        except WireError as error:
            self._counters.bad_frames += 1
            log.info("peer broke the protocol", peer=_name(caller), why=str(error))
            await pipe.reset()
        except BaseException:
            await pipe.reset()
            raise
        finally:
            hold.end()

    async def _answer_all(self, pipe: Pipe, caller: Address, hold: _Hold) -> None:
        wait_s = FIRST_REQUEST_S
        while (payload := await pipe.receive(trio.current_time() + wait_s)) is not None:
            await self._answer(pipe, caller, decode_request(payload), hold)
            hold.end()
            wait_s = SERVER_IDLE_S

    async def _answer(self, pipe: Pipe, caller: Address, request: Request, hold: _Hold) -> None:
        reply = _Reply(pipe, request.request_id)
        intake = self._streams if request.method in self._methods.streams else self._calls
        wait_s = intake.enter(caller, trio.current_time(), self._standing_of(caller))
        if isinstance(wait_s, str):
            self._counters.refused += 1
            await reply.send("refused", encode(Refusal("busy", wait_s)))
            return
        try:
            if wait_s:
                await trio.sleep(wait_s)
            with pipe.busy():
                await self._dispatch(reply, caller, request, hold)
        finally:
            intake.leave(caller)

    async def _dispatch(self, reply: _Reply, caller: Address, request: Request, hold: _Hold) -> None:
        call, stream = self._methods.calls.get(request.method), self._methods.streams.get(request.method)
        with structlog.contextvars.bound_contextvars(**_read_job(request)):
            if call is not None:
                self._counters.calls_in += 1
                status, body = await self._run_call(call, caller, request)
                if not hold.grow(len(request.body) + len(body)):
                    self._counters.refused += 1
                    status, body = "refused", encode(Refusal("busy", NO_ROOM))
                await reply.send(status, body)
            elif stream is not None:
                self._counters.streams_in += 1
                status, body = await self._run_stream(stream, caller, request, reply)
                await reply.send(status, body)
            else:
                self._counters.unknown_methods += 1
                await reply.send("unknown_method", b"")

    async def _run_call(self, handler: RpcHandler, caller: Address, request: Request) -> tuple[Status, bytes]:
        try:
            with trio.move_on_after(min(HANDLER_S, request.deadline_ms / 1000)):
                body = await handler(caller, request.body)
                assert len(body) <= MAX_BODY_BYTES, f"{request.method} answers with more than {MAX_BODY_BYTES} bytes"
                return "ok", body
            self._counters.handler_timeouts += 1
            return "error", b""
        except RpcRefused as refusal:
            return "refused", refusal.body
        except Exception as error:  # a supervisor's edge: one handler's bug must not end the node's net
            return self._on_handler_error(error, caller, request)

    async def _run_stream(
        self, handler: StreamHandler, caller: Address, request: Request, reply: _Reply
    ) -> tuple[Status, bytes]:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(reply.keep_alive)
                await handler(caller, request.body, reply.send_item)
                await reply.cancel_between_frames(nursery.cancel_scope)
            return "end", b""
        except RpcRefused as refusal:
            return "refused", refusal.body
        except Exception as error:  # a supervisor's edge, as above; a nursery wraps what its body raises
            inner = real_error_of(error)
            if isinstance(inner, RpcRefused):
                return "refused", inner.body
            if isinstance(inner, Retryable) and reply.broke:
                raise inner from None
            return self._on_handler_error(inner, caller, request)

    def _on_handler_error(self, error: Exception, caller: Address, request: Request) -> tuple[Status, bytes]:
        self._counters.handler_errors += 1
        log.error("handler raised", method=request.method, peer=_name(caller), **_describe(error))
        return "error", b""


class _Hold:
    """The bytes that one stream of a stranger has us hold: of its request until that is answered, and of the answer."""

    def __init__(self, room: Room, is_stranger: Callable[[], bool]) -> None:
        self._room, self._is_stranger, self._held = room, is_stranger, 0

    def grow(self, size: int) -> bool:
        """So many are held now; false when there is no room for them."""
        more = size - FREE_BYTES - self._held
        if more <= 0 or not self._is_stranger():
            return True
        if not self._room.take(more):
            return False
        self._held += more
        return True

    def end(self) -> None:
        """Nothing is held any more."""
        self._room.give(self._held)
        self._held = 0


class _Reply:
    """The responses to one request, one at a time."""

    def __init__(self, pipe: Pipe, request_id: int) -> None:
        self._pipe = pipe
        self._request_id = request_id
        self._lock = trio.Lock()
        self._spoke_at = trio.current_time()
        self.broke = False

    async def send(self, status: Status, body: bytes, within_s: float = REPLY_S) -> None:
        payload = encode_envelope(Response(VERSION, self._request_id, status, body))
        async with self._lock:
            if self.broke:
                raise Retryable("an earlier frame was cut short")
            try:
                await self._pipe.send(payload, trio.current_time() + within_s)
            except BaseException:
                self.broke = True
                raise
            self._spoke_at = trio.current_time()

    async def send_item(self, body: bytes) -> None:
        """One item of a stream. Returns when the reader has room for it. Raises Retryable when it has gone."""
        assert len(body) <= MAX_BODY_BYTES
        await self.send("item", body, STALL_S)

    async def keep_alive(self) -> None:
        while True:
            await trio.sleep_until(self._spoke_at + ALIVE_S)
            if trio.current_time() >= self._spoke_at + ALIVE_S:
                await self.send("alive", b"", STALL_S)

    async def cancel_between_frames(self, scope: trio.CancelScope) -> None:
        """Cancel keep_alive() where it leaves no half frame behind."""
        async with self._lock:
            scope.cancel()


def _read_job(request: Request) -> dict[str, str]:
    # The caller's name for the job; a handler that finds the job in our own records replaces it.
    return {"job": request.correlation} if _JOB.fullmatch(request.correlation) else {}


def _describe(error: Exception) -> dict[str, str]:
    # Where and what kind, but neither message nor locals: they may hold a peer's bytes, or a key.
    frames = traceback.extract_tb(error.__traceback__)
    return {"error": type(error).__name__, "at": " < ".join(f"{each.filename}:{each.lineno}" for each in frames[-3:])}


def _name(address: Address | None) -> str:
    return f"0x{address.hex()}" if address else "unknown"
