"""Frames and envelopes: for any bytes a value or a WireError, and nothing else."""

from __future__ import annotations

from contextlib import suppress

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnode.net.wire import (
    LENGTH_BYTES,
    MAX_BODY_BYTES,
    MAX_DEADLINE_MS,
    MAX_FRAME_BYTES,
    MAX_METHOD_CHARS,
    FrameReader,
    FrameTooLong,
    HalfFrame,
    Request,
    Response,
    WireError,
    decode_request,
    decode_response,
    encode_envelope,
    make_frame,
)

U64 = st.integers(0, (1 << 64) - 1)
REQUESTS = st.builds(
    Request,
    version=st.just(1),
    method=st.text(max_size=MAX_METHOD_CHARS),
    request_id=U64,
    deadline_ms=st.integers(0, MAX_DEADLINE_MS),
    correlation=st.text(max_size=64),
    body=st.binary(max_size=2000),
)
STATUSES = ["ok", "refused", "unknown_method", "error", "item", "alive", "end"]
RESPONSES = st.builds(
    Response, version=st.just(1), request_id=U64, status=st.sampled_from(STATUSES), body=st.binary(max_size=2000)
)

PLAIN = st.recursive(
    st.none() | st.booleans() | U64 | st.integers(-(1 << 63), -1) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(REQUESTS)
def test_request_comes_back_as_it_went(request: Request) -> None:
    assert decode_request(encode_envelope(request)) == request


@given(RESPONSES)
def test_response_comes_back_as_it_went(response: Response) -> None:
    assert decode_response(encode_envelope(response)) == response


def decode_any(data: bytes) -> None:
    for decode in (decode_request, decode_response):
        with suppress(WireError):
            decode(data)


@given(st.binary(max_size=300))
def test_any_bytes_are_an_envelope_or_a_wire_error(data: bytes) -> None:
    decode_any(data)


@given(PLAIN)
def test_any_messagepack_is_an_envelope_or_a_wire_error(value: object) -> None:
    decode_any(msgpack.packb(value))


@given(REQUESTS, st.data())
def test_damaged_request_is_a_request_or_a_wire_error(request: Request, data: st.DataObject) -> None:
    payload = bytearray(encode_envelope(request))
    payload[data.draw(st.integers(0, len(payload) - 1))] ^= data.draw(st.integers(1, 255))
    with suppress(WireError):
        decode_request(bytes(payload))


@given(st.lists(st.binary(max_size=50)), st.data())
def test_frames_come_out_however_the_bytes_are_cut(payloads: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(make_frame(payload) for payload in payloads)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)))))
    reader, got = FrameReader(), []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        reader.feed(stream[start:end])
        while (frame := reader.next_frame()) is not None:
            got.append(frame)
    reader.end()
    assert got == payloads


@given(st.binary(max_size=200))
def test_any_bytes_are_frames_or_a_wire_error(data: bytes) -> None:
    reader = FrameReader(max_frame_bytes=100)
    reader.feed(data)
    try:
        while (frame := reader.next_frame()) is not None:
            assert len(frame) <= 100
        reader.end()
    except WireError:
        pass


def test_frame_too_long_is_refused_before_it_has_come() -> None:
    reader = FrameReader()
    reader.feed((MAX_FRAME_BYTES + 1).to_bytes(LENGTH_BYTES, "big"))
    with pytest.raises(FrameTooLong):
        reader.next_frame()
    with pytest.raises(FrameTooLong):
        make_frame(bytes(MAX_FRAME_BYTES + 1))


def test_end_inside_a_frame_is_a_half_frame() -> None:
    for some in (b"\0", b"\0\0\0\x05abcd"):
        reader = FrameReader()
        reader.feed(some)
        assert reader.next_frame() is None
        with pytest.raises(HalfFrame):
            reader.end()


def test_largest_envelope_fits_a_frame() -> None:
    request = Request(1, "m" * 64, (1 << 64) - 1, MAX_DEADLINE_MS, "\U0001f600" * 64, bytes(MAX_BODY_BYTES))
    assert decode_request(make_frame(encode_envelope(request))[LENGTH_BYTES:]) == request


GOOD = [1, "who", 1, 1000, "", b""]


@pytest.mark.parametrize(
    ("at", "value"),
    [(0, 2), (1, "m" * 65), (1, b"who"), (2, -1), (3, -1), (3, MAX_DEADLINE_MS + 1), (4, "c" * 65), (5, "text")],
)
def test_each_field_out_of_its_range_is_a_wire_error(at: int, value: object) -> None:
    assert decode_request(msgpack.packb(GOOD)) == Request(*GOOD)  # type: ignore[arg-type]
    with pytest.raises(WireError):
        decode_request(msgpack.packb([*GOOD[:at], value, *GOOD[at + 1 :]]))


@pytest.mark.parametrize(
    "data",
    [
        msgpack.packb([*GOOD, 7]),
        msgpack.packb(GOOD[:5]),
        msgpack.packb(dict(zip("abcdef", GOOD, strict=True))),
        msgpack.packb(GOOD) + b"\0",
        b"\x91" * 5000,
        b"\xdd\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
    ],
    ids=["more fields", "fewer fields", "a map", "more bytes", "deep nesting", "4 G elements", "4 GiB of bytes"],
)
def test_no_request_is_a_wire_error(data: bytes) -> None:
    with pytest.raises(WireError):
        decode_request(data)
