"""Bounds: every number, text, list and byte string that another party can send has a limit by its type."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest
from msgspec import inspect

from metering import evidence
from metering.bounds import Label
from metering.units import U64, U128
from xnode.net.wire import Request, Response

ROOT = Path(__file__).parent.parent

READERS = {"decode_strict", "read_request", "read_answer"}
"""What reads a stranger's bytes: the second argument is the type."""

PASSED_ON = {"kind", "_KINDS[row['type']]", "_TYPES[row['type']]"}
"""Types that a reader was given itself, or finds in a table of documents (DOCUMENTS)."""

DOCUMENTS = (
    evidence.LeaseDocument, evidence.CoveredVoucher, evidence.PrepaidVoucher, evidence.NumberedDocument,
    evidence.AnswerDocument, evidence.VerdictDocument,
)  # fmt: skip


def find_wire_types() -> dict[str, Any]:
    """Every type that some reader of strangers' bytes is called with, by its name."""
    found: dict[str, Any] = {one.__name__: one for one in (Request, Response, *DOCUMENTS)}
    for folder in ("metering", "scheduler", "xnode"):
        for path in (ROOT / folder).rglob("*.py"):
            source = path.read_text()
            if not any(name in source for name in READERS):
                continue
            module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
            for name in _find_kinds(source):
                found[name] = eval(name, vars(module))
    return found


def _find_kinds(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in READERS and len(node.args) > 1:
            name = ast.unparse(node.args[1])
            if name not in PASSED_ON:
                yield name


def find_unbounded(kind: Any) -> list[str]:
    """Paths to what has no limit in a type and in all that it holds."""
    return sorted(set(_walk(inspect.type_info(kind), "", set())))


def _walk(info: Any, path: str, seen: set[Any]) -> Iterator[str]:
    fault = _fault_of(info)
    if fault:
        yield f"{path}: {fault}"
    if not isinstance(info, inspect.StructType) or info.cls not in seen:
        seen.add(getattr(info, "cls", None))
        for name, inner in _parts_of(info, path):
            yield from _walk(inner, name, seen)


def _parts_of(info: Any, path: str) -> Iterator[tuple[str, Any]]:
    match info:
        case inspect.StructType(cls=cls, fields=fields):
            yield from ((f"{cls.__name__}.{field.name}", field.type) for field in fields)
        case inspect.UnionType(types=types):
            yield from ((path, one) for one in types)
        case inspect.VarTupleType(item_type=item):
            yield f"{path}[]", item
        case inspect.TupleType(item_types=types):
            yield from ((f"{path}[{number}]", one) for number, one in enumerate(types))


def _fault_of(info: Any) -> str | None:
    match info:
        case inspect.StrType() | inspect.BytesType() | inspect.VarTupleType():
            return None if info.max_length is not None else type(info).__name__
        case inspect.IntType():
            # MessagePack itself has no integer above 2**64 - 1.
            return None if info.ge is not None else "IntType"
        case inspect.CustomType(cls=cls):
            return None if issubclass(cls, U128) else cls.__name__
        case inspect.StructType() | inspect.UnionType() | inspect.TupleType():
            return None
        case inspect.BoolType() | inspect.NoneType() | inspect.LiteralType():
            return None
        case _:
            return type(info).__name__


WIRE = find_wire_types()


def test_the_wire_is_found() -> None:
    assert {
        "Job",
        "SignedQuote",
        "SignedOffer",
        "SignedRecord",
        "message.LeaseOffer",
        "Refusal",
        "PeerList",
    } <= WIRE.keys()
    assert len(WIRE) >= 30


@pytest.mark.parametrize("name", WIRE)
def test_everything_that_a_stranger_sends_has_a_limit_by_its_type(name: str) -> None:
    assert find_unbounded(WIRE[name]) == []


class _Inner(msgspec.Struct):
    text: str


class _Loose(msgspec.Struct):
    number: int
    data: bytes
    listed: tuple[Label, ...]
    inner: _Inner | None
    pairs: Annotated[tuple[tuple[U64, str], ...], msgspec.Meta(max_length=3)]
    fine: U128


def test_a_field_without_a_limit_is_seen() -> None:
    assert find_unbounded(_Loose) == [
        "_Inner.text: StrType",
        "_Loose.data: BytesType",
        "_Loose.listed: VarTupleType",
        "_Loose.number: IntType",
        "_Loose.pairs[][1]: StrType",
    ]
