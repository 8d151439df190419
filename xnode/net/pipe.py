"""Pipe: frames over one libp2p stream, with a deadline on every wait and libp2p's many errors made one."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import trio
from libp2p.exceptions import BaseLibp2pError

from xnode.backoff import Backoff
from xnode.errors import Retryable
from xnode.net.guests import busy
from xnode.net.wire import FrameReader, HalfFrame, make_frame

FRAME_S = 20.0
"""How long a frame that has begun may pause before it goes on."""

READ_BYTES = 256 << 10
"""The most taken from a stream at once: four muxer frames."""

WRITE_BYTES = 65_535 - 16 - 12
"""The most that fits one Noise message with its tag and a muxer header; libp2p alone cuts at 64 KiB, and sends two."""

CLOSE_S = 3.0
"""How long a stream's last frame may take; after that the other side finds out on its own."""

WINDOW_LOOKS = Backoff(first_s=0.0005, most_s=0.01)
"""Between looks whether a full window has opened; libp2p gives no event for it."""

STREAM_FAULTS = (BaseLibp2pError, OSError, EOFError, trio.BrokenResourceError, trio.ClosedResourceError, KeyError)
"""What libp2p's streams raise when the other side or the connection goes; KeyError when that happens at an unlucky moment."""


class Pipe:
    """One stream. After any Retryable or cancellation it is of no more use: reset() it."""

    def __init__(self, stream: Any, may_hold: Callable[[int], bool] = lambda held_bytes: True) -> None:
        """may_hold: asked with the bytes of the frame that has begun to arrive, whenever there are more."""
        self._stream = stream
        self._frames = FrameReader()
        self._may_hold = may_hold

    def busy(self) -> AbstractContextManager[None]:
        """While this is open a request is under way here, and the connection is in use."""
        return busy(self._stream.muxed_conn)

    @property
    def is_alive(self) -> bool:
        """False once the stream or its connection is known to have ended."""
        muxed = self._stream.muxed_stream
        return not (self._stream.muxed_conn.is_closed or muxed.closed or muxed.recv_closed or muxed.send_closed)

    async def send(self, payload: bytes, deadline: float) -> None:
        """Write one frame. `deadline` on trio's clock. Raises Retryable."""
        data = make_frame(payload)
        with trio.CancelScope(deadline=deadline) as scope:
            try:
                await self._write(data)
            except STREAM_FAULTS as error:
                raise Retryable(f"connection broke off while sending: {type(error).__name__}") from error
        if scope.cancelled_caught:
            raise Retryable("the other side did not read in time")

    async def _write(self, data: bytes) -> None:
        muxed, view, sent = self._stream.muxed_stream, memoryview(data), 0
        while sent < len(data):
            # libp2p gives up on a reader that pauses for 5 s: never enter its wait, so that our own deadline counts.
            await _wait_window(muxed)
            piece = view[sent : sent + max(1, min(muxed.send_window, WRITE_BYTES))]
            await self._stream.write(bytes(piece))
            sent += len(piece)

    async def receive(self, deadline: float = math.inf) -> bytes | None:
        """The next frame, or None when the other side has closed between two. Raises Retryable, WireError."""
        while (frame := self._frames.next_frame()) is None:
            if self._frames.held_bytes:
                deadline = min(deadline, trio.current_time() + FRAME_S)
            data = await self._read(deadline)
            if not data:
                # A process that dies abruptly looks like a clean end, so only the frames can tell.
                try:
                    self._frames.end()
                except HalfFrame as error:
                    raise Retryable("the other side broke off inside a frame") from error
                return None
            self._frames.feed(data)
            if not self._may_hold(self._frames.held_bytes):
                raise Retryable("there is no room for so long a frame now")
        return frame

    async def _read(self, deadline: float) -> bytes:
        with trio.CancelScope(deadline=deadline) as scope:
            try:
                data: bytes = await self._stream.read(READ_BYTES)
                return data
            except EOFError:
                return b""
            except STREAM_FAULTS as error:
                raise Retryable(f"connection broke off: {type(error).__name__}") from error
        assert scope.cancelled_caught
        raise Retryable("the other side did not answer in time")

    async def close(self) -> None:
        """Say that no more frames follow."""
        await self._finish(self._stream.close)

    async def reset(self) -> None:
        """Drop the stream, both ways, at once."""
        self._frames.drop()
        await self._finish(self._stream.reset)

    async def _finish(self, how: Any) -> None:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_S):
            try:
                await how()
            except STREAM_FAULTS:
                return


async def _wait_window(muxed: Any) -> None:
    pauses = WINDOW_LOOKS.pauses()
    while muxed.send_window <= 0 and not muxed.closed and not muxed.send_closed:  # noqa: ASYNC110 - libp2p has no event
        await trio.sleep(next(pauses))
