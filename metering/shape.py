"""Shape: a type with its U128 numbers as the 16 bytes that stand for them, so that msgspec alone can check such bytes.

A number that is our own costs a call back into Python wherever one is read. Whoever only wants to know that bytes can be read
needs no numbers.
"""

from __future__ import annotations

import types
from functools import lru_cache, reduce
from operator import or_
from typing import Annotated, Any, NewType, Union, get_args, get_origin

import msgspec

from metering.units import U128

_SIXTEEN = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
_WRITTEN = Annotated[int, msgspec.Meta(ge=0)]
"""As an earlier version wrote some of them."""


@lru_cache(maxsize=1024)
def shape_of(kind: Any) -> Any:
    """The type whose bytes are those of `kind`, and can be read just when those can."""
    if isinstance(kind, NewType):
        return shape_of(kind.__supertype__)
    origin = get_origin(kind)
    if origin is Annotated:
        return Annotated[(shape_of(get_args(kind)[0]), *kind.__metadata__)]
    if origin in (Union, types.UnionType):
        return reduce(or_, map(shape_of, get_args(kind)))
    if origin in (tuple, list, dict, frozenset, set):
        parts = tuple(one if one is ... else shape_of(one) for one in get_args(kind))
        return origin[parts]
    if not isinstance(kind, type):
        return kind
    if issubclass(kind, U128):
        return _SIXTEEN | _WRITTEN if kind.was_integer else _SIXTEEN
    # What checks more than the types of its fields is asked itself.
    if issubclass(kind, msgspec.Struct) and not hasattr(kind, "__post_init__"):
        return _shape_of_struct(kind)
    return kind


def _shape_of_struct(kind: type[msgspec.Struct]) -> type[msgspec.Struct]:
    config = kind.__struct_config__
    fields: list[Any] = []
    for one in msgspec.structs.fields(kind):
        shape = shape_of(one.type)
        # A default is never checked; that there is one makes the field optional.
        fields.append((one.name, shape) if one.required else (one.name, shape, None))
    return msgspec.defstruct(
        kind.__name__, fields, tag=config.tag, tag_field=config.tag_field, array_like=config.array_like,
        forbid_unknown_fields=config.forbid_unknown_fields, rename=_names_of(kind), kw_only=True, gc=False,
    )  # fmt: skip


def _names_of(kind: type[msgspec.Struct]) -> dict[str, str]:
    return {one.name: one.encode_name for one in msgspec.structs.fields(kind)}
