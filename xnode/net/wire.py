"""Wire: the frames and envelopes of /xnode/rpc/1. Bytes in, values out; nothing here waits or knows libp2p."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

import msgpack
import msgspec

from metering.units import U32, U64

PROTOCOL_ID = "/xnode/rpc/1"
VERSION = 1

MAX_BODY_BYTES = 1 << 20
"""The largest request, response or item: a receipt is 0.3 KiB, a job with its inputs some KiB, a blob piece 256 KiB."""

_ENVELOPE_BYTES = 1024
"""All fields of an envelope but its body, at their longest, with room."""

MAX_FRAME_BYTES = MAX_BODY_BYTES + _ENVELOPE_BYTES
LENGTH_BYTES = 4

MAX_METHOD_CHARS = 64
MAX_CORRELATION_CHARS = 64
MAX_DEADLINE_MS = 3_600_000
"""No call is waited for longer than an hour."""

Body = Annotated[bytes, msgspec.Meta(max_length=MAX_BODY_BYTES)]

Status = Literal["ok", "refused", "unknown_method", "error", "item", "alive", "end"]
"""ok, refused, unknown_method, error, end close a request; item is one of many; alive means that more may come."""


class WireError(ValueError):
    """The other side's bytes are not this protocol; str() tells how, without quoting them."""


class FrameTooLong(WireError):
    """A frame announces more than MAX_FRAME_BYTES."""


class HalfFrame(WireError):
    """The bytes ended inside a frame."""


class Request(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """version: 1; request_id: echoed in every response; deadline_ms: how long the caller waits, 0 for a stream;
    correlation: names one job through both sides' logs; body: the method's own bytes."""

    version: U32
    method: Annotated[str, msgspec.Meta(max_length=MAX_METHOD_CHARS)]
    request_id: U64
    deadline_ms: Annotated[int, msgspec.Meta(ge=0, le=MAX_DEADLINE_MS)]
    correlation: Annotated[str, msgspec.Meta(max_length=MAX_CORRELATION_CHARS)]
    body: Body


class Response(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """body: the answer when ok or item, an encoded Refusal when refused, empty otherwise."""

    version: U32
    request_id: U64
    status: Status
    body: Body


class FrameReader:
    """Cuts a byte stream into frames: feed it what arrives, take whole frames until it gives None."""

    def __init__(self, max_frame_bytes: int = MAX_FRAME_BYTES) -> None:
        self._buffer = bytearray()
        self._max_frame_bytes = max_frame_bytes

    @property
    def held_bytes(self) -> int:
        """Bytes of frames that are not whole yet."""
        return len(self._buffer)

    def drop(self) -> None:
        """Forget what has come."""
        self._buffer.clear()

    def feed(self, data: bytes) -> None:
        """Bytes that have arrived."""
        self._buffer += data

    def next_frame(self) -> bytes | None:
        """The next whole frame's payload, or None when more bytes are needed. Raises FrameTooLong."""
        if len(self._buffer) < LENGTH_BYTES:
            return None
        length = int.from_bytes(self._buffer[:LENGTH_BYTES], "big")
        if length > self._max_frame_bytes:
            raise FrameTooLong(f"a frame of {length} bytes is longer than {self._max_frame_bytes}")
        if len(self._buffer) < LENGTH_BYTES + length:
            return None
        frame = bytes(memoryview(self._buffer)[LENGTH_BYTES : LENGTH_BYTES + length])
        del self._buffer[: LENGTH_BYTES + length]
        return frame

    def end(self) -> None:
        """No more bytes will come. Raises HalfFrame when some of a frame has."""
        if self._buffer:
            raise HalfFrame(f"the stream ended {len(self._buffer)} bytes into a frame")


def make_frame(payload: bytes) -> bytes:
    """A payload behind its length. Raises FrameTooLong."""
    if len(payload) > MAX_FRAME_BYTES:
        raise FrameTooLong(f"a frame of {len(payload)} bytes is longer than {MAX_FRAME_BYTES}")
    return len(payload).to_bytes(LENGTH_BYTES, "big") + payload


def encode_envelope(envelope: Request | Response) -> bytes:
    """The payload of a frame."""
    return msgspec.msgpack.encode(envelope)


def decode_request(payload: bytes) -> Request:
    """A caller's request. Raises WireError."""
    return _decode(payload, Request)


def decode_response(payload: bytes) -> Response:
    """The other side's answer. Raises WireError."""
    return _decode(payload, Response)


_Envelope = TypeVar("_Envelope", Request, Response)


def _decode(payload: bytes, kind: type[_Envelope]) -> _Envelope:
    try:
        # msgpack's own limits come first: msgspec has none, and one forged length would allocate what it names.
        plain = msgpack.unpackb(
            payload,
            raw=False,
            use_list=True,
            strict_map_key=True,
            max_str_len=max(MAX_METHOD_CHARS, MAX_CORRELATION_CHARS) * 4,
            max_bin_len=MAX_BODY_BYTES,
            max_array_len=len(Request.__struct_fields__),
            max_map_len=0,
            max_ext_len=0,
        )
        # builtin_types: else msgspec would take text for the base64 of bytes.
        envelope = msgspec.convert(plain, kind, strict=True, builtin_types=(bytes,))
    except (ValueError, TypeError, OverflowError, RecursionError, msgpack.UnpackException) as error:
        raise WireError(f"a frame is not a {kind.__name__.lower()}: {type(error).__name__}") from None
    if envelope.version != VERSION:
        raise WireError(f"protocol version is not {VERSION}")
    return envelope
