"""Held: the bytes of what a change led to, checked that they can be read again before anything relies on them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec

from metering.codec import check_readable, encode


class NotHeld(ValueError):
    """The store cannot hold what a change led to, or could not give it back; str() says what and why."""


def hold(value: msgspec.Struct, kind: Any, before: msgspec.Struct | None = None) -> bytes:
    """The bytes of a value, from which `kind` gives it back. Raises NotHeld: what cannot be read again would end the next
    start.

    before: what stood in its place, if anything. A field that both share was checked when it came; this is on the way of
    every receipt, which changes few fields of its lease.
    """
    try:
        data = encode(value)
        if type(before) is not type(value):
            check_readable(data, kind)
            return data
        both = zip(msgspec.structs.astuple(value), msgspec.structs.astuple(before), strict=True)
        for number, (field, was) in enumerate(both):
            if field is not was:
                check_readable(encode(field), _types_of(type(value))[number])
    except (ValueError, OverflowError, TypeError, RecursionError) as error:
        raise NotHeld(f"{type(value).__name__} cannot be kept: {error}") from error
    return data


@lru_cache(maxsize=256)
def _types_of(struct_type: type[msgspec.Struct]) -> tuple[Any, ...]:
    return tuple(one.type for one in msgspec.structs.fields(struct_type))
