"""Raw transactions: EIP-1559's bytes, in RLP (https://eips.ethereum.org/EIPS/eip-1559)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from metering.eip712 import keccak
from metering.units import Hash32
from xnode.ports.wallet import Transaction

_TYPE = b"\x02"


def encode_signed(transaction: Transaction, sign: Callable[[Hash32], bytes]) -> bytes:
    """The raw signed transaction; `sign` gives 65 bytes r, s, v with v 27 or 28 over a digest."""
    import rlp  # 0.15 s to import, which what only lists keys need not pay

    fields: list[Any] = [
        transaction.chain_id,
        transaction.nonce,
        transaction.max_priority_fee,
        transaction.max_fee,
        transaction.gas,
        transaction.to or b"",
        transaction.value,
        transaction.data,
        [],
    ]
    signature = sign(keccak(_TYPE + rlp.encode(fields)))
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    return _TYPE + bytes(rlp.encode([*fields, signature[64] - 27, r, s]))
