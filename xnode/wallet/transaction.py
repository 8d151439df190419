"""Raw transactions: EIP-1559's bytes, in RLP (https://eips.ethereum.org/EIPS/eip-1559)."""

from __future__ import annotations

from collections.abc import Callable

from metering.eip712 import keccak
from metering.units import Hash32
from xnode.ports.wallet import Transaction

_TYPE = b"\x02"


def encode_signed(transaction: Transaction, sign: Callable[[Hash32], bytes]) -> bytes:
    """The raw signed transaction; `sign` gives 65 bytes r, s, v with v 27 or 28 over a digest."""
    fields = [
        _uint(transaction.chain_id),
        _uint(transaction.nonce),
        _uint(transaction.max_priority_fee),
        _uint(transaction.max_fee),
        _uint(transaction.gas),
        _rlp_bytes(transaction.to or b""),
        _uint(transaction.value),
        _rlp_bytes(transaction.data),
        _rlp_list([]),
    ]
    signature = sign(keccak(_TYPE + _rlp_list(fields)))
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    return _TYPE + _rlp_list([*fields, _uint(signature[64] - 27), _uint(r), _uint(s)])


def _uint(value: int) -> bytes:
    return _rlp_bytes(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def _rlp_bytes(data: bytes) -> bytes:
    if len(data) == 1 and data[0] < 0x80:
        return data
    return _prefix(0x80, len(data)) + data


def _rlp_list(items: list[bytes]) -> bytes:
    body = b"".join(items)
    return _prefix(0xC0, len(body)) + body


def _prefix(offset: int, length: int) -> bytes:
    if length < 56:
        return bytes((offset + length,))
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((offset + 55 + len(size),)) + size
