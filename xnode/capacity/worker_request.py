"""Worker request: what the daemon asks of a worker process over its pipes, and what comes back. No stranger writes on them."""

from __future__ import annotations

from typing import Literal

import msgspec

from metering.units import Hash32
from xnode.capacity.opened_row import OpenedRow

LENGTH_BYTES = 4

MAX_FRAME_BYTES = 16 << 20
"""The largest: an expected vector product and the rows of the largest n, 3 MiB, with room."""

Kind = Literal["cpu", "gpu"]


class Multiply(msgspec.Struct, frozen=True, tag=True):
    """Compute a device's product and keep it. ordinal: which of the GPUs; progress is reported meanwhile."""

    kind: Kind
    ordinal: int
    seed: Hash32
    n: int


class MultiplyVector(msgspec.Struct, frozen=True, tag=True):
    """The kept product times the vector that this seed gives."""

    vector_seed: Hash32
    device: int


class OpenRow(msgspec.Struct, frozen=True, tag=True):
    """A row of the kept product."""

    row: int


class Expect(msgspec.Struct, frozen=True, tag=True):
    """What an honest device would say; see freivalds."""

    seed: Hash32
    n: int
    vector_seed: Hash32
    device: int
    rows: tuple[int, ...]


WorkerRequest = Multiply | MultiplyVector | OpenRow | Expect


class Share(msgspec.Struct, frozen=True, tag=True):
    """How much of a Multiply is done, 0 to 1."""

    done: float


class Multiplied(msgspec.Struct, frozen=True, tag=True):
    """took_ns: from taking the request to its end, the libraries' start included."""

    root: Hash32
    took_ns: int


class VectorMultiplied(msgspec.Struct, frozen=True, tag=True):
    """n numbers modulo 2^64, 8 bytes each, big-endian."""

    product: bytes


class RowOpened(msgspec.Struct, frozen=True, tag=True):
    opened: OpenedRow


class ExpectedMade(msgspec.Struct, frozen=True, tag=True):
    """As freivalds.Expected."""

    vector_product: bytes
    rows: tuple[bytes, ...]


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The world failed there; code and reason as in Permanent."""

    code: str
    reason: str


Report = Share | Multiplied | VectorMultiplied | RowOpened | ExpectedMade | Failed

_encoder = msgspec.msgpack.Encoder()
_requests = msgspec.msgpack.Decoder(WorkerRequest)
_reports = msgspec.msgpack.Decoder(Report)


def encode_frame(message: WorkerRequest | Report) -> bytes:
    """The message behind its length."""
    payload = _encoder.encode(message)
    assert len(payload) <= MAX_FRAME_BYTES
    return len(payload).to_bytes(LENGTH_BYTES, "big") + payload


def decode_request(payload: bytes) -> WorkerRequest:
    """Raises msgspec's errors: a worker that cannot read its daemon ends."""
    request: WorkerRequest = _requests.decode(payload)
    return request


def decode_report(payload: bytes) -> Report:
    """Raises msgspec's errors."""
    report: Report = _reports.decode(payload)
    return report
