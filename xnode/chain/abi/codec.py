"""Calls, reverts and logs in the contract ABI's bytes (https://docs.soliditylang.org/en/latest/abi-spec.html)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import msgspec
from eth_abi.abi import decode as abi_decode
from eth_abi.abi import encode as abi_encode
from eth_abi.exceptions import DecodingError

from metering.eip712 import keccak
from metering.units import Address, Hash32
from xnode.chain.abi.artifacts import CONTRACTS, load_artifact


class Function:
    """One contract function: its calldata and its results. Parse the signature once, at import."""

    __slots__ = ("inputs", "outputs", "selector", "signature")

    def __init__(self, signature: str, returns: str = "") -> None:
        self.signature = signature
        self.selector = keccak(signature.encode())[:4]
        self.inputs = split_types(signature[signature.index("(") + 1 : -1])
        self.outputs = split_types(returns)

    def encode(self, *values: object) -> bytes:
        """The calldata of this call; addresses as 20 bytes."""
        return self.selector + abi_encode(self.inputs, values)

    def decode(self, data: bytes) -> tuple[Any, ...]:
        """What the call returned; addresses as 20 bytes."""
        return decode_values(self.outputs, data)


def split_types(text: str) -> tuple[str, ...]:
    """The top-level types of a comma-separated list in which tuples may nest."""
    types, depth, current = [], 0, ""
    for char in text:
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            types.append(current)
            current = ""
        else:
            current += char
    return tuple([*types, current] if current else types)


def decode_values(types: tuple[str, ...], data: bytes) -> tuple[Any, ...]:
    """The values behind `data`. Raises eth_abi's DecodingError when the bytes are of another shape."""
    return tuple(_to_bytes(kind, value) for kind, value in zip(types, abi_decode(types, data), strict=True))


def _to_bytes(kind: str, value: Any) -> Any:
    """The value with every address in it as 20 bytes, however deep it lies in lists and tuples."""
    if kind == "address":
        return parse_hex(value)
    if kind.endswith("]"):
        return tuple(_to_bytes(kind[: kind.rindex("[")], one) for one in value)
    if kind.startswith("("):
        return tuple(_to_bytes(part, one) for part, one in zip(split_types(kind[1:-1]), value, strict=True))
    return value


def parse_hex(text: str) -> bytes:
    """The bytes of a 0x string."""
    return bytes.fromhex(text.removeprefix("0x"))


def to_hex(data: bytes) -> str:
    """The 0x string of bytes."""
    return "0x" + data.hex()


def checksum_address(address: Address) -> str:
    """The address for people to read and copy, in ERC-55's mixed case."""
    text = address.hex()
    digest = keccak(text.encode()).hex()
    return "0x" + "".join(c.upper() if int(d, 16) > 7 else c for c, d in zip(text, digest, strict=False))


# ------------------------------------------------------------------------------------------------------------- reverts


class Revert(msgspec.Struct, frozen=True):
    """Why the EVM gave up: the custom error's name and its values by name; Error and Panic are Solidity's own."""

    name: str
    values: dict[str, Any]

    def __str__(self) -> str:
        shown = ", ".join(f"{name}={_show(value)}" for name, value in self.values.items())
        return f"{self.name}({shown})"


def decode_revert(data: bytes) -> Revert:
    """What the revert data says by our contracts' ABIs; unknown data is named by its selector."""
    known = _errors_by_selector().get(data[:4])
    if known is None:
        return Revert("UnknownError", {"data": data[:68]} if data else {})
    name, fields = known
    try:
        values = decode_values(tuple(kind for _, kind in fields), data[4:])
    except DecodingError:
        return Revert(name, {"data": data[:68]})
    return Revert(name, dict(zip((field for field, _ in fields), values, strict=True)))


def _show(value: object) -> str:
    return to_hex(value) if isinstance(value, bytes) else str(value)


@lru_cache(maxsize=1)
def _errors_by_selector() -> dict[bytes, tuple[str, tuple[tuple[str, str], ...]]]:
    errors: dict[bytes, tuple[str, tuple[tuple[str, str], ...]]] = {
        keccak(b"Error(string)")[:4]: ("Error", (("message", "string"),)),
        keccak(b"Panic(uint256)")[:4]: ("Panic", (("code", "uint256"),)),
    }
    for contract in CONTRACTS:
        for entry in load_artifact(contract).abi:
            if entry["type"] == "error":
                fields = tuple((field["name"], field["type"]) for field in entry["inputs"])
                errors[keccak(make_signature(entry).encode())[:4]] = (entry["name"], fields)
    return errors


# ---------------------------------------------------------------------------------------------------------- signatures


def make_signature(entry: dict[str, Any]) -> str:
    """The canonical signature of an ABI entry, with tuples written out."""
    return f"{entry['name']}({','.join(list_types(entry['inputs']))})"


def list_types(fields: list[dict[str, Any]]) -> tuple[str, ...]:
    """The types of an ABI entry's inputs or outputs, with tuples written out."""
    return tuple(_canonical(field) for field in fields)


def _canonical(field: dict[str, Any]) -> str:
    kind: str = field["type"]
    if not kind.startswith("tuple"):
        return kind
    return f"({','.join(_canonical(part) for part in field['components'])}){kind[5:]}"


# ---------------------------------------------------------------------------------------------------------------- logs


class Event:
    """One event's shape: how its topics and data become values by name."""

    __slots__ = ("data_fields", "indexed_fields", "signature", "topic")

    def __init__(self, signature: str) -> None:
        """signature: as Solidity writes it, with names and `indexed`: "Paid(address indexed to, uint256 amount)"."""
        name, _, rest = signature.partition("(")
        fields = [part.split() for part in rest[:-1].split(",")] if rest != ")" else []
        self.signature = f"{name}({','.join(field[0] for field in fields)})"
        self.topic = keccak(self.signature.encode())
        self.indexed_fields = tuple((field[-1], field[0]) for field in fields if len(field) == 3)
        self.data_fields = tuple((field[-1], field[0]) for field in fields if len(field) == 2)

    def decode(self, topics: Iterable[Hash32], data: bytes) -> dict[str, Any]:
        """The values of a log whose first topic is ours; topics: those behind the first."""
        values: dict[str, Any] = {}
        for (name, kind), topic in zip(self.indexed_fields, topics, strict=True):
            values[name] = decode_values((kind,), topic)[0]
        types = tuple(kind for _, kind in self.data_fields)
        values.update(zip((name for name, _ in self.data_fields), decode_values(types, data), strict=True))
        return values
