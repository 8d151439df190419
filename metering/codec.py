"""The one byte form of every signed or journalled value: MessagePack by msgspec, amounts as 16 big-endian bytes."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from operator import methodcaller
from typing import Any, TypeVar

import msgspec

from metering.shape import shape_of
from metering.units import U128

T = TypeVar("T")


class NotCanonical(ValueError):
    """The bytes decode, but are not the one way to write what they mean."""


_encode_hook: Callable[[Any], bytes] = methodcaller("to_bytes", 16, "big")
"""Asked for every U128 that is written: without a call back into Python."""


def _decode_hook(kind: type, value: Any) -> Any:
    # On the way of every number of every receipt. 16 bytes are always within the range: no need to check it again.
    if type(value) is bytes and len(value) == 16 and kind in _READ:
        return int.__new__(kind, int.from_bytes(value, "big"))
    if isinstance(kind, type) and issubclass(kind, U128):
        if isinstance(value, int) and kind.was_integer and value >= 0:
            return kind(value)
        # A fixed width leaves one spelling for each number.
        if not isinstance(value, bytes) or len(value) != 16:
            raise ValueError(f"expected 16 bytes for {kind.__name__}")
        _READ.add(kind)
        return kind(int.from_bytes(value, "big"))
    raise NotImplementedError(f"{kind!r} has no byte form")


_READ: set[type] = set()
"""The kinds of U128 that were read before."""

_encoder = msgspec.msgpack.Encoder(enc_hook=_encode_hook)


@lru_cache(maxsize=256)
def _decoder(kind: Any) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(kind, dec_hook=_decode_hook)


def encode(value: Any) -> bytes:
    """The bytes of a Struct (or a tuple, list, dict of them). Raises TypeError for what has no byte form."""
    try:
        return _encoder.encode(value)
    except AttributeError as error:
        raise TypeError(f"no byte form: {error}") from error


def decode(data: bytes, kind: type[T]) -> T:
    """The value of trusted bytes (our own journal). Raises msgspec.DecodeError or ValidationError."""
    value: T = _decoder(kind).decode(data)  # type: ignore[arg-type]  # mypy doubts that a class can be hashed
    return value


def check_readable(data: bytes, kind: Any) -> None:
    """Raises as `decode` does, unless these bytes, which we have just made, can be read again. On the way of every receipt."""
    _shape_decoder(kind).decode(data)


@lru_cache(maxsize=256)
def _shape_decoder(kind: Any) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(shape_of(kind), dec_hook=_decode_hook)


def decode_strict(data: bytes, kind: type[T]) -> T:
    """The value of a stranger's bytes, which must be the one canonical spelling of it.

    Raises NotCanonical, msgspec.DecodeError or msgspec.ValidationError (all are ValueError). Duplicate keys and long
    integer forms decode fine, and would let one signed meaning have many byte forms: so the bytes must round-trip.
    """
    try:
        value: T = _decoder(kind).decode(data)  # type: ignore[arg-type]  # mypy doubts that a class can be hashed
    except RecursionError as error:
        raise NotCanonical("nested too deep") from error
    if _encoder.encode(value) != data:
        raise NotCanonical("the bytes are not canonical")
    return value
