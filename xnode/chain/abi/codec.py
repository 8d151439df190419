"""Calls, events and reverts in the contract ABI's bytes (https://docs.soliditylang.org/en/latest/abi-spec.html).

The functions and events of a contract are named, not typed by hand: the committed ABI has its types, and is read when the
first call or event of the contract is used, so that a command that needs none does not wait for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cached_property, lru_cache
from typing import Any, Generic, TypeVar, get_type_hints

import msgspec
from eth_abi.abi import decode as abi_decode
from eth_abi.abi import encode as abi_encode
from eth_abi.exceptions import DecodingError

from metering.eip712 import keccak
from metering.units import U128_MAX, Address, Amount, Hash32
from xnode.chain.abi.artifacts import CONTRACTS, AbiEntry, AbiField, find_entry, load_abi
from xnode.chain.abi.log import Log
from xnode.text.hex import checksum_address, parse_hex, to_hex

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
E = TypeVar("E", bound=msgspec.Struct)

_RESERVED = {"last": "final"}
"""What Solidity cannot call as we do: `final` is one of its reserved words."""


# --------------------------------------------------------------------------------------------------------------- calls


class Call:
    """A contract function that changes something: its calldata."""

    def __init__(self, contract: str, name: str) -> None:
        """contract: the artifact's name."""
        self.contract, self.name = contract, name

    def __repr__(self) -> str:
        return f"{self.contract}.{self.name}"

    @cached_property
    def entry(self) -> AbiEntry:
        """The function in the contract's ABI. LookupError when the contract has no such function."""
        return find_entry(self.contract, "function", self.name)

    @cached_property
    def selector(self) -> bytes:
        """The first four bytes of its calldata."""
        return keccak(self.entry.signature.encode())[:4]

    def encode(self, *values: object) -> bytes:
        """The calldata. Addresses as 20 bytes; a tuple as one of ours or as a struct with fields of the same names."""
        return self.selector + encode_values(self.entry.inputs, values)


class View(Call, Generic[R_co]):
    """A contract function that only reads: its calldata and its result."""

    def __init__(self, contract: str, name: str, result: Callable[..., R_co]) -> None:
        """result: makes what callers get of the outputs, or of the parts of the one output that is a tuple."""
        super().__init__(contract, name)
        self.result, self._make = result, _maker_of(result)

    def decode(self, data: bytes) -> R_co:
        """What the call returned; addresses as 20 bytes. Raises eth_abi's DecodingError when it is of another shape."""
        outputs = self.entry.outputs
        values = decode_values(outputs, data)
        if len(outputs) == 1 and outputs[0].kind == "tuple":
            values = values[0]
        return self._make(*values)


def amount_of(value: int) -> Amount:
    """The amount, at most the largest: 256 bits come only as "without limit", or from an asset not to be accepted."""
    return Amount(min(value, U128_MAX))


def list_of(make: Callable[..., R]) -> Callable[[Iterable[Any]], tuple[R, ...]]:
    """For a View whose one output is a list: what `make` makes of each; a tuple's parts are its arguments."""
    made = _maker_of(make)
    return lambda rows: tuple(made(*row) if isinstance(row, tuple) else made(row) for row in rows)


def _maker_of(result: Callable[..., R]) -> Callable[..., R]:
    """The same; a struct gets an Amount wherever it says so."""
    kind: Any = result
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return result

    def make(*values: Any) -> Any:
        return _make_struct(kind, dict(zip(kind.__struct_fields__, values, strict=True)))

    return make


def _make_struct(kind: type[E], values: dict[str, Any]) -> E:
    amounts = _amount_fields(kind)
    return kind(**{name: amount_of(value) if name in amounts else value for name, value in values.items()})


@lru_cache(maxsize=64)
def _amount_fields(kind: type[msgspec.Struct]) -> frozenset[str]:
    return frozenset(name for name, given in get_type_hints(kind).items() if given is Amount)


# -------------------------------------------------------------------------------------------------------------- events


