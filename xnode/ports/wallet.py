"""Wallet: signatures; no key passes through here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from metering.units import Address


@dataclass(frozen=True, slots=True)
class Transaction:
    """An EIP-1559 transaction before it is signed. Fees in wei per gas, value in wei; to: None makes a contract."""

    chain_id: int
    nonce: int
    max_priority_fee: int
    max_fee: int
    gas: int
    to: Address | None
    value: int
    data: bytes


class TransactionSigner(Protocol):
    """Signs transactions of one address."""

    @property
    def address(self) -> Address: ...

    def sign_transaction(self, transaction: Transaction) -> bytes:
        """The raw transaction, ready to broadcast; the same transaction always gives the same bytes."""
        ...


class Signer(Protocol):
    """Signs typed data with the node's key; the only code that sees it."""

    @property
    def address(self) -> Address: ...

    def sign(self, type_name: str, value: object) -> bytes:
        """65 bytes over the digest of `value` as `type_name` (metering.eip712) in our domain. Deterministic."""
        ...
