"""Edges: values of any message, change or effect at the ends of what its fields can hold, and beyond where no type says where
that is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st
from msgspec import inspect

from metering.units import U64_MAX, U128_MAX

LONGEST = 5_000
"""Of what has no limit, or a larger one: long enough for every line there is."""

ODD_CHARS = ("", "a", "\0", "\x1b[31m", "é", "\ud800", "/", "..")
LOOSE = (-(2**200), -(2**63) - 1, -(2**63), -1, 0, 1, 2**63 - 1, 2**63, U64_MAX, U64_MAX + 1, 2**200)
"""Integers where no type says how large they are: journals hold those of 64 bits, arithmetic makes others."""


class Edges:
    """Makes strategies. known: byte strings that name something which is there, each used wherever its length fits."""

    def __init__(self, known: Sequence[bytes] = ()) -> None:
        self._known = known
        self._made: dict[type, st.SearchStrategy[Any]] = {}

    def of(self, kind: Any) -> st.SearchStrategy[Any]:
        """Values of a type."""
        return self._make(inspect.type_info(kind))

    def _make(self, info: Any) -> st.SearchStrategy[Any]:
        match info:
            case inspect.StructType():
                return self._make_struct(info)
            case inspect.UnionType(types=types):
                return st.one_of(*map(self._make, types))
            case inspect.VarTupleType(item_type=item):
                return st.lists(self._make(item), max_size=2).map(tuple)
            case inspect.TupleType(item_types=types):
                return st.tuples(*map(self._make, types))
            case inspect.CustomType(cls=cls):
                return st.sampled_from((0, 1, 2**63, U64_MAX, U64_MAX + 1, U128_MAX)).map(cls)
            case _:
                return self._make_plain(info)

    def _make_struct(self, info: inspect.StructType) -> st.SearchStrategy[Any]:
        cls = info.cls
        if cls not in self._made:
            fields = {field.name: self._make(field.type) for field in info.fields}
            self._made[cls] = st.builds(cls, **fields)
        return self._made[cls]

    def _make_plain(self, info: Any) -> st.SearchStrategy[Any]:
        match info:
            case inspect.IntType():
                return st.sampled_from(_edges_of(info))
            case inspect.StrType(max_length=most):
                longest = "x" * min(most or LONGEST, LONGEST)
                return st.sampled_from([text for text in (*ODD_CHARS, longest) if len(text) <= len(longest)])
            case inspect.BytesType(min_length=least, max_length=most):
                ends = {least or 0, min(LONGEST if most is None else most, LONGEST)}
                known = [one for one in self._known if (least or 0) <= len(one) <= (most or LONGEST)]
                return st.sampled_from([*known, *(fill * end for end in sorted(ends) for fill in (b"\0", b"\xff"))])
            case inspect.LiteralType(values=values):
                return st.sampled_from(values)
            case inspect.BoolType():
                return st.booleans()
            case inspect.NoneType():
                return st.none()
        raise TypeError(f"no edges of {info}")


def _edges_of(info: inspect.IntType) -> tuple[int, ...]:
    if info.ge is None:
        return LOOSE
    most = info.le if info.le is not None else info.lt - 1 if info.lt is not None else U64_MAX
    return tuple(sorted({info.ge, min(info.ge + 1, most), (info.ge + most) // 2, most - 1, most}))