class Event(Generic[E]):
    """A contract's event: its topic, and its logs as structs with fields of the same names."""

    def __init__(self, contract: str, kind: type[E]) -> None:
        """kind: named as the event."""
        self.contract, self.kind = contract, kind

    def __repr__(self) -> str:
        return f"{self.contract}.{self.kind.__name__}"

    @cached_property
    def entry(self) -> AbiEntry:
        """The event in the contract's ABI. LookupError when the contract has no such event."""
        return find_entry(self.contract, "event", self.kind.__name__)

    @cached_property
    def topic(self) -> Hash32:
        """What its logs begin with."""
        return keccak(self.entry.signature.encode())

    def decode(self, log: Log) -> E:
        """What a log says. Raises ValueError or eth_abi's DecodingError when it is malformed."""
        inputs, topics = self.entry.inputs, log.topics[1:]
        named = [field for field in inputs if field.is_indexed]
        rest = tuple(field for field in inputs if not field.is_indexed)
        found = [(field, decode_values((field,), topic)[0]) for field, topic in zip(named, topics, strict=True)]
        found += zip(rest, decode_values(rest, log.data), strict=True)
        return _make_struct(self.kind, {name_field(field.name): value for field, value in found})


def topic_of(contract: str, event: str) -> Hash32:
    """What logs of an event begin with."""
    return keccak(find_entry(contract, "event", event).signature.encode())


# -------------------------------------------------------------------------------------------------------------- values


def name_field(name: str) -> str:
    """Our name for what the ABI names: "escrowId" is "escrow_id"."""
    return _RESERVED.get(name) or re.sub(r"([A-Z])", r"_\1", name).lower().strip("_")


def encode_values(fields: tuple[AbiField, ...], values: Iterable[object]) -> bytes:
    """The ABI's bytes of values that may hold structs."""
    plain = [_to_plain(field, value, field.kind) for field, value in zip(fields, values, strict=True)]
    return abi_encode([field.spelled for field in fields], plain)


def decode_values(fields: tuple[AbiField, ...], data: bytes) -> tuple[Any, ...]:
    """The values behind `data`. Raises eth_abi's DecodingError when the bytes are of another shape."""
    found = abi_decode([field.spelled for field in fields], data)
    return tuple(_to_bytes(field, value, field.kind) for field, value in zip(fields, found, strict=True))


def _to_plain(field: AbiField, value: Any, kind: str) -> Any:
    """The value with every struct in it as the contract's tuple, whose parts are found by name."""
    if kind.endswith("]"):
        return [_to_plain(field, one, kind[: kind.rindex("[")]) for one in value]
    if kind == "tuple":
        if isinstance(value, msgspec.Struct):
            value = [getattr(value, name_field(part.name)) for part in field.components]
        return tuple(_to_plain(part, one, part.kind) for part, one in zip(field.components, value, strict=True))
    if kind.startswith("uint") and isinstance(value, bytes):
        return int.from_bytes(value, "big")
    return value


def _to_bytes(field: AbiField, value: Any, kind: str) -> Any:
    """The value with every address in it as 20 bytes, however deep it lies in lists and tuples."""
    if kind == "address":
        return parse_hex(value)
    if kind.endswith("]"):
        return tuple(_to_bytes(field, one, kind[: kind.rindex("[")]) for one in value)
    if kind == "tuple":
        return tuple(_to_bytes(part, one, part.kind) for part, one in zip(field.components, value, strict=True))
    return value


def show_value(value: object) -> str:
    """A decoded value for people: addresses with their checksum, other bytes as hex."""
    if isinstance(value, bytes):
        return checksum_address(Address(value)) if len(value) == 20 else to_hex(value)
    if isinstance(value, tuple):
        return "[" + ", ".join(show_value(one) for one in value) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)


# ------------------------------------------------------------------------------------------------------------- reverts


class Revert(msgspec.Struct, frozen=True):
    """Why the EVM gave up: the custom error's name and its values by name; Error and Panic are Solidity's own."""

    name: str
    values: dict[str, Any]

    def __str__(self) -> str:
        shown = ", ".join(f"{name}={show_value(value)}" for name, value in self.values.items())
        return f"{self.name}({shown})"


def decode_revert(data: bytes) -> Revert:
    """What the revert data says by our contracts' ABIs; unknown data is named by its selector."""
    known = _errors_by_selector().get(data[:4])
    if known is None:
        return Revert("UnknownError", {"data": data[:68]} if data else {})
    try:
        values = decode_values(known.inputs, data[4:])
    except DecodingError:
        return Revert(known.name, {"data": data[:68]})
    return Revert(known.name, dict(zip((field.name for field in known.inputs), values, strict=True)))


@lru_cache(maxsize=1)
def _errors_by_selector() -> dict[bytes, AbiEntry]:
    errors = [
        AbiEntry("error", "Error", (AbiField("string", "message"),)),
        AbiEntry("error", "Panic", (AbiField("uint256", "code"),)),
    ]
    errors += [entry for contract in CONTRACTS for entry in load_abi(contract) if entry.kind == "error"]
    return {keccak(error.signature.encode())[:4]: error for error in errors}
