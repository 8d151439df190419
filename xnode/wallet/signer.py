"""Signers: the only code that sees a private key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from coincurve import PrivateKey

from metering.eip712 import Domain, typed_digest
from metering.signature import Signature, address_of_key, sign_digest
from metering.units import Address, Hash32
from xnode.ports.wallet import Transaction
from xnode.wallet.transaction import encode_signed


class WalletKey:
    """One private key: a payer's, an owner's or a node's. Never shown, logged, pickled or compared."""

    __slots__ = ("_key", "address")

    def __init__(self, secret: bytes) -> None:
        """secret: 32 bytes. Raises ValueError when they are not a secp256k1 key, without showing them."""
        try:
            if len(secret) != 32:
                raise ValueError
            self._key = PrivateKey(secret)
        except ValueError:
            raise ValueError("not a secp256k1 private key: expected 32 bytes within the curve's order") from None
        self.address: Address = address_of_key(self._key.public_key)

    def __repr__(self) -> str:
        return f"WalletKey(0x{self.address.hex()})"

    def __reduce__(self) -> str:
        raise TypeError("a private key is not to be pickled or copied")

    def sign_typed(self, domain: Domain, type_name: str, value: Any) -> Signature:
        """65 bytes over the EIP-712 digest of `value` as `type_name` (metering.eip712.TYPES)."""
        return self.sign_digest(typed_digest(domain.separator(), type_name, value))

    def sign_digest(self, digest: Hash32) -> Signature:
        """65 bytes over a digest whose meaning the caller has checked."""
        return sign_digest(self._key, digest)

    def sign_transaction(self, transaction: Transaction) -> bytes:
        """The raw transaction, ready to broadcast."""
        return encode_signed(transaction, self.sign_digest)

    def expose_secret(self) -> bytes:
        """The 32 secret bytes: for libp2p's identity and for writing a keystore, nothing else."""
        return bytes(self._key.secret)


@dataclass(frozen=True, slots=True)
class NodeKey:
    """A node key's consent to serve a provider (ProviderRegistry.register). deadline: seconds UTC."""

    provider: Address
    node_key: Address
    nonce: int
    deadline: int


class NodeSigner:
    """The node's key in one domain (chain and PaymentEscrow): implements ports.Signer and ports.TransactionSigner."""

    __slots__ = ("_domain", "_key", "_separator")

    def __init__(self, key: WalletKey, domain: Domain) -> None:
        self._key, self._domain = key, domain
        self._separator = domain.separator()

    def __repr__(self) -> str:
        return f"NodeSigner(0x{self.address.hex()}, chain {self._domain.chain_id})"

    @property
    def address(self) -> Address:
        """The node's address, which is also its libp2p identity."""
        return self._key.address

    def sign(self, type_name: str, value: object) -> Signature:
        """65 bytes over the digest of `value` as `type_name` in our domain. Deterministic."""
        return self._key.sign_digest(typed_digest(self._separator, type_name, value))

    def sign_node_key(self, registry: Domain, provider: Address, nonce: int, deadline: int) -> Signature:
        """Our consent to be `provider`'s node key, for ProviderRegistry.register or rotateNodeKey."""
        return self._key.sign_typed(registry, "NodeKey", NodeKey(provider, self.address, nonce, deadline))

    def sign_transaction(self, transaction: Transaction) -> bytes:
        """The raw transaction, ready to broadcast."""
        return self._key.sign_transaction(transaction)

    def libp2p_secret(self) -> bytes:
        """The 32 secret bytes from which the libp2p host makes its identity."""
        return self._key.expose_secret()
